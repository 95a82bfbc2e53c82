"""Batches of noise through a codec: from what size on they run no faster, and how much memory they take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from codecfake.codec_adapters import CodecAdapter
from codecfake.pipeline.shards import MAXIMUM_UTTERANCES

BATCH_SIZES = [2**doublings for doublings in range(MAXIMUM_UTTERANCES.bit_length())]
"""Utterances; no batch is larger than a shard."""
UTTERANCE_SECONDS = 3.5
"""Mean of the corpora."""
WORTHWHILE_GAIN = 1.05
"""Least gain in speed for which a batch is doubled."""
MEMORY_SHARE = 0.8
"""Of the free memory; the rest is for what the allocator cannot join, and for batches on their way in and out."""


@dataclass(frozen=True)
class Trial:
    """One batch."""

    audio_seconds: float
    """Of all its utterances."""
    wall_seconds: float
    peak_bytes: int
    """Memory beyond what was taken before, the batch itself included."""

    @property
    def speed(self) -> float:
        """Seconds of audio per second."""
        return self.audio_seconds / self.wall_seconds


class TrialDevice(Protocol):
    """What calibration needs of a device."""

    name: str
    total_memory: int
    """Bytes."""

    def free_memory(self) -> int:
        """Bytes that a network run could have now."""

    def run(self, adapter: CodecAdapter, utterances: int, samples: int) -> Trial | None:
        """Run a batch of noise at the codec's rate; ``None`` where memory ran out."""


@dataclass(frozen=True)
class Calibration:
    """What trials told of a codec on a device."""

    best_seconds: float
    """The smallest batch as fast as any, in seconds of audio."""
    is_saturated: bool
    """Whether larger batches were tried and no faster; else memory ended the trials."""
    fixed_bytes: float
    bytes_per_second: float
    """Peak memory of a batch: ``fixed_bytes``, and this for every second of audio."""
    free_bytes: int
    """Free memory during the trials."""

    def __post_init__(self) -> None:
        amounts = (self.fixed_bytes, self.free_bytes)
        if not (self.best_seconds > 0 and self.bytes_per_second > 0 and min(amounts) >= 0):
            raise ValueError(f"no figures that trials give: {self}")

    def seconds_in(self, memory: float) -> float:
        """Seconds of audio whose batch needs ``memory`` bytes."""
        return max(0.0, memory - self.fixed_bytes) / self.bytes_per_second

    def is_outgrown(self, free_memory: int) -> bool:
        """Whether memory ended the trials, and there is now enough more of it to go further."""
        return not self.is_saturated and free_memory >= 2 * self.free_bytes


def calibrate(device: TrialDevice, adapter: CodecAdapter) -> Calibration | None:
    """Double a batch of noise, and read off how much audio pays and how much memory it takes.

    Running out of memory ends the doubling.

    Args:
        device: What the batches run on.
        adapter: On that device, with its weights loaded.

    Returns:
        What was found; ``None`` where memory does not hold even one utterance.
    """
    free = device.free_memory()
    trials, is_saturated = _double(device, adapter, MEMORY_SHARE * free)
    if not trials:
        return None
    fastest = max(trial.speed for trial in trials)
    best = next(trial for trial in trials if trial.speed * WORTHWHILE_GAIN >= fastest)
    return Calibration(best.audio_seconds, is_saturated, *_memory_line(trials), free)


def _double(device: TrialDevice, adapter: CodecAdapter, memory: float) -> tuple[list[Trial], bool]:
    """Double a batch until that no longer pays, or would take more than ``memory`` bytes.

    Returns:
        The trials, and whether a larger batch would not have been faster.
    """
    samples = adapter.padded_length(round(UTTERANCE_SECONDS * adapter.card.sample_rate))
    trials: list[Trial] = []
    for utterances in BATCH_SIZES:
        trial = device.run(adapter, utterances, samples) if _may_fit(trials, memory) else None
        if trial is None:
            return trials, False
        trials.append(trial)
        if _is_flat(trials):
            break
    return trials, True


def _is_flat(trials: Sequence[Trial]) -> bool:
    """Whether the last two doublings gained too little; one alone may be a disturbance."""
    if len(trials) < 3:
        return False
    before, *last = [trial.speed for trial in trials[-3:]]
    return max(last) < WORTHWHILE_GAIN * before


def _may_fit(trials: Sequence[Trial], memory: float) -> bool:
    if not trials:
        return True
    fixed, per_second = _memory_line(trials)
    return fixed + per_second * 2 * trials[-1].audio_seconds <= memory


def _memory_line(trials: Sequence[Trial]) -> tuple[float, float]:
    """Bytes that every batch needs, and bytes per second of audio: a line that no trial lies above."""
    audio = np.array([trial.audio_seconds for trial in trials])
    peaks = np.array([trial.peak_bytes for trial in trials], dtype=float)
    slope = np.polyfit(audio, peaks, 1)[0] if len(trials) > 1 else peaks[0] / audio[0]
    per_second = max(1.0, float(slope))
    return max(0.0, float((peaks - per_second * audio).max())), per_second
