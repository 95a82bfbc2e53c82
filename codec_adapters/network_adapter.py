"""Adapters whose network is a module here: official checkpoints, own checkpoints, or random weights."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from codecfake.codec_adapters.base import CodecAdapter
from codecfake.codec_adapters.checkpoints import Tensors, load_strictly, read_safetensors
from codecfake.codec_adapters.errors import CodecError

if TYPE_CHECKING:
    import torch
    from torch import nn


class Official(NamedTuple):
    """What an official checkpoint gives."""

    tensors: Tensors
    """By the names of our network, weight norm folded."""
    network: Mapping[str, Any]
    """Sizes of the network that they belong to."""


class NetworkAdapter(CodecAdapter):
    """An adapter that builds its network from sizes, and fills it from one of three sources.

    A network offers ``latents(waves)``, ``encode(waves, codebooks)`` and ``decode(encoded)`` over waves of shape
    (B, T), and a ``quantizer``.
    """

    network: Any

    @abstractmethod
    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """Build the network with fresh weights; ``sizes`` is the card's ``network``, or a reduced one."""

    @abstractmethod
    def read_official(self, checkpoint: Path) -> Official:
        """Read the checkpoint as its authors publish it.

        Args:
            checkpoint: Folder of the official files, or, where one file is enough, that file.

        Raises:
            CodecError: If a file is absent, damaged or not what it should be.
        """

    def load(self, checkpoint: Path, network: Mapping[str, Any] | None = None) -> None:
        """Build the network and read its weights; see the base class.

        Args:
            checkpoint: The official checkpoint; with ``network`` given, a safetensors file of our own names.
            network: Sizes of the network in such a file, and its ``working_level`` and ``delay_samples``, if any.
        """
        if network is None:
            tensors, network = self.read_official(checkpoint)
            self.delay_samples = self.card.checkpoint.delay_samples
        else:
            tensors = read_safetensors(checkpoint)
            network = dict(network)
            self.working_level = network.pop("working_level", None)
            self.delay_samples = network.pop("delay_samples", 0)
        try:
            built = self.build(network)
        except (TypeError, ValueError) as error:
            raise CodecError(
                f"{self.card.id}: {checkpoint} comes with sizes of no such network: {error}"
            ) from error
        load_strictly(built, tensors, f"{self.card.id}: {checkpoint}")
        self._take(built)

    def load_random(self, seed: int = 0) -> None:
        """Fill the published network with random weights and spread codebooks: for checks, not for audio."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            built = self.build(self.card.network).eval()
            waves = 0.1 * torch.randn(1, self.padded_length(2 * self.card.sample_rate))
            with torch.inference_mode():
                self._spread_codebooks(built, waves, torch.Generator().manual_seed(seed))
        self._take(built)

    def codes(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return self.network.encode(waves, self.card.codebooks).codes

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return self.network.decode(self.network.encode(waves, self.card.codebooks))

    def lay_out_for_cpu(self) -> None:
        """Give the network the layers that a CPU runs fastest; a family adds those that it alone has."""
        from codecfake.codec_adapters.cpu_layout import lay_out_for_cpu

        lay_out_for_cpu(self.network)

    def _spread_codebooks(
        self, network: "nn.Module", waves: "torch.Tensor", generator: "torch.Generator"
    ) -> None:
        network.quantizer.draw_codebooks(network.latents(waves), generator)

    def _take(self, network: "nn.Module") -> None:
        import torch

        try:
            self.network = network.eval().requires_grad_(False).to(self.device)
        except torch.OutOfMemoryError as error:
            raise CodecError(
                f"{self.card.id}: the network does not fit into the memory of {self.device}; "
                "close what else runs there (nvidia-smi shows it), or --device cpu"
            ) from error
        if torch.device(self.device).type == "cpu":
            self.lay_out_for_cpu()
