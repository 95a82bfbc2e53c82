"""Ends workers and their flow runs once the command that started them is gone, however it went.

A signal to Prefect's worker is not enough: it lets its flow runs go on, and a busy one may outlive the signal.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from codecfake.flows.pools.lost_runs import report_crashed
from codecfake.flows.pools.marked_processes import end_flow_runs, kill_workers
from codecfake.flows.pools.settings import API_URL


@contextmanager
def guarded(marks: Collection[str]) -> Iterator[None]:
    """Have a process of its own end whatever carries a mark, as soon as the block is left or this process is gone."""
    command = [sys.executable, "-P", "-m", "codecfake.flows.pools.worker_guard", *marks]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


def _guard(marks: Collection[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()  # nothing is written: this returns when the other end of the pipe closes
    kill_workers(marks)
    # Not on the command line, which everybody can see: the URL may hold a password.
    report_crashed(end_flow_runs(marks), os.environ[API_URL].rstrip("/"))


if __name__ == "__main__":
    _guard(sys.argv[1:])
