"""Read the windows that detectors look at: decode, mono, 16 kHz, crop, in threads ahead of the network.

Threads and not processes: libsndfile releases the interpreter lock, and the decoded waves can be kept.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.codec_adapters.resampling import resample, to_mono
from codecfake.detector.crops import CROP_SAMPLES, SAMPLE_RATE, crop_or_tile
from codecfake.detector.trials import TrialList
from codecfake.manifests.reasons import Reason

if TYPE_CHECKING:
    import torch

KEPT_BYTES = 1 << 30
"""Memory one loader may fill with decoded waves: 4,155 utterances, enough for small runs."""

MARGIN_SECONDS = 0.25
"""Read beyond the window before resampling, so that the filter's edge lies outside of it."""

BATCHES_AHEAD = 3


class UnreadableAudioError(Exception):
    """A file that gives no wave, with its reason code."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


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
    """Of the front end, shape (B, 1, H, W), where they come from a cache."""


def read_crop(path: Path) -> np.ndarray:
    """Read the window of one file.

    Args:
        path: Any audio file libsndfile decodes, at any sampling rate, with any number of channels.

    Returns:
        Mono wave at 16 kHz, shape (64600,), float32.

    Raises:
        UnreadableAudioError: If the file is missing, undecodable, empty or not finite.
    """
    import soundfile

    if not path.exists():
        raise UnreadableAudioError(Reason.MISSING, "no such file")
    if not path.is_file():
        raise UnreadableAudioError(Reason.NOT_A_FILE, "not a regular file")
    try:
        with soundfile.SoundFile(path) as audio:
            rate = audio.samplerate
            frames = int((CROP_SAMPLES / SAMPLE_RATE + MARGIN_SECONDS) * rate)
            wave = audio.read(frames, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise UnreadableAudioError(Reason.UNREADABLE, str(error)) from error
    wave = to_mono(wave)
    if not np.isfinite(wave).all():
        raise UnreadableAudioError(Reason.NON_FINITE, "holds NaN or infinite samples")
    if rate != SAMPLE_RATE and wave.size:
        wave = resample(wave, rate, SAMPLE_RATE)
    if not wave.size:
        raise UnreadableAudioError(Reason.EMPTY, "holds no samples")
    return crop_or_tile(wave)


class CropLoader:
    """Reads the windows of a trial list in batches; keeps them in memory while they fit.

    Args:
        trials: The trials to read.
        keep: Whether to keep the waves, for a list that is read again and again.
    """

    def __init__(self, trials: TrialList, *, keep: bool) -> None:
        self.trials = trials
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
        pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1), thread_name_prefix="audio")
        pending: deque[tuple[list[int], list[Future]]] = deque()
        try:
            for part in parts:
                positions = [int(position) for position in part]
                pending.append((positions, [pool.submit(self._read, position) for position in positions]))
                if len(pending) > BATCHES_AHEAD:
                    yield self._collect(*pending.popleft())
            while pending:
                yield self._collect(*pending.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, position: int) -> np.ndarray | Unreadable:
        """One window, from memory when it is there."""
        kept = self._kept.get(position)
        if kept is not None:
            return kept
        try:
            wave = read_crop(self.trials.path(position))
        except UnreadableAudioError as error:
            return Unreadable(self.trials.files[position], error.reason, error.message)
        if len(self._kept) < self._capacity:
            self._kept[position] = wave
        return wave

    @staticmethod
    def _collect(positions: list[int], reads: list[Future]) -> Batch:
        """Wait for the reads of one batch and stack them."""
        import torch

        results = [read.result() for read in reads]
        waves = [result for result in results if not isinstance(result, Unreadable)]
        return Batch(
            positions=[p for p, r in zip(positions, results, strict=True) if not isinstance(r, Unreadable)],
            waves=torch.from_numpy(np.stack(waves)) if waves else torch.empty(0, CROP_SAMPLES),
            unreadable=[result for result in results if isinstance(result, Unreadable)],
        )
