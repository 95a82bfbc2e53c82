"""Noise at a stated signal-to-noise ratio: white, pink, and the babble of the run's own other speakers."""

from itertools import islice

import numpy as np

from codecfake.codec_adapters.resampling import Wave
from codecfake.pipeline.conditions.processing import Silent, Utterance, power

BABBLE_VOICES = 5


def add_noise(utterance: Utterance, noise: Wave, snr_db: float) -> Wave:
    """Add noise to speech that stays as it is.

    Args:
        utterance: The speech, T samples.
        noise: Shape (T,).
        snr_db: Ratio of the powers over the whole file.

    Returns:
        Shape (T,).
    """
    scale = np.sqrt(power(utterance.wave) / power(noise) / 10 ** (snr_db / 10))
    return utterance.wave + np.float32(scale) * noise


def white(utterance: Utterance) -> Wave:
    """Gaussian noise, shape (T,)."""
    return utterance.random.standard_normal(len(utterance.wave), dtype=np.float32)


def pink(utterance: Utterance) -> Wave:
    """Gaussian noise whose power falls by 3 dB per octave, shape (T,)."""
    samples = len(utterance.wave)
    spectrum = np.fft.rfft(white(utterance))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def babble(utterance: Utterance) -> Wave:
    """Up to ``BABBLE_VOICES`` other voices of the run, each as loud as the others, repeated to shape (T,)."""
    samples = len(utterance.wave)
    total = np.zeros(samples, np.float32)
    for voice in islice(utterance.other_voices(), BABBLE_VOICES):
        start = int(utterance.random.integers(len(voice)))
        total += np.resize(np.roll(voice, -start), samples) / np.float32(np.sqrt(power(voice)))
    if not total.any():
        raise Silent("no file of another speaker can be read")
    return total
