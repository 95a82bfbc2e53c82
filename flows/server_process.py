"""The child process that is the Prefect server: started, watched, stopped, and what it runs itself."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codecfake.flows.prefect_files import away_from_here
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.paths import open_no_link

START_SECONDS = 120.0
STOP_SECONDS = 5.0


@contextmanager
def server_process(listener: socket.socket, home: Path, url: str) -> Iterator[subprocess.Popen]:
    """Run the server on a socket that listens already, so that no other process can take its port.

    Args:
        listener: Listening socket; closed here, the server has its own copy.
        home: Folder of the log ``server.log``.
        url: URL of the API on that socket.

    Yields:
        The server, healthy; it is stopped when the block ends.

    Raises:
        CodecfakeError: If the server does not come up; the message holds the end of its log.
    """
    log_path = home / "server.log"
    command = [sys.executable, "-P", "-m", "codecfake.flows.server_process", str(listener.fileno())]
    with listener, open_no_link(log_path, "wb") as log, away_from_here():
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
        )
    try:
        with away_from_here():
            import prefect.main  # noqa: F401  # takes a second, which the server needs anyway

        _wait_until_healthy(process, log_path, url)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()


def _wait_until_healthy(process: subprocess.Popen, log_path: Path, url: str) -> None:
    import httpx

    started = time.monotonic()
    with httpx.Client(trust_env=False, timeout=2) as client:
        while True:
            ended = process.poll()
            waited = time.monotonic() - started
            if ended is not None or waited > START_SECONDS:
                what = f"did not answer in {waited:.0f} s" if ended is None else f"ended with code {ended}"
                tail = "\n".join(log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
                raise CodecfakeError(
                    f"The local Prefect server {what}. The end of {log_path}:\n{tail}",
                    cause="a broken Prefect installation, or a folder that cannot hold its database",
                    next_step="run the same command with --no-prefect; the result is the same",
                )
            with suppress(httpx.HTTPError):
                if client.get(f"{url}/health").is_success:
                    return
            time.sleep(0.1)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""

    def watch() -> None:
        sys.stdin.buffer.read()  # the parent never writes: this returns when its end of the pipe closes
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    if sys.platform == "linux":
        import ctypes

        # Worker processes that the parent forked may hold the pipe open after it died.
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def _serve(descriptor: int) -> None:
    """Be the server: answer on the listening socket ``descriptor`` until told to stop."""
    _end_with_parent()
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(final=True), log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
