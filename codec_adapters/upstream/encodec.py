"""EnCodec by the package ``encodec`` of its authors."""

from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.codec_adapters.checkpoints import load_strictly, official_file, read_tensors
from codecfake.codec_adapters.codecs.encodec import OFFICIAL_FILE
from codecfake.codec_adapters.upstream import UpstreamAdapter

if TYPE_CHECKING:
    import torch
    from torch import nn


class UpstreamEnCodec(UpstreamAdapter):
    """The 24 kHz network at the card's bit rate."""

    def read_upstream(self, checkpoint: Path) -> "nn.Module":
        """See the base class."""
        from encodec import EncodecModel

        path = official_file(checkpoint, OFFICIAL_FILE)
        network = EncodecModel.encodec_model_24khz(pretrained=False)
        load_strictly(network, read_tensors(path), f"{self.card.id}: {path}")
        network.set_target_bandwidth(self.card.kilobits_per_second)
        return network

    def codes(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        ((codes, _),) = self.network.encode(waves[:, None, :])
        return codes

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return self.network.decode(self.network.encode(waves[:, None, :]))[:, 0, :]
