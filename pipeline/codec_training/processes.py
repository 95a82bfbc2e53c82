"""One process per device, through Lightning Fabric, or this process alone."""

import os
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def is_first_process() -> bool:
    """Whether this is the process that the user started; the launch starts the others with the same command."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


class Processes:
    """This process among those that train together.

    Args:
        device: "cpu" or "cuda".
        count: Devices, each with a process.

    Raises:
        CodecfakeError: If there are not so many devices, or Lightning Fabric, which more than one needs, is not
            installed.
    """

    def __init__(self, device: str, count: int) -> None:
        self.fabric: Fabric | None = _launch(device, count) if count > 1 else None
        self.count = count
        self.rank = self.fabric.global_rank if self.fabric else 0
        self.is_first = self.rank == 0

    def any(self, wish: bool) -> bool:
        """Whether any process wishes so: all of them get the same answer."""
        if self.fabric is None:
            return wish
        return bool(self.fabric.all_reduce(float(wish), reduce_op="sum") > 0)


def _launch(device: str, count: int) -> "Fabric":
    import torch

    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise CodecfakeError(
            f"--devices {count} needs Lightning Fabric, which is not installed",
            next_step="pip install 'codecfake[train]', or --devices 1",
        ) from error
    if device == "cuda" and count > torch.cuda.device_count():
        raise CodecfakeError(
            f"--devices {count}: this machine offers {torch.cuda.device_count()} CUDA devices",
            next_step="nvidia-smi shows them; CUDA_VISIBLE_DEVICES may hide some",
        )
    fabric = Fabric(accelerator=device, devices=count, strategy="ddp")
    fabric.launch()
    return fabric
