"""The Mel front end: log-mel spectrograms whose power part equals torchaudio's ``MelSpectrogram``.

Shape legend: B batch, T samples, F frames.
"""

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from codecfake.detector.crops import SAMPLE_RATE

BANDS = 80
WINDOW_SAMPLES = 512
HOP_SAMPLES = 128

POWER_FLOOR = 1e-6
"""Added before the logarithm: about -60 dB, above the rounding noise of 16-bit audio, so that digital
silence and a dithered one look alike."""


class MelFrontEnd(nn.Module):
    """Turn waves at 16 kHz into log-mel spectrograms; nothing in it is trained.

    80 HTK bands without normalisation from 0 to 8,000 Hz, 512-sample periodic Hann window, hop length 128,
    centred frames with reflected edges, power spectrum. The paper says "Mel" and leaves the compression open
    (the authors' commented-out script stores plain power). The logarithm is taken here because raw power
    spans ten orders of magnitude and a network fed with it hardly trains.
    """

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filter_bank(
            num_frequency_bins=WINDOW_SAMPLES // 2 + 1,
            num_mel_filters=BANDS,
            min_frequency=0.0,
            max_frequency=SAMPLE_RATE / 2,
            sampling_rate=SAMPLE_RATE,
            norm=None,
            mel_scale="htk",
        )
        # Not persistent: they follow from the constants and would only blur what was trained.
        self.register_buffer("filters", torch.from_numpy(filters.T).float().contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW_SAMPLES), persistent=False)

    @staticmethod
    def output_shape(samples: int) -> tuple[int, int]:
        """Bands and frames of a wave of ``samples`` samples."""
        return BANDS, samples // HOP_SAMPLES + 1

    def power(self, waves: torch.Tensor) -> torch.Tensor:
        """Compute the mel power spectrogram.

        Args:
            waves: Shape (B, T), T > 256.

        Returns:
            Shape (B, 80, F), F = T // 128 + 1.
        """
        spectrum = torch.stft(
            waves,
            WINDOW_SAMPLES,
            HOP_SAMPLES,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        return self.filters @ (spectrum.real.square() + spectrum.imag.square())

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """Compute the log-mel spectrogram as an image of one channel.

        Args:
            waves: Shape (B, T), T > 256.

        Returns:
            Shape (B, 1, 80, F), F = T // 128 + 1.
        """
        return torch.log(self.power(waves) + POWER_FLOOR).unsqueeze(1)
