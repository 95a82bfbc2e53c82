"""The Mel front end: mel spectrograms whose power equals torchaudio's ``MelSpectrogram``.

Shape legend: B batch, T samples, F frames.
"""

from typing import Any

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from codecfake.detector.crops import CROP_SAMPLES, SAMPLE_RATE
from codecfake.manifests.errors import CodecfakeError

BANDS = 80
WINDOW_SAMPLES = 512
HOP_SAMPLES = 128
COMPRESSIONS = ("log", "none")

POWER_FLOOR = 1e-6
"""Added before the logarithm: about -60 dB, above the rounding noise of 16-bit audio, so that digital
silence and a dithered one look alike."""


def describe_mel(compression: str) -> dict[str, Any]:
    """Give the description of the Mel front end.

    Raises:
        CodecfakeError: If there is no such compression.
    """
    if compression not in COMPRESSIONS:
        raise CodecfakeError(f"no mel compression {compression!r}; there are {', '.join(COMPRESSIONS)}")
    description = {
        "name": "mel",
        "bands": BANDS,
        "window_samples": WINDOW_SAMPLES,
        "hop_samples": HOP_SAMPLES,
        "scale": "htk",
        "compression": compression,
    }
    return description | ({"power_floor": POWER_FLOOR} if compression == "log" else {})


class MelFrontEnd(nn.Module):
    """Turn waves at 16 kHz into mel spectrograms; nothing in it is trained.

    80 HTK bands without normalisation from 0 to 8,000 Hz, 512-sample periodic Hann window, hop length 128,
    centred frames with reflected edges, power spectrum. The paper says "Mel" and leaves the compression open
    (the authors' commented-out script stores plain power). The logarithm is the default because raw power
    spans ten orders of magnitude and a network fed with it hardly trains.

    Args:
        compression: "log", or "none" for plain power.
    """

    output_shape = (BANDS, CROP_SAMPLES // HOP_SAMPLES + 1)
    """Bands and frames of 64,600 samples."""
    precision = "float32"
    weights_sha256 = ""

    def __init__(self, compression: str = "log") -> None:
        super().__init__()
        self.compression = compression
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

    @torch.no_grad()
    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """Compute the spectrogram as an image of one channel.

        Args:
            waves: Shape (B, T), T > 256.

        Returns:
            Shape (B, 1, 80, F), F = T // 128 + 1, float32 also where the caller computes in bfloat16.
        """
        with torch.autocast(waves.device.type, enabled=False):
            power = self.power(waves.float()).unsqueeze(1)
            return torch.log(power + POWER_FLOOR) if self.compression == "log" else power
