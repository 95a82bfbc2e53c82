"""A Prefect server of a pool on a real PostgreSQL, and a flow that a test can hold and end."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from postgres import Postgres

SECRET = "lab:secret"
SCRIPT = Path(sys.executable).parent / "codecfake"
ENDLESS = """
import os, time
from pathlib import Path
from prefect import flow

@flow
def endless(report: str, seconds: float):
    gpu, threads = os.environ["CUDA_VISIBLE_DEVICES"], os.environ.get("OMP_NUM_THREADS")
    Path(report).write_text(f"{os.getpid()} {gpu!r} {threads}")
    time.sleep(seconds)
"""


def wait_for(condition: Callable[[], Any], limit_seconds: float = 60.0) -> float:
    """Seconds until a condition holds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit_seconds, "waited in vain"
        time.sleep(0.05)
    return time.monotonic() - started


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workers(command: subprocess.Popen) -> list[int]:
    """Processes of Prefect's worker that `codecfake worker` started."""
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"prefect" in Path(f"/proc/{pid}/cmdline").read_bytes()]


class Cluster:
    """A server on PostgreSQL, with the pool ``test`` and a flow that a test can end."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.postgres, self.folder = postgres, folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        foreign = ("PREFECT_", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.environment = kept | {
            "PREFECT_HOME": str(folder),
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": SECRET,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        self.client = httpx.Client(base_url=self.url, auth=tuple(SECRET.split(":")), timeout=30)
        self.server = self.start(
            "server",
            "--port",
            self.port,
            PREFECT_SERVER_DATABASE_CONNECTION_URL=postgres.url,
            PREFECT_SERVER_API_AUTH_STRING=SECRET,
        )
        wait_for(self._is_up, 120)

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen:
        environment = self.environment | variables
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [SCRIPT, *map(str, arguments)],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ask(self, path: str, **body: Any) -> Any:
        answer = self.client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def submit(self, seconds: float = 600) -> SimpleNamespace:
        """A run of the endless flow."""
        report = self.folder / f"report-{time.monotonic_ns()}"
        (deployment,) = self.ask("deployments/filter", deployments={"name": {"any_": ["endless"]}})
        parameters = {"report": str(report), "seconds": seconds}
        run = self.ask(f"deployments/{deployment['id']}/create_flow_run", parameters=parameters)
        return SimpleNamespace(id=run["id"], report=report)

    def state(self, run: SimpleNamespace) -> str:
        return self.client.get(f"flow_runs/{run.id}").json()["state_type"]

    def pid(self, run: SimpleNamespace) -> int:
        """The flow process, once it works."""
        wait_for(lambda: run.report.exists() and run.report.read_text())
        return int(run.report.read_text().split()[0])

    def _is_up(self) -> bool:
        assert self.server.poll() is None, (self.folder / "log").read_text()
        try:
            return self.client.get("ready").is_success
        except httpx.HTTPError:
            return False


DEPLOY_ENDLESS = """
import sys
from prefect import flow
flow.from_source(sys.argv[1], "endless.py:endless").deploy(
    "endless", work_pool_name="test", tags=["codecfake"], build=False, push=False, print_next_steps=False,
    ignore_warnings=True,
)
"""
