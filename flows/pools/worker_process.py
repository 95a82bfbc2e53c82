"""One worker of Prefect as a child process."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from uuid import uuid4

from codecfake.flows.pools.marked_processes import MARK


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
        """Start it."""
        command = [sys.executable, "-P", "-m", "prefect", "worker", "start"]
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
