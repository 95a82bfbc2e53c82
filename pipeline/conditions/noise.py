"""Noise at a stated signal-to-noise ratio: white, pink, and the babble of the run's own other speakers."""

from itertools import islice

import numpy as np

from codecfake.codec_adapters.resampling import Wave
from codecfake.pipeline.conditions.processing import Silent, Utterance, heard_power

BABBLE_VOICES = 5


def add_noise(utterance: Utterance, noise: Wave, snr_db: float) -> Wave:
    """Add noise to speech that stays as it is.

    Args:
        utterance: The speech, T samples.
        noise: Shape (T,).
        snr_db: Ratio of the powers over the whole file, in the band that detectors hear.

    Returns:
        Shape (T,).
    """
    rate = utterance.sample_rate
    ratio = heard_power(utterance.wave, rate) / heard_power(noise, rate)
    scale = np.sqrt(ratio / 10 ** (snr_db / 10))
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
        loudness = np.float32(np.sqrt(heard_power(voice, utterance.sample_rate)))
        total += np.resize(np.roll(voice, -start), samples) / loudness
    if not total.any():
        raise Silent("no file of another speaker can be read")
    return total
