"""Commands in forked copies of this process, which has imported everything and run nothing: a start costs no time.

Whoever uses this module has one thread, so that a copy of the process is a whole one.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Work = Callable[[], None]

TIME_LIMIT_SECONDS = 300.0
POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    exit_code: int
    """Negative: the signal that ended it."""
    seconds: float
    output: str
    """What it wrote to the terminal."""

    @property
    def was_killed(self) -> bool:
        return self.exit_code == -signal.SIGKILL

    @property
    def is_clean(self) -> bool:
        """Whether it ended in words and not in a traceback."""
        return self.exit_code >= 0 and "Traceback" not in self.output


class Attempt:
    """A command in a process group of its own.

    Args:
        work: What it does; its return is exit code 0.
        log: Where its output goes.
        faults: Done before, in the same process: what goes wrong in it.
    """

    def __init__(self, work: Work, log: Path, *faults: Work) -> None:
        self._log, self._began = log, time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _become(work, log, faults)

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it has not made its group yet
            os.kill(self.pid, number)

    def wait(self, seconds: float = TIME_LIMIT_SECONDS) -> Outcome:
        """Wait for its end; what takes longer is killed, and counts as ended by SIGXCPU, so that it shows."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := self.poll():
                return found
            time.sleep(POLL_SECONDS)
        self.signal(signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return self._outcome(-signal.SIGXCPU)

    def poll(self) -> Outcome | None:
        """The outcome, if it has ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return self._outcome(os.waitstatus_to_exitcode(status)) if pid else None

    def _outcome(self, exit_code: int) -> Outcome:
        output = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return Outcome(exit_code, time.monotonic() - self._began, output)


def command(*arguments: object) -> Work:
    """What typing ``codecfake ARGUMENTS`` does."""

    def run() -> None:
        from codecfake.flows.cli import main

        sys.argv = ["codecfake", *map(str, arguments)]
        main()

    return run


def _become(work: Work, log: Path, faults: tuple[Work, ...]) -> None:
    """Run ``work`` in this process, and end it."""
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        for fault in faults:
            fault()
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
