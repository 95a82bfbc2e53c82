"""The Prefect server that one command owns: it starts with the command and is gone when the command is gone.

Prefect's built-in server hangs two minutes on Ctrl-C, outlives ``kill -9`` and loses task records at exit, so
the command starts its own. Nothing here imports Prefect before the environment that it reads is in place.
"""

import errno
import itertools
import logging
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from codecfake.flows.prefect_files import away_from_here, no_home
from codecfake.flows.server_process import server_process

FLUSH_SECONDS = 5.0
LOOPBACK = "127.0.0.1"
NOT_FINAL = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
UNUSED_SERVICES = (
    "SCHEDULER",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "CANCELLATION_CLEANUP",
    "FOREMAN",
    "TRIGGERS",
)
EVENT_LOGGERS = ("prefect.events.clients", "prefect._internal.concurrency", "EventsWorker")
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Run a Prefect server for the length of the block, with this process set up as its client.

    A server named by ``PREFECT_API_URL`` is used as it is and nothing is started. Two commands that share a
    ``home`` at the same time get a server each: the second one keeps its records in ``<home>-2``.

    Args:
        home: Folder for the database, the log and the local storage of Prefect; on a local disk, and never one that
            others may write to, because Prefect runs code that files in it name.

    Yields:
        The URL of the API.

    Raises:
        CodecfakeError: If the home cannot be made, or the server does not come up; then the message holds the end of
            its log.
    """
    given = os.environ.get("PREFECT_API_URL")
    with ExitStack() as stack:
        if given:
            stack.enter_context(_environment(QUIET | _console_level()))
            with away_from_here():
                import prefect.main  # noqa: F401  # reads its settings
            yield given
            return
        home = stack.enter_context(_locked_home(home.resolve()))
        listener = socket.create_server((LOOPBACK, 0), backlog=128)
        url = f"http://{LOOPBACK}:{listener.getsockname()[1]}/api"
        stack.enter_context(_environment(_variables(home, url)))
        server = stack.enter_context(server_process(listener, home, url))
        stack.enter_context(_client_settings(server, home, url))
        mark_stale_runs_crashed()
        yield url


def mark_stale_runs_crashed() -> int:
    """Close the flow runs that an earlier command left open when it was killed.

    Only for a server that this process owns: there, nothing but an earlier command can have an open run.

    Returns:
        The number of flow runs that were marked.
    """
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    marked = 0
    with get_client(sync_client=True) as client:
        body = {"flow_runs": {"state": {"type": {"any_": NOT_FINAL}}}, "limit": 200}
        while stale := client.request("POST", "/flow_runs/filter", json=body).json():
            for run in stale:
                message = "The command that ran this was killed; the next one found it open."
                client.set_flow_run_state(run["id"], Crashed(message=message), force=True)
            marked += len(stale)
    return marked


def drain(
    flow_run_ids: Sequence[Any] = (), *, task_runs: int | None = None, limit_seconds: float = 60.0
) -> int:
    """Wait until the server has recorded how the task runs of these flow runs ended.

    Prefect sends task states in the background and the server writes 20 to 40 of them per second, so the
    records of the last seconds are lost when the server stops at once. Ends early when the records no longer
    change: after 1 s if every known task run has ended, else after 5 s.

    Args:
        flow_run_ids: Flow runs to wait for; none for all that the server knows.
        task_runs: Number of task runs to expect, where it is known: reaching it ends the wait at once.
        limit_seconds: Longest wait.

    Returns:
        The number of task runs recorded in a final state.
    """
    from prefect.client.orchestration import get_client

    deadline = time.monotonic() + limit_seconds
    _flush_client_workers(limit_seconds)
    named = [str(flow_run_id) for flow_run_id in flow_run_ids]
    flows = {"id": {"any_": named}} if named else {}
    with get_client(sync_client=True) as client:

        def count(**task_filter: Any) -> int:
            body = {"flow_runs": flows, "task_runs": task_filter}
            return client.request("POST", "/task_runs/count", json=body).json()

        before, changed = None, time.monotonic()
        while True:
            known, ended = count(), count(state={"type": {"any_": FINAL}})
            now = time.monotonic()
            if (known, ended) != before:
                before, changed = (known, ended), now
            enough = task_runs is not None and ended >= task_runs
            if enough or now - changed > (1.0 if known == ended else 5.0) or now > deadline:
                return ended
            time.sleep(0.2)


def _variables(home: Path, url: str) -> dict[str, str]:
    """Everything that Prefect reads when it is imported, for the client and for the server alike."""
    exempt = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY", ""), LOOPBACK]
    no_proxy = ",".join(hosts for hosts in exempt if hosts)
    services = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in UNUSED_SERVICES}
    return {
        **QUIET,
        **_console_level(),
        **services,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_UI_API_URL": url,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
        "PREFECT_CLIENT_MAX_RETRIES": "2",  # the default waits two minutes for a server that died
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def _console_level() -> dict[str, str]:
    name = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
    return {name: os.environ.get(name, "CRITICAL")}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set ``variables``; where they point to a server of our own, hide settings that speak of another one."""
    saved = dict(os.environ)
    if "PREFECT_API_URL" in variables:
        foreign = ("PREFECT_API_", "PREFECT_SERVER_", "PREFECT_UI_", "PREFECT_PROFILE")
        for name in [name for name in os.environ if name.startswith(foreign)]:
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - saved.keys():
            del os.environ[name]
        os.environ.update(saved)


@contextmanager
def _locked_home(home: Path) -> Iterator[Path]:
    """Yield ``home``, or its first numbered sibling that no other live command uses."""
    from filelock import FileLock, Timeout

    for number in itertools.count(1):
        candidate = home if number == 1 else home.with_name(f"{home.name}-{number}")
        try:
            candidate.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(candidate / "server.lock")
            with suppress(Timeout):
                lock.acquire(timeout=0)
                break
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EMFILE):
                raise  # told for every file alike
            raise no_home(candidate, error.strerror or error) from error
    try:
        yield candidate
    finally:
        lock.release()


@contextmanager
def _client_settings(server: subprocess.Popen, home: Path, url: str) -> Iterator[None]:
    """Make the settings hold even where Prefect was imported before the environment was set."""
    from prefect import settings
    from prefect.events.clients import PrefectEventsClient
    from prefect.events.worker import EventsWorker
    from prefect.logging.configuration import setup_logging

    updates = {
        settings.PREFECT_HOME: home,
        settings.PREFECT_API_URL: url,
        settings.PREFECT_LOCAL_STORAGE_PATH: home / "storage",
        settings.PREFECT_SERVER_ANALYTICS_ENABLED: False,
        settings.PREFECT_CLIENT_MAX_RETRIES: 2,
        # Each flow run would end with a second of waiting for its heartbeat; no variable can switch it off.
        settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }

    def server_lives(_record: logging.LogRecord) -> bool:
        return server.poll() is None

    with ExitStack() as stack:
        with away_from_here():
            stack.enter_context(settings.temporary_settings(updates))
            setup_logging()
        # By default each unsent task state is tried for seconds after the server died, and logged in full.
        EventsWorker.set_client_override(PrefectEventsClient, api_url=url, reconnection_attempts=2)
        stack.callback(EventsWorker.set_client_override, None)
        for logger in map(logging.getLogger, EVENT_LOGGERS):
            logger.addFilter(server_lives)
            stack.callback(logger.removeFilter, server_lives)
        # What is unsent when the server goes would make the interpreter's exit hang.
        stack.callback(_flush_client_workers, FLUSH_SECONDS)
        yield


def _flush_client_workers(seconds: float) -> None:
    """Send the log lines and task states that wait in this process, for at most ``seconds`` each."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=seconds)
    EventsWorker.drain_all(timeout=seconds)
