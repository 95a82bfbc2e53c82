"""What every robustness condition is: a function of one utterance that keeps its length, rate and scale."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codecfake.codec_adapters.resampling import Wave


@dataclass(frozen=True)
class Utterance:
    """One file of the split."""

    wave: Wave
    """Shape (T,)."""
    sample_rate: int
    """In Hz."""
    random: np.random.Generator
    """Seeded by the names of setting and file, so that a file always comes out the same."""
    other_voices: Callable[[], Iterator[Wave]]
    """Gives bona fide evaluation files of other speakers, at ``sample_rate``, in an order that ``random`` draws."""


@dataclass(frozen=True)
class Setting:
    """One way to process the files of a split."""

    name: str
    """As in ``C1-NAME``; it carries the setting."""
    describe: str
    """In words, with every number."""
    apply: Callable[[Utterance], Wave]
    """Gives shape (T,), of the length of the utterance's wave."""
    versions: Mapping[str, Any] = field(default_factory=dict)
    """Versions of the libraries that decide about the samples."""
    needs_other_voices: bool = False


class Silent(Exception):
    """The utterance holds no sound, so nothing can be set in relation to it."""


def power(wave: Wave) -> float:
    """Mean square of a wave.

    Raises:
        Silent: If it is zero.
    """
    value = float(np.mean(np.square(wave, dtype=np.float64)))
    if value <= 0.0:
        raise Silent("the file is silent throughout")
    return value
