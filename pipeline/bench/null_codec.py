"""A codec that does nothing: what is left is the cost of reading, resampling and writing."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters import CodecAdapter, CodecCard

if TYPE_CHECKING:
    import torch


class NullCodec(CodecAdapter):
    """Gives back what it gets, at EnCodec's rate."""

    card = CodecCard(
        id="null",
        name="identity-24khz",
        title="Identity 24 kHz",
        paper="none",
        sample_rate=24_000,
        hop_length=320,
        codebooks=1,
        codebook_size=2,
        padding="none needed",
        batches="right padding exact",
        code_licence="MIT",
        weights_licence="none",
        training_data="none",
    )

    def load(self, checkpoint: Path, network: Mapping[str, Any] | None = None) -> None:
        """Load nothing."""

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return waves
