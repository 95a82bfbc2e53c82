"""What every measurement carries: the command, the commit, the machine and the versions."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from codecfake.manifests.atomic import publish_json, publish_text
from codecfake.manifests.showing import for_markdown, without_passwords

PACKAGES = ("codecfake", "torch", "transformers", "numpy", "soxr", "soundfile", "pyarrow", "prefect")


def environment() -> dict[str, Any]:
    """Describe this run: command, commit, date, hardware and versions, without paths of the machine."""
    return {
        "command": _command(),
        **checkout(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _gpus(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def write_result(folder: Path, name: str, result: dict[str, Any], markdown: str) -> Path:
    """Publish ``<name>.json`` and ``<name>.md`` in a folder, which is made when it is missing.

    Args:
        folder: Folder of the results.
        name: Name of the measurement.
        result: The numbers; its key ``environment``, which :func:`environment` gives, also ends the text.
        markdown: The same for a reader.

    Returns:
        The path of the JSON file.
    """
    path = folder / f"{name}.json"
    publish_json(path, result)
    publish_text(path.with_suffix(".md"), f"{markdown.strip()}\n\n{_footer(result['environment'])}")
    return path


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a table in Markdown; columns of numbers are aligned to the right."""
    marks = [
        "---:" if rows and all(_is_number(row[at]) for row in rows) else "---" for at in range(len(columns))
    ]
    lines = [columns, marks, *([for_markdown(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def peak_mebibytes() -> int:
    """The most memory that this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts what the parent held when it started this process
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 2**10)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if platform.system() == "Darwin" else 2**10))


def _footer(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{package} {found}" for package, found in about["versions"].items())
    changed = " with uncommitted changes" if about["uncommitted_changes"] else ""
    gpus = "".join(f"{gpu}, " for gpu in about["gpus"])
    return (
        f"Command: `{about['command']}`  \n"
        f"Commit: `{about['commit'] or 'unknown'}`{changed}, {about['date']}  \n"
        f"Machine: {gpus}{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}, "
        f"load {about['load_at_start']} at the start  \n"
        f"Versions: Python {about['python']}, {versions}\n"
    )


def _command() -> str:
    program = Path(sys.argv[0]).absolute()
    words = ["python", f"{program.parent.name}/{program.name}"] if program.suffix == ".py" else [program.name]
    return without_passwords(shlex.join([*words, *map(without_folders, sys.argv[1:])]))


def without_folders(argument: str) -> str:
    """A command's argument whose absolute path is cut to its last name."""
    option, equals, value = argument.rpartition("=")
    return f"{option}{equals}{Path(value).name}" if Path(value).is_absolute() else argument


def _git(*arguments: str) -> str:
    """Ask git about the checkout that this file belongs to; an installed copy may lie inside another one."""
    here = Path(__file__).resolve()
    try:
        root = Path(_run_git(here.parent, "rev-parse", "--show-toplevel"))
        return _run_git(root, *arguments) if root == here.parents[1] else ""
    except (OSError, subprocess.CalledProcessError):
        return ""


def _run_git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _gpus() -> list[str]:
    import torch

    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [f"{gpu.name} with {gpu.total_memory / 2**30:.0f} GiB" for gpu in found]


def checkout() -> dict[str, str | bool]:
    """Commit of the git checkout that this code runs from, "" if it is none, and whether it was changed since."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
    }


def cpu_model() -> str:
    """The processor, as its maker names it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _is_number(cell: object) -> bool:
    try:
        float(str(cell).replace(",", "").strip("%* "))
    except ValueError:
        return False
    return True
