"""Descript Audio Codec 44.1 kHz at 8 kbps (F07), through the network of `transformers`.

Paper: Kumar et al., 2023, "High-Fidelity Audio Compression with Improved RVQGAN" (arXiv 2306.06546).
The plain encode/decode path: ``compress`` would normalise the loudness to -16 LUFS and cut into windows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.base import CodecAdapter
from codecfake.codec_adapters.card import CodecCard, HubWeights
from codecfake.codec_adapters.checkpoints import load_strictly
from codecfake.codec_adapters.registry import register

if TYPE_CHECKING:
    import torch

PUBLISHED_NETWORK = {
    "sampling_rate": 44_100,
    "encoder_hidden_size": 64,
    "downsampling_ratios": [2, 4, 8, 8],
    "decoder_hidden_size": 1536,
    "upsampling_ratios": [8, 8, 4, 2],
    "n_codebooks": 9,
    "codebook_size": 1024,
    "codebook_dim": 8,
}


@register
class Dac44kHz(CodecAdapter):
    """Non-causal convolutions that see their padding: only equal frame counts may share a batch."""

    card = CodecCard(
        id="F07",
        name="dac-44khz-8kbps",
        title="Descript Audio Codec 44.1 kHz, 8 kbps",
        paper="Kumar et al. 2023, arXiv 2306.06546",
        sample_rate=44_100,
        hop_length=512,
        codebooks=9,
        codebook_size=1024,
        padding="zeros to whole frames, alone and in a batch alike; never to another utterance's length",
        code_licence="MIT",
        weights_licence="MIT",
        training_data="general audio: speech (VCTK among it), music, environmental sound",
        weights=HubWeights(repository="descript/dac_44khz", revision="main", filename="model.safetensors"),
    )

    def load(self, checkpoint: Path, network: Mapping[str, Any] | None = None) -> None:
        """See the base class."""
        from transformers import DacConfig, DacModel

        self.network = DacModel(DacConfig(**(network or PUBLISHED_NETWORK)))
        load_strictly(self.network, checkpoint, self.card.id)
        self.network.eval().to(self.device)

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        quantised = self.network.encode(waves[:, None, :]).quantized_representation
        return self.network.decode(quantised).audio_values
