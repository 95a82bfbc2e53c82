"""A pool in tests: what a lab starts on several machines, as processes of this one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

SCRIPT = Path(sys.executable).parent / "codecfake"
POOL = "lab"
SITE_CUSTOMIZE = """
import signal
from codecfake.flows.pools import beats
from codecfake.pipeline import shards

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell ignores it for what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
shards.MINIMUM_UTTERANCES, shards.MAXIMUM_UTTERANCES = 4, 6
"""
"""What every Python does first that finds it: shards are so small that a few utterances make several."""
FASTER_BEATS = "beats.BEAT_SECONDS, beats.LOST_AFTER_SECONDS = 1.0, 8.0\n"


class PoolCommands:
    """Starts commands in one environment; what they print is in one log.

    Args:
        folder: For the log, Prefect's home, and the module that makes small shards.
        api_url: Of the Prefect server.
        environment: Of all commands.
        faster_beats: Whether a silent worker counts as lost after seconds, not a minute.
    """

    def __init__(
        self, folder: Path, api_url: str, environment: Mapping[str, str], *, faster_beats: bool = False
    ) -> None:
        self.api_url, self.log = api_url, folder / "log"
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITE_CUSTOMIZE + (FASTER_BEATS if faster_beats else ""))
        kept = {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}
        self.environment = kept | {
            "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [kept.get("PYTHONPATH")])]),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": api_url,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [SCRIPT, *map(str, arguments)],
                env=self.environment | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, *arguments: object, limit_seconds: float = 120) -> None:
        """Run a command that has to succeed."""
        assert self.start(*arguments).wait(limit_seconds) == 0, self.log.read_text()

    def chunks(self) -> list[dict[str, Any]]:
        """The chunks that builds have submitted, oldest first."""
        names = {"flows": {"name": {"any_": ["resynthesize-blocks"]}}, "sort": "EXPECTED_START_TIME_ASC"}
        answer = httpx.post(f"{self.api_url}/flow_runs/filter", json=names, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def online_workers(self) -> int:
        answer = httpx.post(f"{self.api_url}/work_pools/{POOL}/workers/filter", json={}, timeout=30)
        answer.raise_for_status()
        return sum(worker["status"] == "ONLINE" for worker in answer.json())

    def running_chunk(self, run_dir: Path, codec: str) -> dict[str, Any] | None:
        """The chunk of a codec that a worker is in the middle of, if there is one."""
        for chunk in self.chunks():
            blocks, parameters = chunk["parameters"]["blocks"], chunk["parameters"]
            is_ours = parameters["run_dir"] == str(run_dir) and codec in blocks[0].partition("/")[0].split(
                "+"
            )
            if is_ours and chunk["state_type"] == "RUNNING" and drafts(run_dir, codec):
                return chunk
        return None


def drafts(run_dir: Path, codec: str) -> list[Path]:
    """Shards that are being written."""
    return list((run_dir / "shards" / codec).glob(".tmp-*"))


def published(run_dir: Path) -> dict[Path, int]:
    """Modification time of the record of every published shard."""
    records = (run_dir / "shards").glob("*/[!.]*/shard.json")
    return {path: path.stat().st_mtime_ns for path in records}


def flow_process(chunk_id: str) -> int | None:
    """The process that works on a chunk."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if f"PREFECT__FLOW_RUN_ID={chunk_id}".encode() in variables and is_running(int(folder.name)):
                return int(folder.name)
    return None


def process_tree(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            found.extend(map(int, children))
    return found


def kill_tree(pid: int) -> list[int]:
    """Lose a machine: everything that runs there ends at once and can tell nobody."""
    pids = process_tree(pid)
    for one in pids:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    return pids


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], Any], limit_seconds: float, log: Path) -> Any:
    """What a condition gives as soon as it is true."""
    deadline = time.monotonic() + limit_seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {limit_seconds} s in vain\n{log.read_text()[-8000:]}"
        time.sleep(0.05)
    return result


@contextmanager
def ended(processes: Sequence[subprocess.Popen]) -> Iterator[None]:
    """End processes after the block."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)
