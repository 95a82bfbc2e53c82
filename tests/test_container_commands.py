"""What the containers of docker/compose.yml run, run here: same commands, same environment, same health checks."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from container_files import COMPOSE_FILES, DOCKER, Dockerfile, compose_services
from postgres import postgres_binaries, running_postgres

BIN = Path(sys.executable).parent
STOP_SECONDS = 30
"""What the files of containers let one take to stop."""

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(sys.platform != "linux", reason="the images are for Linux"),
    pytest.mark.skipif(postgres_binaries() is None, reason="no PostgreSQL here"),
]


class Containers:
    """Services of the Compose file, with the addresses and folders that stand for theirs on this machine."""

    def __init__(self, folder: Path, postgres_port: int) -> None:
        for name in ("tmp", "weights", "runs"):
            (folder / name).mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._folder = folder
        self._words = {"0.0.0.0": "127.0.0.1", "4200": str(port)}
        self._parts = {
            "@postgres:5432/": f"@127.0.0.1:{postgres_port}/",
            "//server:4200/": f"//127.0.0.1:{port}/",
            "//127.0.0.1:4200/": f"//127.0.0.1:{port}/",
        }
        filled = {name: str(folder) for name in ("CORPORA", "WEIGHTS", "RUNS")}
        filled |= {"POSTGRES_PASSWORD": "secret", "PREFECT_AUTH": "lab:word", "CODECFAKE_USER": "1:1"}
        self._services = compose_services(COMPOSE_FILES[0], filled | {"POOL": "cpu"})
        self._image = Dockerfile(DOCKER / "Dockerfile.cpu").environment

    def health(self, service: str, **changes: str) -> subprocess.CompletedProcess:
        """The health check of a service, once."""
        check = self._services[service]["healthcheck"]["test"]
        assert check[0] == "CMD"
        return subprocess.run(
            self._here(check[1:]),
            env=self._environment(service) | changes,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, service: str) -> subprocess.CompletedProcess:
        """A service that ends by itself."""
        return subprocess.run(
            self._here(self._services[service]["command"]),
            env=self._environment(service),
            cwd=self._folder / "runs",
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @contextmanager
    def started(self, service: str) -> Iterator[subprocess.Popen]:
        """A service that runs until it is stopped; here, once its health check is content."""
        log_path = self._folder / f"{service}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                self._here(self._services[service]["command"]),
                env=self._environment(service),
                cwd=self._folder / "runs",
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + 120
            while (health := self.health(service)).returncode:
                seen = f"{health.stderr}\n{log_path.read_text()}"
                assert process.poll() is None and time.monotonic() < deadline, seen
                time.sleep(0.5)
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _environment(self, service: str) -> dict[str, str]:
        """That of the image and of the service, and nothing of this process but where programs are."""
        folders = ("/tmp", "/weights", "/runs")
        image = {
            name: f"{self._folder}{value}" if value.startswith(folders) else value
            for name, value in self._image.items()
        }
        given = self._services[service]["environment"]
        values = {name: self._addressed(value) for name, value in given.items()}
        return image | values | {"PATH": f"{BIN}:/usr/bin:/bin"}

    def _addressed(self, value: str) -> str:
        for theirs, ours in self._parts.items():
            value = value.replace(theirs, ours)
        return value

    def _here(self, words: list[str]) -> list[str]:
        program = str(BIN / words[0])
        return [
            program,
            *(
                self._words.get(word, word).replace(
                    "/opt/codecfake/healthcheck.py", str(DOCKER / "healthcheck.py")
                )
                for word in words[1:]
            ),
        ]


def processes_of_session(leader: int) -> list[int]:
    """Processes that still run in the session of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def test_server_deployment_and_worker_come_up_healthy_and_stop_when_told(tmp_path: Path) -> None:
    with running_postgres() as postgres:
        containers = Containers(tmp_path, postgres.port)
        assert "No answer from" in containers.health("server").stderr
        with containers.started("server"):
            deployed = containers.run("deploy")
            assert deployed.returncode == 0, deployed.stderr
            assert "hears from no worker" in containers.health("cpu-worker").stderr
            refused = containers.health("cpu-worker", PREFECT_API_AUTH_STRING="lab:wrong")
            assert refused.returncode == 1
            assert "401" in refused.stderr
            with containers.started("cpu-worker") as worker:
                pass
            assert not processes_of_session(worker.pid)
            postgres.stop()
            assert containers.health("server").returncode == 1
            postgres.start()
