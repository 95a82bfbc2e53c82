"""What a run needs to be told apart and repeated: command, versions and hardware."""

import os
import platform
import shlex
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from codecfake.manifests.measurements import checkout, cpu_model
from codecfake.manifests.showing import without_passwords

OPTIONAL_PACKAGES = ("espeakng-loader",)
PACKAGES = ("codecfake", "numpy", "prefect", "pyarrow", "soundfile", "soxr", "torch", "transformers")
ARITHMETIC_VARIABLES = (
    *("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"),
)
"""Environment variables that change how numbers are rounded; none of them is a secret."""
GPU_DRIVER = Path("/proc/driver/nvidia/version")


def codecfake_version() -> str:
    """Version of the installed package."""
    return version("codecfake")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe_process() -> dict[str, str | int]:
    """Who is running: host, process id, start and command line."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "started": now(),
        "command": without_passwords(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
    }


def describe_environment() -> dict[str, object]:
    """Versions of what touches the audio, what chooses its arithmetic, and the hardware."""
    import soundfile
    import soxr
    import torch

    from codecfake.pipeline.devices import cpu_count

    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES} | _installed(OPTIONAL_PACKAGES),
        "libraries": {
            "libsndfile": soundfile.__libsndfile_version__,
            "libsoxr": soxr.__libsoxr_version__,
            "torch commit": torch.version.git_version,
            "CUDA": torch.version.cuda or "none",
            "cuDNN": _cudnn(),
        },
        "code": checkout(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpu instructions": torch.backends.cpu.get_cpu_capability(),
        "cpus": os.cpu_count(),
        "usable cpus": cpu_count(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "gpu driver": _gpu_driver(),
        "arithmetic": {name: os.environ[name] for name in ARITHMETIC_VARIABLES if name in os.environ},
    }


def _cudnn() -> str:
    import torch

    try:
        return str(torch.backends.cudnn.version() or "none")
    except RuntimeError as error:  # another one than torch was compiled with
        return str(error).splitlines()[0]


@cache
def describe_maker(device: str) -> dict[str, str]:
    """What decides the last bits of a shard: processor or GPU, and the versions that another machine may not have.

    Args:
        device: As torch names it.
    """
    import torch

    processor = torch.cuda.get_device_name(device) if device.startswith("cuda") else cpu_model()
    instructions = {} if device.startswith("cuda") else {"with": torch.backends.cpu.get_cpu_capability()}
    return {"processor": processor, **instructions, "torch": version("torch"), "soxr": version("soxr")}


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _gpu_driver() -> str:
    """Version of NVIDIA's kernel module, "" without one."""
    try:
        first = GPU_DRIVER.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return ""
    return next((word for word in first.split() if word[:1].isdigit() and "." in word), "")
