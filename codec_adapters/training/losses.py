"""How far a decoded wave is from the original: the wave, spectra at several resolutions, mel bands, envelopes.

Shapes: B batch, T samples, N bins of a spectrum, F frames.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

COMPRESSION = 0.3
"""Power to which magnitudes are raised before they are compared."""
SMALLEST_PHASE_SIZE = 512
"""Shorter spectra are compared in magnitude alone: their bins are too wide to have one phase."""
MEL_FLOOR = 3e-3
"""Lower floors make a network chase silence."""
QUIETEST = 0.01
"""Root mean square that quieter crops are taken to have, so that a pause does not outweigh speech."""

ENVELOPE_BANDS = 15
LOWEST_ENVELOPE_BAND = 150.0
ENVELOPE_WINDOW_SECONDS = 0.0256


@dataclass(frozen=True)
class LossWeights:
    """What each distance counts for; a distance of weight 0 is not computed.

    Args:
        wave: Mean absolute difference of waves of unit level.
        magnitude: Of power-compressed magnitudes.
        phase: Of power-compressed complex spectra.
        mel: Of log-mel spectra.
        envelope: One minus the correlation over time of third-octave envelopes.
        commitment: Of latents from their codewords, relative to the latents' variance.
        codebook: Of codewords from their latents; only where codebooks learn by gradient.
        adversarial: What the discriminators say of the decoded wave.
        feature_matching: Of the discriminators' features of decoded wave and original.
    """

    wave: float = 6.0
    magnitude: float = 2.0
    phase: float = 0.75
    mel: float = 0.75
    envelope: float = 2.0
    commitment: float = 0.2
    codebook: float = 0.0
    adversarial: float = 0.0
    feature_matching: float = 0.0

    def total(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Weigh and sum ``losses``, which bear the names of the fields."""
        return sum(getattr(self, name) * loss for name, loss in losses.items())


class ReconstructionLoss(nn.Module):
    """The distances of ``LossWeights`` that compare two waves, each a mean over its resolutions.

    Args:
        sample_rate: Of the waves, in Hz.
        fft_sizes: Resolutions; every hop is a quarter of its size.
    """

    def __init__(self, sample_rate: int, fft_sizes: tuple[int, ...] = (2048, 1024, 512, 128)) -> None:
        super().__init__()
        self._fft_sizes = fft_sizes
        for size in fft_sizes:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            bands = 80 if size >= 1024 else 40
            if size >= SMALLEST_PHASE_SIZE:
                self.register_buffer(
                    f"mel_{size}",
                    mel_filters(sample_rate, size, bands),
                    persistent=False,
                )
        self.envelopes = EnvelopeDistance(sample_rate)

    def forward(
        self, decoded: torch.Tensor, original: torch.Tensor, weights: LossWeights
    ) -> dict[str, torch.Tensor]:
        """Compare waves of shape (B, T) with each other.

        Returns:
            The distances that ``weights`` gives any weight, not yet weighted, by name.
        """
        with torch.autocast(decoded.device.type, enabled=False):
            level = original.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(QUIETEST)
            decoded, original = decoded.float() / level, original / level
            losses = {}
            if weights.wave:
                losses["wave"] = (decoded - original).abs().mean()
            resolutions = [self._spectral(decoded, original, weights, size) for size in self._fft_sizes]
            for name in ("magnitude", "phase", "mel"):
                found = [resolution[name] for resolution in resolutions if name in resolution]
                if found:
                    losses[name] = torch.stack(found).mean()
            if weights.envelope:
                losses["envelope"] = self.envelopes(decoded, original)
            return losses

    def _spectral(
        self,
        decoded: torch.Tensor,
        original: torch.Tensor,
        weights: LossWeights,
        size: int,
    ) -> dict[str, torch.Tensor]:
        found, wanted = (self._views(wave, weights, size) for wave in (decoded, original))
        return {name: (found[name] - wanted[name]).abs().mean() for name in found}

    def _views(self, waves: torch.Tensor, weights: LossWeights, size: int) -> dict[str, torch.Tensor]:
        """What is compared of waves, at one resolution."""
        spectra = spectra_of(waves, getattr(self, f"window_{size}"), size // 4)
        parts = torch.view_as_real(spectra) * (0.1 / math.sqrt(size / 2))
        power = parts.square().sum(-1) + 1e-6
        views = {}
        if weights.magnitude:
            views["magnitude"] = power ** (COMPRESSION / 2)
        if weights.phase and size >= SMALLEST_PHASE_SIZE:
            views["phase"] = parts * (power ** ((COMPRESSION - 1) / 2))[..., None]
        if weights.mel and size >= SMALLEST_PHASE_SIZE:
            views["mel"] = torch.log(power.sqrt() @ getattr(self, f"mel_{size}") + MEL_FLOOR)
        return views


class EnvelopeDistance(nn.Module):
    """One minus the correlation over time of the envelopes of third-octave bands.

    Intelligibility measures compare these (Taal et al. 2011, "An Algorithm for Intelligibility Prediction of
    Time-Frequency Weighted Noisy Speech"): 15 bands from 150 Hz on, frames of 25.6 ms, half overlapping.

    Args:
        sample_rate: Of the waves, in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self._window_length = int(sample_rate * ENVELOPE_WINDOW_SECONDS) // 2 * 2
        self._fft_size = 2 ** math.ceil(math.log2(1.5 * self._window_length))
        centres = LOWEST_ENVELOPE_BAND * 2 ** (torch.arange(ENVELOPE_BANDS)[:, None] / 3)
        frequencies = torch.linspace(0, sample_rate / 2, self._fft_size // 2 + 1)
        bands = (frequencies >= centres * 2 ** (-1 / 6)) & (frequencies < centres * 2 ** (1 / 6))
        self.register_buffer("bands", bands.float().T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(self._window_length), persistent=False)

    def forward(self, decoded: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
        """Compare waves of shape (B, T)."""
        found, wanted = (self._centred_envelopes(waves) for waves in (decoded, original))
        norms = found.norm(dim=1) * wanted.norm(dim=1)
        return 1 - ((found * wanted).sum(dim=1) / (norms + 1e-4)).mean()

    def _centred_envelopes(self, waves: torch.Tensor) -> torch.Tensor:
        spectra = spectra_of(waves, self.window, self._window_length // 2, self._fft_size)
        power = torch.view_as_real(spectra).square().sum(-1) @ self.bands
        envelopes = (power + 1e-8).sqrt()
        return envelopes - envelopes.mean(dim=1, keepdim=True)


class _RealSpectrum(torch.autograd.Function):
    """The spectrum of real frames; torch's own gradient takes a complex transform of twice the work."""

    @staticmethod
    def forward(context, frames: torch.Tensor, size: int) -> torch.Tensor:
        context.sizes = frames.shape[-1], size
        return torch.fft.rfft(frames, size)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        length, size = context.sizes
        halved = gradient * (size / 2)
        halved[..., 0] *= 2
        if size % 2 == 0:
            halved[..., -1] *= 2
        return torch.fft.irfft(halved, size)[..., :length], None


def spectra_of(
    waves: torch.Tensor,
    window: torch.Tensor,
    hop_length: int,
    fft_size: int | None = None,
) -> torch.Tensor:
    """Short-time spectra of waves, shape (B, T), without padding: complex, shape (B, F, N)."""
    frames = waves.unfold(-1, len(window), hop_length) * window
    return _RealSpectrum.apply(frames, fft_size or len(window))


def mel_filters(sample_rate: int, fft_size: int, bands: int) -> torch.Tensor:
    """Triangular filters with unit sum on the mel scale, shape (fft_size // 2 + 1, bands)."""
    bins = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1)
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest, bands + 2) / 2595) - 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp_min(0)
    return (filters / filters.sum(dim=1, keepdim=True).clamp_min(1e-3)).T.contiguous()
