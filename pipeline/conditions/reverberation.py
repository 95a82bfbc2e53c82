"""Reverberation by a synthetic room: direct sound, then Gaussian noise that decays exponentially (Polack's model)."""

import numpy as np

from codecfake.codec_adapters.resampling import Wave
from codecfake.pipeline.conditions.processing import Utterance

DIRECT_TO_REVERBERANT_DB = 0.0
FIRST_REFLECTION_SECONDS = 0.0025


def room_response(rt60: float, sample_rate: int, random: np.random.Generator) -> Wave:
    """Draw the impulse response of a room.

    Args:
        rt60: Seconds until the tail has lost 60 dB.
        sample_rate: In Hz.
        random: Draws the tail.

    Returns:
        Shape (rt60 * sample_rate,), of unit energy; the direct sound is at sample 0.
    """
    samples = max(2, round(rt60 * sample_rate))
    time = np.arange(samples) / sample_rate
    tail = random.standard_normal(samples) * 10 ** (-3 * time / rt60)
    tail[: max(1, round(FIRST_REFLECTION_SECONDS * sample_rate))] = 0.0
    tail *= 10 ** (-DIRECT_TO_REVERBERANT_DB / 20) / np.linalg.norm(tail)
    tail[0] = 1.0
    return (tail / np.linalg.norm(tail)).astype(np.float32)


def reverberate(utterance: Utterance, rt60: float) -> Wave:
    """Let an utterance sound in a room of its own; what rings on after its end is cut.

    Args:
        utterance: T samples.
        rt60: In seconds.

    Returns:
        Shape (T,).
    """
    response = room_response(rt60, utterance.sample_rate, utterance.random)
    samples = len(utterance.wave)
    size = 1 << (samples + len(response) - 2).bit_length()
    product = np.fft.rfft(utterance.wave, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[:samples].astype(np.float32)
