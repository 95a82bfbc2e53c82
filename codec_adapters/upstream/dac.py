"""Descript Audio Codec by the package ``descript-audio-codec`` of its authors."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.codec_adapters.checkpoints import load_strictly, official_file, read_pickle, read_tensors
from codecfake.codec_adapters.codecs.dac import filled_up
from codecfake.codec_adapters.upstream import UpstreamAdapter

if TYPE_CHECKING:
    import torch
    from torch import nn


class UpstreamDac(UpstreamAdapter):
    """Its plain path, as with our backend; ``DAC.load`` is left out, because it would run code in a file."""

    def read_upstream(self, checkpoint: Path) -> "nn.Module":
        """See the base class."""
        from dac import DAC

        path = official_file(checkpoint, self.card.checkpoint.files[0].path)
        arguments = read_pickle(path, "metadata", "kwargs")
        known = inspect.signature(DAC).parameters
        network = DAC(**{name: value for name, value in arguments.items() if name in known})
        load_strictly(network, read_tensors(path, "state_dict"), f"{self.card.id}: {path}")
        return network

    def codes(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        _, codes, *_ = self.network.encode(waves[:, None, :])
        return codes

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        quantised, *_ = self.network.encode(waves[:, None, :])
        return filled_up(self.network.decode(quantised)[:, 0, :], waves.shape[1])
