"""What every benchmark result carries: the command, the commit, the machine and the versions."""

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("codecfake", "torch", "transformers", "numpy", "soxr", "pyarrow", "prefect")


def environment() -> dict[str, Any]:
    """Describe this run: command, commit, date, hardware and versions, without paths of the machine."""
    script = Path(sys.argv[0]).name
    return {
        "command": shlex.join(["python", f"benchmarks/{script}", *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def write_result(name: str, result: dict[str, Any], markdown: str) -> None:
    """Write ``results/<name>.json`` and ``results/<name>.md``.

    Args:
        name: Name of the benchmark.
        result: The numbers; its key ``environment``, which :func:`environment` gives, also ends the text.
        markdown: The same for a reader.
    """
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    about = result["environment"]
    versions = ", ".join(f"{package} {found}" for package, found in about["versions"].items())
    changed = " with uncommitted changes" if about["uncommitted_changes"] else ""
    footer = (
        f"Command: `{about['command']}`  \n"
        f"Commit: `{about['commit']}`{changed}, {about['date']}  \n"
        f"Machine: {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}, "
        f"load {about['load_at_start']} at the start  \n"
        f"Versions: Python {about['python']}, {versions}\n"
    )
    (RESULTS / f"{name}.md").write_text(f"{markdown.strip()}\n\n{footer}", encoding="utf-8")


def _git(*arguments: str) -> str:
    root = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
