"""EnCodec 24 kHz at 6 kbps (F04), through the network of `transformers`.

Paper: Défossez et al., 2022, "High Fidelity Neural Audio Compression" (arXiv 2210.13438).
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


@register
class EnCodec24kHz(CodecAdapter):
    """Causal SEANet with a residual quantiser; a zero-padded end only changes the padded frame."""

    card = CodecCard(
        id="F04",
        name="encodec-24khz-6kbps",
        title="EnCodec 24 kHz, 6 kbps",
        paper="Défossez et al. 2022, arXiv 2210.13438",
        sample_rate=24_000,
        hop_length=320,
        codebooks=8,
        codebook_size=1024,
        padding="zeros to whole frames; the network is causal",
        code_licence="MIT",
        weights_licence="not stated; distributed with MIT code",
        training_data="general audio: speech, music, environmental sound",
        weights=HubWeights(
            repository="facebook/encodec_24khz", revision="main", filename="model.safetensors"
        ),
    )

    def load(self, checkpoint: Path, network: Mapping[str, Any] | None = None) -> None:
        """See the base class."""
        from transformers import EncodecConfig, EncodecModel

        self.network = EncodecModel(EncodecConfig(**(network or {})))
        load_strictly(self.network, checkpoint, self.card.id)
        self.network.eval().to(self.device)

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class; the bandwidth is given because the library's default is 1.5 kbps."""
        encoded = self.network.encode(waves[:, None, :], bandwidth=self.card.kilobits_per_second)
        decoded = self.network.decode(encoded.audio_codes, encoded.audio_scales)
        return decoded.audio_values[:, 0, :]
