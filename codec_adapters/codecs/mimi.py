"""Mimi 24 kHz at 1.1 kbps (arXiv 2410.00037), through the network of `transformers`."""

from typing import TYPE_CHECKING

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.registry import register
from codecfake.codec_adapters.transformers_adapter import TransformersAdapter

if TYPE_CHECKING:
    import torch

FILES = (WeightsFile(path="model.safetensors", megabytes=385),)
CARD = CodecCard(
    id="mimi",
    name="mimi-24khz-1.1kbps",
    title="Mimi 24 kHz, 1.1 kbps",
    paper="Défossez et al. 2024, arXiv 2410.00037",
    sample_rate=24_000,
    hop_length=1920,
    codebooks=8,
    codebook_size=2048,
    padding="zeros to whole frames; convolutions and attention are causal",
    batches="right padding exact",
    context_seconds=4.0,
    code_licence="Apache-2.0 (transformers)",
    weights_licence="CC-BY-4.0",
    training_data="mostly English speech; not published in detail",
    checkpoint=OfficialCheckpoint(name="mimi", repository="kyutai/mimi", files=FILES),
    network={"model_type": "mimi"},
)


@register(CARD)
class Mimi(TransformersAdapter):
    """The first 8 of 32 codebooks, as published for 1.1 kbps; the library's default is all of them."""

    def codes(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return self.network.encode(waves[:, None], num_quantizers=self.card.codebooks).audio_codes
