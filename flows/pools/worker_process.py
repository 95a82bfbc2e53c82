"""One worker of Prefect as a child process, with everything that it starts: begun, looked after, ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

MARK = "CODECFAKE_WORKER"
"""Variable by which a worker's flow processes are found; Prefect puts them into sessions of their own."""
SECONDS_TO_STOP = 10.0
"""For a flow process that was told to end: time to report it, and to leave its utterance."""
_FLOW_RUN = "PREFECT__FLOW_RUN_ID"


class WorkerProcess:
    """A worker that may be started again after it ended.

    Args:
        pool: Work pool that it takes flow runs from, one at a time.
        name: As the server shows it.
        variables: Its environment.
    """

    def __init__(self, pool: str, name: str, variables: Mapping[str, str]) -> None:
        self.name = name
        self._pool = pool
        self.mark = uuid4().hex
        """What its processes carry in ``MARK``."""
        self._variables = {**variables, MARK: self.mark}
        self._process: subprocess.Popen | None = None
        self._started = 0.0

    def start(self) -> None:
        """Start it; it ends with this process, however that one goes."""
        command = [sys.executable, "-P", "-m", "codecfake.flows.pools.worker_process", str(os.getpid())]
        arguments = ["--pool", self._pool, "--type", "process", "--name", self.name, "--limit", "1"]
        self._process = subprocess.Popen(
            [*command, *arguments],
            env=self._variables,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal reaches it through us
        )
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs."""
        return self._process.poll()

    @property
    def seconds(self) -> float:
        """Time since it was started."""
        return time.monotonic() - self._started

    def pause(self) -> None:
        """Keep it from taking more work."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def end_flow_runs(workers: Sequence[WorkerProcess]) -> list[str]:
    """End the flow processes that workers started, whether these live or not.

    Returns:
        The flow runs that the processes were working on.
    """
    found = _flow_processes(workers)
    flow_runs = set(found.values())
    for pid in found:
        _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_STOP
    while found := _flow_processes(workers):
        flow_runs |= set(found.values())
        if time.monotonic() > deadline:
            for pid in found:
                _send(pid, signal.SIGKILL)
        time.sleep(0.05)
    return sorted(flow_runs - {""})


def _flow_processes(workers: Sequence[WorkerProcess]) -> dict[int, str]:
    """Process ids and the flow runs that they belong to, without the workers themselves."""
    marks = {worker.mark for worker in workers}
    themselves = {worker.pid for worker in workers}
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone since, or of another user
            entries = (folder / "environ").read_text(errors="replace").split("\0")
            variables = dict(entry.partition("=")[::2] for entry in entries)
            if variables.get(MARK) in marks and int(folder.name) not in themselves:
                found[int(folder.name)] = variables.get(_FLOW_RUN, "")
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _become_worker(parent: int, arguments: list[str]) -> None:
    """Be Prefect's worker, and get SIGTERM when the parent is gone."""
    import ctypes

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", *arguments]
    os.execv(sys.executable, command)  # nosec B606 # this very Python, without a shell


if __name__ == "__main__":
    _become_worker(int(sys.argv[1]), sys.argv[2:])
