"""Building run folders in tests, in this process or in one that may be killed."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import speech

from codecfake.manifests.reasons import Reason
from codecfake.pipeline import shards
from codecfake.pipeline.build import BuildReport, build
from codecfake.pipeline.config import RunConfig, make_config
from codecfake.pipeline.local_devices import run_locally
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retrying import RetryReport, retry
from codecfake.pipeline.status import planned_shards
from codecfake.pipeline.verification import VerifyReport, verify

SMALL_SHARDS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
from codecfake.pipeline import shards
shards.MINIMUM_UTTERANCES, shards.MAXIMUM_UTTERANCES = 4, 6
from codecfake.flows.cli import main
main()
"""
"""The command, with shards small enough that a few utterances make several."""


def cut_small_shards(monkeypatch) -> None:
    monkeypatch.setattr(shards, "MINIMUM_UTTERANCES", 4)
    monkeypatch.setattr(shards, "MAXIMUM_UTTERANCES", 6)


def settings(corpora, outside, out: Path, **changes) -> RunConfig:
    """Configuration of a run with the outside codec."""
    given = {"vctk": corpora.vctk, "aishell3": corpora.aishell3, "out": out, "codecs": "X1", "device": "cpu"}
    return make_config(given | {"weights": str(outside.weights)} | changes)


def build_here(config: RunConfig, monitor: Monitor | None = None) -> BuildReport:
    return build(config, monitor or Monitor(), run_locally)


class ChangingCorpora:
    """Corpora that a test may change."""

    def __init__(self, folder: Path) -> None:
        self.vctk = speech.write_vctk(folder / "vctk", speakers=2)
        self.aishell3 = speech.write_aishell3(folder / "aishell3", speakers=2)


def build_repaired(outside, folder: Path) -> RunConfig:
    """A run below ``folder`` of which one recording was broken, then repaired and retried."""
    corpora = ChangingCorpora(folder)
    broken = corpora.vctk / "wav48_silence_trimmed" / "p225" / "p225_002_mic1.flac"
    content = broken.read_bytes()
    broken.write_bytes(b"")
    config = settings(corpora, outside, folder / "run")
    build_here(config)
    broken.write_bytes(content)
    retry_here(config)
    return config


class Listener(Monitor):
    """Remembers what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class StopAfter(Monitor):
    """Stops like Ctrl-C after some files."""

    def __init__(self, files: int) -> None:
        super().__init__()
        self.left = files

    def advance(self, amount: float) -> None:
        self.left -= 1
        if self.left <= 0:
            self.stop.set()


def verify_here(config: RunConfig) -> VerifyReport:
    return verify(config.out, planned_shards(config), Monitor())


def retry_here(config: RunConfig, reason: Reason | None = None) -> RetryReport:
    return retry(config, reason, Monitor(), run_locally)


def start_command(*arguments: object, environment: dict[str, str]) -> subprocess.Popen:
    """Start ``codecfake`` with small shards, in a process group of its own."""
    command = [sys.executable, "-c", SMALL_SHARDS, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)


def run_command(*arguments: object, environment: dict[str, str]) -> subprocess.CompletedProcess:
    process = start_command(*arguments, environment=environment)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def manifest(run_dir: Path, split: str = "published-seed0") -> list[dict]:
    return pq.read_table(run_dir / "splits" / split / "manifest.parquet").to_pylist()


def tree(folder: Path) -> list[str]:
    """Every file below a folder, as sorted relative paths."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def flip_in_place(path: Path) -> None:
    """Change a bit of a file and of all its links."""
    with path.open("r+b") as file:
        content = bytearray(file.read())
        content[len(content) // 2] ^= 1
        file.seek(0)
        file.write(content)


def flip_this_name(path: Path) -> None:
    """Change a bit of a file, and of none of its links."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    flip_in_place(path)
