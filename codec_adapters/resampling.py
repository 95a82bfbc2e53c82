"""The one place that mixes down and resamples, for bona fide and spoofed audio alike."""

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
"""Samples in [-1, 1], shape (T,) unless said otherwise."""


def to_mono(wave: NDArray) -> Wave:
    """Average the channels.

    Args:
        wave: Shape (T,) or (T, channels).

    Returns:
        Shape (T,), float32.
    """
    if wave.ndim == 2:
        wave = wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)
    return np.ascontiguousarray(wave, dtype=np.float32)


def resampled_length(samples: int, from_rate: int, to_rate: int) -> int:
    """Samples that ``samples`` at ``from_rate`` become at ``to_rate``: rounded half up, at least one."""
    return max(1, (2 * samples * to_rate + from_rate) // (2 * from_rate))


def fit_length(wave: Wave, samples: int) -> Wave:
    """Cut the end, or append zeros, so that ``wave`` has ``samples`` samples."""
    if len(wave) >= samples:
        return wave[:samples]
    return np.pad(wave, (0, samples - len(wave)))


def resample(wave: Wave, from_rate: int, to_rate: int) -> Wave:
    """Resample with soxr (HQ), to exactly ``resampled_length`` samples.

    Args:
        wave: Shape (T,).
        from_rate: Sample rate of ``wave`` in Hz.
        to_rate: Sample rate wanted, in Hz.

    Returns:
        Shape (resampled_length(T),), float32; ``wave`` itself when the rates agree.
    """
    if from_rate == to_rate:
        return wave
    import soxr

    samples = resampled_length(len(wave), from_rate, to_rate)
    return fit_length(soxr.resample(wave, from_rate, to_rate, quality="HQ"), samples)
