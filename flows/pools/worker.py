"""`codecfake worker`: a worker of Prefect per place of this machine, looked after until the command is stopped."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from codecfake.flows.pools.lost_runs import report_crashed
from codecfake.flows.pools.marked_processes import end_flow_runs
from codecfake.flows.pools.places import Place
from codecfake.flows.pools.settings import worker_variables
from codecfake.flows.pools.versions import server_answers
from codecfake.flows.pools.worker_guard import guarded
from codecfake.flows.pools.worker_process import WorkerProcess
from codecfake.manifests.errors import CodecfakeError

AT_ONCE_SECONDS = 30.0
"""A worker that lives shorter than this ended at once."""
AT_ONCE_TRIES = 3
_WAIT_SECONDS = 5.0
"""Before a worker is started again, and between questions to a server that is away."""
_LOOK_SECONDS = 0.5


def work(pool: str, places: Sequence[Place], api_url: str, say: Callable[[str], None]) -> None:
    """Keep a worker running at each place; comes back after Ctrl-C or SIGTERM, with nothing left behind.

    Should this process be killed, a guard ends the workers and their flow runs.

    Args:
        pool: Work pool to take flow runs from.
        places: Where they run.
        api_url: URL of the server's API.
        say: Told what happens.

    Raises:
        CodecfakeError: If a worker ends as soon as it is started, again and again.
    """
    if sys.platform != "linux":
        raise CodecfakeError("workers of a pool run on Linux only", next_step="codecfake build without --on")
    shared = {**os.environ, **worker_variables()}
    host = f"{socket.gethostname()}-{os.getpid()}"
    kept = [_Kept(WorkerProcess(pool, f"{host}-{place.name}", shared | place.variables)) for place in places]
    with guarded([one.worker.mark for one in kept]):
        try:
            say(f"Working for the pool {pool} at {api_url}: {', '.join(place.name for place in places)}")
            while True:
                for one in kept:
                    one.look_after(api_url, say)
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            say("Stopping: what was published stays, the rest of a block is done by another worker.")
        finally:
            _stop([one.worker for one in kept if one.start_at is None], api_url)


class _Kept:
    """A worker and how often it ended."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self.start_at: float | None = time.monotonic()
        """When it is to be started; ``None`` while it was."""
        self._at_once = 0

    def look_after(self, api_url: str, say: Callable[[str], None]) -> None:
        """Start the worker; clean up after it when it ended, and start it again a little later."""
        if self.start_at is None:
            if self.worker.exit_code is not None:
                self._bury(api_url, say)
        elif time.monotonic() >= self.start_at:
            if server_answers(api_url):
                self.worker.start()
                self.start_at = None
            else:
                say(f"The server at {api_url} does not answer; {self.worker.name} waits for it.")
                self.start_at = time.monotonic() + 2 * _WAIT_SECONDS

    def _bury(self, api_url: str, say: Callable[[str], None]) -> None:
        lived = self.worker.seconds
        self.start_at = time.monotonic() + _WAIT_SECONDS
        report_crashed(end_flow_runs([self.worker.mark]), api_url)
        if not server_answers(api_url):
            return
        self._at_once = self._at_once + 1 if lived < AT_ONCE_SECONDS else 0
        if self._at_once == AT_ONCE_TRIES:
            raise CodecfakeError(
                f"{self.worker.name} ended {AT_ONCE_TRIES} times as soon as it was started, last with code "
                f"{self.worker.exit_code}",
                cause="what it printed above says why; mostly the pool is of another type, or Prefect is broken here",
                next_step="codecfake deploy, then start this worker again",
            )
        say(
            f"{self.worker.name} ended with code {self.worker.exit_code} after {lived:.0f} s; it is started again."
        )


def _stop(workers: Sequence[WorkerProcess], api_url: str) -> None:
    """End workers and their flow runs; takes ten seconds at most, and impatience does not make it faster."""
    # A second Ctrl-C would leave workers behind that are paused for ever.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for worker in workers:
            worker.pause()
        flow_runs = end_flow_runs([worker.mark for worker in workers], [worker.pid for worker in workers])
        for worker in workers:
            worker.kill()
        report_crashed(flow_runs, api_url)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
