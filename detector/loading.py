"""Read the windows that detectors look at, in batches, in threads ahead of the network.

Threads and not processes: libsndfile releases the interpreter lock, every window is decoded into the memory of its
batch, and decoded waves can be kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codecfake.detector.crop_reading import UnreadableAudioError, read_crop, read_crop_into
from codecfake.detector.crops import CROP_SAMPLES
from codecfake.detector.read_ahead import read_ahead
from codecfake.detector.trials import TrialList
from codecfake.manifests.reasons import Reason
from codecfake.manifests.stage_clock import StageClock

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "CropLoader", "Unreadable", "UnreadableAudioError", "read_crop"]

KEPT_BYTES = 1 << 30
"""Memory one loader may fill with decoded waves: 4,155 utterances, enough for small runs."""


@dataclass(frozen=True)
class Unreadable:
    """A trial without audio, and why."""

    file: str
    reason: Reason
    message: str


@dataclass(frozen=True)
class Batch:
    """Trials that were read together (B of them readable, T = 64,600 samples)."""

    positions: list[int]
    """Places of the readable trials in their trial list, length B."""
    waves: "torch.Tensor | None"
    """Shape (B, T), float32; absent where features were read instead."""
    unreadable: list[Unreadable]
    features: "torch.Tensor | None" = None
    """Of the front end, shape (B, 1, H, W), float16, where they come from a cache."""


class CropLoader:
    """Reads the windows of a trial list in batches; keeps them in memory while they fit.

    Args:
        trials: The trials to read.
        keep: Whether to keep the waves, for a list that is read again and again.
        clock: Takes the time of ``read`` and ``resample``, over all threads.
    """

    def __init__(self, trials: TrialList, *, keep: bool, clock: StageClock | None = None) -> None:
        self.trials = trials
        self._clock = clock
        self._kept: dict[int, np.ndarray] = {}
        self._capacity = KEPT_BYTES // (4 * CROP_SAMPLES) if keep else 0

    def batches(self, order: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """Read trials in the order given, a few batches ahead of the consumer.

        Args:
            order: Positions in the trial list.
            batch_size: Trials per batch; the last batch may be smaller.

        Returns:
            Batches in order. A batch whose files are all unreadable has B = 0.
        """
        return self.read(order[first : first + batch_size] for first in range(0, len(order), batch_size))

    def read(self, parts: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Read batches whose trials are given one batch after the other, a few batches ahead of the consumer.

        Args:
            parts: Positions in the trial list, batch by batch; a batch may be empty.

        Yields:
            One batch for each. A batch whose files are all unreadable has B = 0.
        """
        for positions, windows, problems in read_ahead(parts, _empty_windows, self._read):
            readable = [place for place, problem in enumerate(problems) if problem is None]
            yield Batch(
                positions=[positions[place] for place in readable],
                waves=windows if len(readable) == len(positions) else windows[readable],
                unreadable=[problem for problem in problems if problem is not None],
            )

    def _read(self, position: int, window: "torch.Tensor") -> Unreadable | None:
        """One window, from memory when it is there; what prevents it, if something does."""
        target = window.numpy()
        kept = self._kept.get(position)
        if kept is not None:
            target[:] = kept
            return None
        try:
            read_crop_into(self.trials.path(position), target, self._clock)
        except UnreadableAudioError as error:
            return Unreadable(self.trials.files[position], error.reason, error.message)
        if len(self._kept) < self._capacity:
            self._kept[position] = target.copy()
        return None


def _empty_windows(count: int) -> "torch.Tensor":
    import torch

    return torch.empty(count, CROP_SAMPLES)
