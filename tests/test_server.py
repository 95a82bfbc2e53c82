"""The Prefect server that a command owns: records, interruptions, and what is left behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock

from codecfake.flows.prefect_files import prefect_home
from codecfake.flows.server import drain, prefect_server
from codecfake.manifests.errors import CodecfakeError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes and sockets are looked up in /proc"),
]

COMMAND = """
import signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
from pathlib import Path
from codecfake.flows.server import prefect_server

stop = threading.Event()
with prefect_server(Path(sys.argv[1])):
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    @task(cache_policy=NO_CACHE)
    def shard(number):
        for _ in range(600):
            if stop.is_set():
                return
            time.sleep(0.05)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def endless():
        futures = [shard.submit(number) for number in range(200)]
        print("running", flush=True)
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            stop.set()
            raise

    endless()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests: its database is made once."""
    return tmp_path_factory.mktemp("run") / ".prefect"


@pytest.fixture(autouse=True)
def _no_server_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def seconds_until_gone(pid: int, limit_seconds: float = 20) -> float:
    started = time.monotonic()
    while runs(pid):
        assert time.monotonic() - started < limit_seconds, f"process {pid} still runs"
        time.sleep(0.02)
    return time.monotonic() - started


def listening_addresses(pid: int) -> set[str]:
    """The local addresses, as hex, on which a process listens."""
    links = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            links.add(str(link.readlink()))
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    listening = "0A"
    return {row[1].partition(":")[0] for row in rows if row[3] == listening and f"socket:[{row[9]}]" in links}


def start_command(home: Path) -> tuple[subprocess.Popen, int]:
    """A command whose flow runs, and the process id of its server."""
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert command.stdout.readline() == "running\n"
    time.sleep(0.5)
    (server,) = children(command.pid)
    return command, server


def flow_run_states(url: str) -> list[str]:
    import httpx

    answer = httpx.post(f"{url}/flow_runs/filter", json={"sort": "START_TIME_ASC"}, trust_env=False)
    return [run["state_type"] for run in answer.json()]


def test_a_flow_and_its_tasks_are_recorded_behind_a_dead_proxy_on_loopback_only(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv(
        "PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://somebody@127.0.0.1:9/x"
    )
    environment = dict(os.environ)
    before = set(children(os.getpid()))
    with prefect_server(home) as url:
        (server,) = set(children(os.getpid())) - before
        from prefect import flow, task
        from prefect.cache_policies import NO_CACHE
        from prefect.runtime import flow_run
        from prefect.settings import get_current_settings
        from prefect.task_runners import ThreadPoolTaskRunner

        @task(cache_policy=NO_CACHE)
        def double(number: int) -> int:
            return 2 * number

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
        def build() -> tuple[str, list[int]]:
            return flow_run.id, [future.result() for future in [double.submit(n) for n in range(20)]]

        flow_run_id, doubled = build()
        build()
        assert get_current_settings().flows.heartbeat_frequency is None  # would cost each flow a second
        assert doubled == [2 * number for number in range(20)]
        assert drain([flow_run_id]) == 20
        assert drain() == 40
        assert flow_run_states(url)[-2:] == ["COMPLETED", "COMPLETED"]
        assert listening_addresses(server) == {"0100007F"}
    assert seconds_until_gone(server) < 5
    assert dict(os.environ) == environment
    assert (home / "prefect.db").is_file()
    assert home.stat().st_mode & 0o777 == 0o700  # what lies there is run: nobody else may write it


def test_ctrl_c_ends_the_command_and_its_server_within_seconds(home: Path) -> None:
    command, server = start_command(home)
    os.killpg(command.pid, signal.SIGINT)
    started = time.monotonic()
    assert command.wait(timeout=20) != 0
    assert time.monotonic() - started < 5
    assert seconds_until_gone(server) < 5


def test_kill_leaves_no_server_and_the_next_command_closes_the_open_run(home: Path) -> None:
    command, server = start_command(home)
    command.kill()
    command.wait()
    assert seconds_until_gone(server) < 5
    with prefect_server(home) as url:
        assert flow_run_states(url)[-1] == "CRASHED"
        assert not {"RUNNING", "PENDING"} & set(flow_run_states(url))


def test_a_server_that_the_user_names_is_used_and_none_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    before = children(os.getpid())
    with prefect_server(tmp_path / ".prefect") as url:
        assert url == os.environ["PREFECT_API_URL"] == "http://127.0.0.1:9/api"
        assert children(os.getpid()) == before
    assert not (tmp_path / ".prefect").exists()


def test_a_second_command_gets_its_own_home_and_a_broken_one_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect-2" / "prefect.db").mkdir(parents=True)  # no database can be made here
    with (
        FileLock(tmp_path / ".prefect" / "server.lock"),
        pytest.raises(CodecfakeError) as caught,
        prefect_server(tmp_path / ".prefect"),
    ):
        pass
    assert str(tmp_path / ".prefect-2" / "server.log") in caught.value.what
    assert "unable to open database file" in caught.value.what
    assert "--no-prefect" in caught.value.next_step


@pytest.mark.parametrize("is_known", [True, False], ids=["unwritable", "no home"])
def test_without_a_place_for_its_records_a_command_says_how_to_give_one(
    is_known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(user: int) -> None:
        raise KeyError(user)

    (tmp_path / "afile").touch()
    monkeypatch.chdir(tmp_path)
    if is_known:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "afile" / "states"))
    else:  # as in a container that runs as any user
        monkeypatch.delenv("XDG_STATE_HOME")
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(CodecfakeError, match="cannot be kept in") as caught:
        prefect_server(prefect_home(tmp_path)).__enter__()
    assert "export XDG_STATE_HOME=" in caught.value.next_step and "--no-prefect" in caught.value.next_step
    assert [path.name for path in tmp_path.iterdir()] == ["afile"]
