"""Where a machine's workers run: one per GPU, or some on the CPU."""

import os
from dataclasses import dataclass

from codecfake.manifests.errors import CodecfakeError


@dataclass(frozen=True)
class Place:
    """What one worker has to itself."""

    name: str
    """As in gpu0 or cpu1."""
    gpu: str | None
    """As CUDA names it; ``None`` for the CPU."""
    threads: int
    """Its part of the machine's cores."""

    @property
    def variables(self) -> dict[str, str]:
        """Environment that keeps programs to this place."""
        threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(self.threads)}
        return {"CUDA_VISIBLE_DEVICES": self.gpu or "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **threads}


def find_places(gpus: str | None, processes: int | None) -> list[Place]:
    """Settle where workers run.

    Args:
        gpus: Names of GPUs, separated by commas; ``None`` for all that this process sees, or the CPU without any.
        processes: Number of places on the CPU, instead of GPUs.

    Raises:
        CodecfakeError: If a GPU is named twice, or one that this process does not see.
    """
    if processes is not None:
        return _places("cpu", [None] * processes)
    visible = _visible_gpus()
    if gpus is None:
        return _places("gpu", visible) if visible else _places("cpu", [None])
    named = [name.strip() for name in gpus.split(",")]
    unknown = [name for name in named if name not in visible]
    if unknown or len(set(named)) < len(named):
        raise CodecfakeError(
            f"--gpus {gpus}: "
            + (f"there is no GPU {', '.join(unknown)}" if unknown else "a GPU is named twice"),
            cause=f"CUDA shows {', '.join(visible)}" if visible else "CUDA shows no GPU here",
            next_step="nvidia-smi -L" if visible else "codecfake worker --processes 1 works on the CPU",
        )
    return _places("gpu", named)


def _places(kind: str, gpus: "list[str] | list[None]") -> list[Place]:
    threads = max(1, len(os.sched_getaffinity(0)) // len(gpus))
    return [Place(f"{kind}{gpu or number}", gpu, threads) for number, gpu in enumerate(gpus)]


def _visible_gpus() -> list[str]:
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(number) for number in range(count)]
