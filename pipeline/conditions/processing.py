"""What every robustness condition is: a function of one utterance that keeps its length, rate and scale."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codecfake.codec_adapters.resampling import Wave, resample

HEARD_RATE = 16_000
"""In Hz. Detectors hear every file at this rate, so a file of a higher one is treated like one of this."""


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
    is_at_heard_rate: bool = False
    """Whether it acts at ``HEARD_RATE`` in files of higher rates, too."""


class Silent(Exception):
    """The utterance holds no sound, so nothing can be set in relation to it."""


def heard_power(wave: Wave, sample_rate: int) -> float:
    """Mean square of what detectors hear of a wave.

    Args:
        wave: Shape (T,).
        sample_rate: Its rate in Hz.

    Raises:
        Silent: If it is zero.
    """
    heard = resample(wave, sample_rate, min(sample_rate, HEARD_RATE))
    value = float(np.mean(np.square(heard, dtype=np.float64)))
    if value <= 0.0:
        raise Silent("the file is silent throughout")
    return value
