"""The fixed-length window of an utterance that the detectors look at."""

import numpy as np

SAMPLE_RATE = 16_000
"""Sampling rate of every detector input, Hz."""

CROP_SAMPLES = 64_600
"""Length of every detector input in samples, 4.04 seconds: the window of AASIST and of the paper."""


def crop_or_tile(wave: np.ndarray) -> np.ndarray:
    """Take the first 64,600 samples; repeat a shorter wave from its start until it is long enough.

    Args:
        wave: Mono wave at 16 kHz, shape (T,), T >= 1.

    Returns:
        The window, shape (64600,), contiguous, with the dtype of ``wave``.
    """
    window = np.empty(CROP_SAMPLES, wave.dtype)
    filled = min(len(wave), CROP_SAMPLES)
    window[:filled] = wave[:filled]
    tile(window, filled)
    return window


def tile(window: np.ndarray, filled: int) -> None:
    """Repeat the first ``filled`` samples of a window until it is full, in place."""
    while filled < len(window):
        more = min(filled, len(window) - filled)
        window[filled : filled + more] = window[:more]
        filled += more
