"""What a run needs to be told apart and repeated: command, versions and hardware."""

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("codecfake", "numpy", "prefect", "pyarrow", "soundfile", "soxr", "torch", "transformers")


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
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def describe_environment() -> dict[str, object]:
    """Versions of what touches the audio, and the hardware."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": gpus,
    }
