"""Networks of the packages that the codecs' authors published, in place of ours."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.network_adapter import NetworkAdapter

if TYPE_CHECKING:
    from torch import nn


class UpstreamAdapter(NetworkAdapter):
    """Put before a codec's own adapter, it takes the network from the authors' package, and keeps all else.

    A subclass gives ``read_upstream``, ``codes`` and ``reconstruct``.
    """

    @abstractmethod
    def read_upstream(self, checkpoint: Path) -> "nn.Module":
        """Build the package's network, and fill it from the official checkpoint, strictly and as data only."""

    def load(self, checkpoint: Path, network: Mapping[str, Any] | None = None) -> None:
        """See the base class.

        Raises:
            CodecError: If sizes are given: the package builds the published network alone.
        """
        if network is not None:
            raise CodecError(
                f"{self.card.id}: --backend upstream runs official weights, not {checkpoint.name}; "
                "leave it out, or take --weights official"
            )
        self.delay_samples = self.card.checkpoint.delay_samples
        self._take(self.read_upstream(checkpoint))

    def load_random(self, seed: int = 0) -> None:
        """See the base class; random weights are made for our networks alone."""
        raise CodecError(
            f"{self.card.id}: --backend upstream has no random weights; leave it out, or give --weights FOLDER"
        )
