"""What the checks of the contract need: speech-like test signals, an adapter to probe, and a measure of difference."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from codecfake.codec_adapters.base import CodecAdapter
from codecfake.codec_adapters.resampling import Wave

if TYPE_CHECKING:
    import torch

UTTERANCES = 4
SECONDS = 0.6
PEAK = 0.1
"""Far below full scale, so that a codec which brings its input to a level of its own shows it."""


def speech_like(seconds: float, sample_rate: int, seed: int) -> Wave:
    """Make a voice of gliding pitch and formants, closing and opening, with breath and hiss.

    Returns:
        Shape (T,), peak ``PEAK``.
    """
    rng = np.random.default_rng(seed)
    samples = round(seconds * sample_rate)

    def glide(low: float, high: float, knots_per_second: float) -> np.ndarray:
        knots = int(seconds * knots_per_second) + 2
        return np.interp(np.linspace(0, knots - 1, samples), np.arange(knots), rng.uniform(low, high, knots))

    pitch = glide(100, 180, 4)
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.01 * rng.standard_normal(samples))) / sample_rate
    formants = [(glide(300, 800, 6), 60), (glide(900, 2200, 6), 90), (glide(2300, 3000, 6), 120)]
    voice = np.zeros(samples)
    for harmonic in range(1, int(min(4_000, 0.45 * sample_rate) / 180)):
        resonances = (1 / (1 + ((harmonic * pitch - centre) / width) ** 2) for centre, width in formants)
        gain = sum(resonance / rank for rank, resonance in enumerate(resonances, start=1))
        voice += gain / harmonic**0.5 * np.sin(harmonic * phase)
    noise = rng.standard_normal(samples)
    openness = glide(0, 1, 8)
    hiss = (1 - openness) * np.diff(noise, prepend=0)
    wave = openness * voice + voice.std() * (0.05 * noise + 0.15 * hiss)
    return (PEAK * wave / np.abs(wave).max()).astype(np.float32)


class Probe:
    """An adapter under test, with what several checks need of it made once.

    Args:
        adapter: With its weights loaded.
        trained: Whether its weights are meant for audio.
    """

    def __init__(self, adapter: CodecAdapter, *, trained: bool) -> None:
        self.adapter = adapter
        self.trained = trained
        self.card = adapter.card
        self.rate = adapter.card.sample_rate
        self.hop = adapter.card.hop_length

    @cached_property
    def waves(self) -> list[Wave]:
        """Utterances of equal length at the codec's rate."""
        return [speech_like(SECONDS, self.rate, seed) for seed in range(UTTERANCES)]

    @cached_property
    def singles(self) -> list[Wave]:
        """What the codec makes of each of them alone."""
        return [self.run(wave) for wave in self.waves]

    def run(self, wave: np.ndarray) -> Wave:
        """Send one utterance at the codec's rate through the codec."""
        (output,) = self.adapter.resynthesize([wave], self.rate)
        return output

    def prepared(self, waves: Sequence[Wave]) -> "torch.Tensor":
        """Shape (B, T), as the network is given them."""
        import torch

        padded = np.stack([self.adapter.prepare(wave, self.rate).wave for wave in waves])
        return torch.from_numpy(padded).to(self.adapter.device)

    def codes(self, waves: "torch.Tensor") -> np.ndarray | None:
        """Shape (B, K, F), or ``None`` where the adapter does not show its codes."""
        import torch

        with torch.inference_mode(), suppress(NotImplementedError):
            return self.adapter.codes(waves).cpu().numpy()
        return None


def signal_to_noise(reference: Wave, other: Wave) -> float:
    """Signal-to-noise ratio of ``other`` in dB: infinite where both are the same, minus infinite at another length."""
    if len(reference) != len(other):
        return -np.inf
    noise = float(np.square(reference - other, dtype=np.float64).sum())
    signal = float(np.square(reference, dtype=np.float64).sum())
    return np.inf if noise == 0 else float(10 * np.log10(max(signal, 1e-20) / noise))


def in_decibels(ratio: float) -> str:
    """Say a signal-to-noise ratio in words."""
    return "bit-identical" if ratio == np.inf else f"at {ratio:.0f} dB"
