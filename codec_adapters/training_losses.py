"""How far a decoded wave is from the original: spectra at several resolutions, mel bands, the wave itself."""

import math

import torch
from torch import nn

FFT_SIZES = (2048, 1024, 512, 128)
COMPRESSION = 0.3
MEL_FLOOR = 3e-3
"""Lower floors make a network chase silence."""


class ReconstructionLoss(nn.Module):
    """Mean over FFT sizes of power-compressed magnitude, phase and log-mel distances, plus the wave's L1.

    Args:
        sample_rate: Of the waves, in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self._windows = {size: torch.hann_window(size) for size in FFT_SIZES}
        self._mels = {
            size: mel_filters(sample_rate, size, 80 if size >= 1024 else 40) for size in FFT_SIZES[:-1]
        }

    def forward(self, decoded: torch.Tensor, original: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compare two batches of waves, shape (B, 1, T) each; return the distance of waves and that of spectra."""
        decoded, original = decoded[:, 0], original[:, 0]
        scale = original.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(0.02)
        decoded, original = decoded / scale, original / scale
        spectral = sum(self._spectral(0.1 * decoded, 0.1 * original, size) for size in FFT_SIZES)
        return (decoded - original).abs().mean(), spectral / len(FFT_SIZES)

    def _spectral(self, decoded: torch.Tensor, original: torch.Tensor, size: int) -> torch.Tensor:
        found, wanted = (self._spectrum(wave, size) for wave in (decoded, original))
        found_power, wanted_power = (
            torch.view_as_real(part).square().sum(-1) + 1e-6 for part in (found, wanted)
        )
        found_compressed, wanted_compressed = (
            power ** (COMPRESSION / 2) for power in (found_power, wanted_power)
        )
        loss = 2 * (found_compressed - wanted_compressed).abs().mean()
        if size >= 512:
            found_phased, wanted_phased = (
                torch.view_as_real(part) * (power ** ((COMPRESSION - 1) / 2))[..., None]
                for part, power in ((found, found_power), (wanted, wanted_power))
            )
            loss = loss + (found_phased - wanted_phased).abs().mean()
        if size in self._mels:
            found_mel, wanted_mel = (
                torch.log(self._mels[size] @ power.sqrt() + MEL_FLOOR)
                for power in (found_power, wanted_power)
            )
            loss = loss + (found_mel - wanted_mel).abs().mean()
        return loss

    def _spectrum(self, wave: torch.Tensor, size: int) -> torch.Tensor:
        return torch.stft(
            wave, size, size // 4, window=self._windows[size], return_complex=True, normalized=False
        ) / math.sqrt(size / 2)


def mel_filters(sample_rate: int, fft_size: int, bands: int) -> torch.Tensor:
    """Triangular filters with unit sum on the mel scale, shape (bands, fft_size // 2 + 1)."""
    bins = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1)
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest, bands + 2) / 2595) - 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp_min(0)
    return filters / filters.sum(dim=1, keepdim=True).clamp_min(1e-3)
