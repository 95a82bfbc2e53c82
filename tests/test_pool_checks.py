"""What is refused before a server or a worker of a pool starts, and where workers run."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pool_cluster import SCRIPT, wait_for

from codecfake.flows.pools import marked_processes
from codecfake.flows.pools.places import find_places
from codecfake.flows.pools.server import postgres_url
from codecfake.flows.pools.settings import server_variables, use_pool_server
from codecfake.flows.pools.versions import check_versions
from codecfake.flows.pools.worker_guard import guarded
from codecfake.manifests.errors import CodecfakeError


def test_only_postgres_will_do():
    with pytest.raises(CodecfakeError, match="needs PostgreSQL, not sqlite") as caught:
        postgres_url("sqlite+aiosqlite:////tmp/prefect.db")
    assert "codecfake server --database postgresql" in caught.value.next_step
    with pytest.raises(CodecfakeError, match="no URL of a database"):
        postgres_url("prefect")
    assert postgres_url("postgresql://user:p%40ss@host/x?ssl=require") == (
        "postgresql+asyncpg://user:p%40ss@host/x?ssl=require"
    )


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path):
    command = [SCRIPT, "server", "--database", "postgresql://prefect:secret@127.0.0.1:9/prefect"]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PREFECT_HOME": str(tmp_path)}
    )
    assert ended.returncode == 1
    assert "127.0.0.1:9/prefect does not let us in" in ended.stderr
    assert "secret" not in ended.stderr and "Traceback" not in ended.stderr


def test_an_empty_authorization_is_refused_and_settings_of_the_user_stay(monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_TIMEOUT", "99")
    variables = server_variables("postgresql+asyncpg://host/x", "0.0.0.0", 4300)
    assert variables["PREFECT_SERVER_DATABASE_TIMEOUT"] == "99"
    assert variables["PREFECT_SERVER_UI_API_URL"].endswith(":4300/api")
    assert "0.0.0.0" not in variables["PREFECT_SERVER_UI_API_URL"]
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "")
    with pytest.raises(CodecfakeError, match="refuse every request"):
        server_variables("postgresql+asyncpg://host/x", "127.0.0.1", 4200)


def test_without_the_name_of_a_server_there_is_a_next_step(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(CodecfakeError, match="names no Prefect server") as caught:
        use_pool_server()
    assert "export PREFECT_API_URL" in caught.value.next_step


@contextmanager
def answering(status: int, body: Any) -> Iterator[str]:
    """The URL of a server that always gives the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the library calls
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, "2.20.1", r"this machine has Prefect 3\.\d+\.\d+, the server at http.* has 2\.20\.1"),
        (200, "3.99.0", r"the server at http.* has 3\.99\.0"),
        (200, {"a": 1}, "is no Prefect server"),
        (404, "not found", r"is no Prefect server \(HTTP 404\)"),
        (401, "who are you", "does not let us in"),
    ],
)
def test_a_server_that_does_not_fit_is_refused(status, body, message):
    with answering(status, body) as url, pytest.raises(CodecfakeError, match=message):
        check_versions(url)


def test_a_server_that_fits_is_taken_and_a_newer_patch_of_it_too(monkeypatch):
    from codecfake.flows.pools import versions

    monkeypatch.setattr(versions, "version", lambda package: "3.8.8")
    for fits in ("3.8.8", "3.8.12"):
        with answering(200, fits) as url:
            check_versions(url)
    with answering(200, "3.8.7") as url, pytest.raises(CodecfakeError, match=r"3\.8\.8.*3\.8\.7"):
        check_versions(url)
    with pytest.raises(CodecfakeError, match="does not answer"):
        check_versions("http://127.0.0.1:9/api")


def test_each_gpu_is_a_place_of_its_own(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [place.variables["CUDA_VISIBLE_DEVICES"] for place in find_places(None, None)] == ["0", "1"]
    assert [place.name for place in find_places("1", None)] == ["gpu1"]
    assert [place.variables["CUDA_VISIBLE_DEVICES"] for place in find_places(None, 3)] == ["", "", ""]
    for wrong in ("2", "0,0", ""):
        with pytest.raises(CodecfakeError, match=f"--gpus {wrong}"):
            find_places(wrong, None)
    # What the user hides stays hidden, and keeps the name by which CUDA knows it.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8f0c")
    assert [place.variables["CUDA_VISIBLE_DEVICES"] for place in find_places(None, None)] == ["4", "GPU-8f0c"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert [place.name for place in find_places(None, None)] == ["cpu0"]


def command_lines(part: str) -> list[str]:
    """Of all processes, those that contain the part: other children of this one come and go beside the test."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # gone since
            lines.append(file.read_text(errors="replace"))
    return [line for line in lines if part in line]


def test_the_guard_of_a_killed_command_ends_what_it_started_and_shows_no_password(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://user:s3cret@127.0.0.1:9/api")
    sleeper = "import time; print('up', flush=True); time.sleep(600)"
    spawn = {"stdout": subprocess.PIPE, "start_new_session": True}
    worker = os.environ | {marked_processes.MARK: "guarded-test"}
    flow_run = worker | {"PREFECT__FLOW_RUN_ID": "run-8"}
    with (
        subprocess.Popen([sys.executable, "-c", sleeper], env=worker, **spawn) as first,
        subprocess.Popen([sys.executable, "-c", sleeper], env=flow_run, **spawn) as second,
    ):
        assert first.stdout.readline() == second.stdout.readline() == b"up\n"
        with guarded(["guarded-test"]):
            wait_for(lambda: command_lines("worker_guard\0guarded-test"))
            assert "s3cret" not in "".join(command_lines("worker_guard\0guarded-test"))
            assert first.poll() is second.poll() is None
        assert (first.wait(5), second.wait(5)) == (-signal.SIGKILL, -signal.SIGTERM)


def test_a_flow_process_that_does_not_listen_is_killed(monkeypatch):
    monkeypatch.setattr(marked_processes, "SECONDS_TO_STOP", 0.3)
    deaf = "from signal import *; signal(SIGTERM, SIG_IGN); print('deaf', flush=True); pause()"
    marked = os.environ | {marked_processes.MARK: "this-test", "PREFECT__FLOW_RUN_ID": "run-7"}
    other = os.environ | {marked_processes.MARK: "another"}
    spawn = {"stdout": subprocess.PIPE, "start_new_session": True}
    with (
        subprocess.Popen([sys.executable, "-c", deaf], env=marked, **spawn) as flow_process,
        subprocess.Popen([sys.executable, "-c", deaf], env=other, **spawn) as neighbour,
    ):
        assert flow_process.stdout.readline() == neighbour.stdout.readline() == b"deaf\n"
        assert marked_processes.end_flow_runs(["this-test"]) == ["run-7"]
        assert flow_process.wait(5) == -signal.SIGKILL
        assert neighbour.poll() is None
        neighbour.kill()
