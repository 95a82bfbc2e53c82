"""Adapters over the codec classes of `transformers`: a card, and how the class is asked for its codes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.checkpoints import SHOWN_KEYS, official_file, read_safetensors
from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official

if TYPE_CHECKING:
    import torch
    from torch import nn

CODEBOOKS = ("codebook.embed", "codebook.embed_sum")
"""How the names of codebook buffers end."""


class TransformersAdapter(NetworkAdapter):
    """An adapter whose network is the `transformers` model of the ``model_type`` in its card's ``network``.

    A subclass gives ``codes``, and ``reconstruct`` where decoding takes more than the codes. Its checkpoint is
    the ``model.safetensors`` of a hub repository.
    """

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """Build the network from a configuration of `transformers`.

        Args:
            sizes: ``model_type``, and what differs from that configuration's defaults.
        """
        from transformers import AutoConfig, AutoModel

        return AutoModel.from_config(AutoConfig.for_model(**sizes))

    def read_official(self, checkpoint: Path) -> Official:
        """Read ``model.safetensors``, strictly; `transformers` maps the names that older releases of it gave."""
        import torch
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        path = official_file(checkpoint, "model.safetensors")
        with torch.device("meta"):
            outline = self.build(self.card.network)
        network, report = type(outline).from_pretrained(
            None,
            config=outline.config,
            state_dict=read_safetensors(path),
            ignore_mismatched_sizes=True,  # they are reported, and refused below
            output_loading_info=True,
        )
        problems = [
            f"{what.replace('_', ' ')}: {', '.join(sorted(map(str, keys))[:SHOWN_KEYS])}"
            for what, keys in report.items()
            if keys
        ]
        if problems:
            raise CodecError(f"{self.card.id}: {path} does not fit the network: {'; '.join(problems)}")
        return Official(network.state_dict(), self.card.network)

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return self.network.decode(self.codes(waves)).audio_values[:, 0]

    def _spread_codebooks(
        self, network: "nn.Module", waves: "torch.Tensor", generator: "torch.Generator"
    ) -> None:
        import torch

        for name, codebook in network.named_buffers():
            if name.endswith(CODEBOOKS):
                codebook.copy_(torch.randn(codebook.shape, generator=generator))
