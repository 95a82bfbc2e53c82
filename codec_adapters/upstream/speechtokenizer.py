"""SpeechTokenizer by the package ``speechtokenizer`` of its authors."""

from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.codec_adapters.checkpoints import load_strictly, official_file, read_tensors
from codecfake.codec_adapters.codecs.speechtokenizer import SETTINGS, WEIGHTS
from codecfake.codec_adapters.official_settings import read_settings
from codecfake.codec_adapters.upstream import UpstreamAdapter

if TYPE_CHECKING:
    import torch
    from torch import nn


class UpstreamSpeechTokenizer(UpstreamAdapter):
    """The network that ``config.json`` beside the weights describes, with all the card's codebooks."""

    def read_upstream(self, checkpoint: Path) -> "nn.Module":
        """See the base class."""
        from speechtokenizer import SpeechTokenizer

        path = official_file(checkpoint, WEIGHTS)
        network = SpeechTokenizer(read_settings(path.with_name(SETTINGS)))
        load_strictly(network, read_tensors(path), f"{self.card.id}: {path}")
        return network

    def codes(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return self.network.encode(waves[:, None, :], n_q=self.card.codebooks).transpose(0, 1)

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return self.network.decode(self.codes(waves).transpose(0, 1))[:, 0, :]
