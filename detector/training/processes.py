"""The processes that train one network together, through Lightning Fabric, or this process alone.

Fabric starts them, on one host or many; sums and means over them are `codec_adapters.training.processes`.
Several hosts: ``torchrun --nnodes H --nproc-per-node N ... codecfake train ... --devices N`` or ``srun`` on each.
"""

import os
from typing import TYPE_CHECKING

import torch

from codecfake.codec_adapters.training.processes import sum_over_processes
from codecfake.manifests.errors import CodecfakeError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def is_first_process() -> bool:
    """Whether this is the process that reports and writes; launchers number the others with these variables."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return os.environ[name] == "0"
    return os.environ.get("NODE_RANK", "0") == "0" and os.environ.get("LOCAL_RANK", "0") == "0"


def starts_processes(devices: int) -> bool:
    """Whether a training on so many devices of each host takes several processes."""
    return devices * _hosts() > 1


class Processes:
    """This process among those that train together.

    Args:
        device: As torch names it; "cpu" or "cuda" where there are several.
        devices: Devices of each host, each with a process.

    Raises:
        CodecfakeError: If there are not so many devices, or Lightning Fabric, which more than one needs, is not
            installed.
    """

    def __init__(self, device: str | torch.device, devices: int = 1) -> None:
        fabric = _launch(torch.device(device).type, devices, _hosts()) if starts_processes(devices) else None
        self.count = fabric.world_size if fabric else 1
        self.rank = fabric.global_rank if fabric else 0
        self.device = fabric.device if fabric else torch.device(device)
        self.is_first = self.rank == 0

    def any(self, wish: bool) -> bool:
        """Whether any process wishes so: all of them get the same answer."""
        if self.count == 1:
            return wish
        wishes = torch.tensor(float(wish), device=self.device)
        sum_over_processes(wishes)
        return bool(wishes > 0)


def _hosts() -> int:
    """How many hosts the launcher has started this command on."""
    if "LOCAL_WORLD_SIZE" in os.environ and "WORLD_SIZE" in os.environ:  # torchrun
        return int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"])
    return int(os.environ.get("SLURM_NNODES", "1")) if "SLURM_PROCID" in os.environ else 1


def _launch(device: str, devices: int, hosts: int) -> "Fabric":
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise CodecfakeError(
            f"--devices {devices} on {hosts} hosts needs Lightning Fabric, which is not installed",
            next_step="pip install 'codecfake[train]', or --devices 1",
        ) from error
    if device == "cuda" and devices > torch.cuda.device_count():
        raise CodecfakeError(
            f"--devices {devices}: this machine offers {torch.cuda.device_count()} CUDA devices",
            next_step="nvidia-smi shows them; CUDA_VISIBLE_DEVICES may hide some",
        )
    fabric = Fabric(accelerator=device, devices=devices, num_nodes=hosts, strategy="ddp")
    fabric.launch()
    return fabric
