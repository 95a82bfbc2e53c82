"""One process at a time in a run folder: killed, suspended, on another machine, on a file system without locks."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Event

import pytest

from codecfake.manifests import leases
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.holders import Holder
from codecfake.pipeline.run_lock import LOCK, run_lock

HOLD = """
import sys, time
from pathlib import Path
from threading import Event
from codecfake.manifests import holders, leases
from codecfake.pipeline.run_lock import run_lock

leases.REFRESH_SECONDS, leases.TAKEOVER_SECONDS = 0.1, 1.0
if sys.argv[2] == "elsewhere":
    holders._this_system = lambda: ("gpu7", "another boot", "pid:[1]")
lost = Event()
with run_lock(Path(sys.argv[1]), lost.set):
    print("held", flush=True)
    print("lost" if lost.wait(60) else "kept", flush=True)
"""

DIE_AT_STEP = """
import itertools, os, signal, sys
from pathlib import Path
from codecfake.pipeline.run_lock import run_lock

steps = itertools.count()

def die(event, arguments):
    if event in ("open", "os.link", "os.remove") and next(steps) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
with run_lock(Path(sys.argv[1])):
    pass
"""


@contextmanager
def held_by_another_process(run_dir: Path, where: str = "here"):
    command = [sys.executable, "-c", HOLD, str(run_dir), where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n", process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def hurried(monkeypatch) -> None:
    """A minute takes a second."""
    monkeypatch.setattr(leases, "REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(leases, "TAKEOVER_SECONDS", 1.0)
    monkeypatch.setattr(leases, "WATCH_SECONDS", 0.4)


def leave_lease(run_dir: Path, **changes) -> None:
    """What a killed process leaves in a run folder."""
    run_dir.mkdir(exist_ok=True)
    (run_dir / LOCK).write_text(json.dumps(asdict(replace(Holder.this_process(), **changes))))


def leave_right(run_dir: Path) -> None:
    """What is there besides when it was killed while it freed the folder."""
    lease = (run_dir / LOCK).read_bytes()
    (run_dir / f"{LOCK}.{sha256(lease).hexdigest()[:16]}").write_bytes(lease)


def assert_refused(run_dir: Path, match: str = "another process works on") -> None:
    with pytest.raises(CodecfakeError, match=match), run_lock(run_dir):
        pytest.fail("two processes hold one run folder")


def assert_free(run_dir: Path) -> None:
    with run_lock(run_dir):
        assert_refused(run_dir)
    assert not list(run_dir.iterdir())


def test_the_second_process_is_told_of_the_first(tmp_path):
    with held_by_another_process(tmp_path) as first:
        assert_refused(tmp_path, rf"-c .*\(process {first.pid} on {os.uname().nodename}, started 20")


def test_the_folder_is_free_at_once_when_its_process_is_killed(tmp_path):
    with held_by_another_process(tmp_path) as first:
        first.kill()
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # dead, and its parent did not notice yet
        began = time.monotonic()
        assert_free(tmp_path)
        assert time.monotonic() - began < 5


def test_an_error_frees_the_folder(tmp_path):
    with pytest.raises(KeyError), run_lock(tmp_path):
        raise KeyError
    assert_free(tmp_path)


def test_a_later_process_with_the_number_of_the_dead_one_does_not_hold_its_folder(tmp_path):
    leave_lease(tmp_path, process_start="1")
    assert_free(tmp_path)


def set_clock(monkeypatch, error_seconds: int) -> None:
    """Give this machine a clock that is wrong; that of the file system is not."""
    time_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: time_ns() + error_seconds * 10**9)
    monkeypatch.setattr(time, "time", lambda: time.time_ns() / 1e9)


def test_a_process_that_was_killed_while_it_freed_the_folder_does_not_hold_it(tmp_path):
    leave_lease(tmp_path, process_start="1")
    leave_right(tmp_path)
    assert_free(tmp_path)


def test_wherever_a_process_is_killed_the_folder_is_free_at_once(tmp_path):
    for step in range(30):
        ended = subprocess.run([sys.executable, "-c", DIE_AT_STEP, str(tmp_path), str(step)])
        if ended.returncode == 0:
            break
        for left in tmp_path.glob(".lock*"):
            assert len(left.name.split(".")[-1]) == 32 or json.loads(left.read_text())["pid"]
        with run_lock(tmp_path):
            pass
    assert 5 < step < 29


def test_a_living_process_of_another_machine_is_left_alone(tmp_path, hurried, monkeypatch):
    set_clock(monkeypatch, +3600)
    with held_by_another_process(tmp_path, "elsewhere"):
        for _ in range(3):
            assert_refused(tmp_path, r"on gpu7, started")
            time.sleep(0.5)


@pytest.mark.parametrize("left", ["a lease of another machine", "a lease of a boot before", "an empty file"])
def test_what_gives_no_sign_of_life_is_taken_over_after_a_minute(tmp_path, hurried, monkeypatch, left):
    set_clock(monkeypatch, -3600)
    if (
        left == "an empty file"
    ):  # by a version of this program that had other locks, or a kill between two calls
        (tmp_path / LOCK).touch()
    else:
        name = {"host": "gpu7"} if "machine" in left else {}
        leave_lease(tmp_path, boot="another boot", **name)
    assert_refused(tmp_path)
    time.sleep(1.1)
    assert_free(tmp_path)


def test_after_an_outage_a_living_process_has_time_for_a_sign_of_life(tmp_path, hurried):
    leave_lease(tmp_path, boot="another boot")
    os.utime(tmp_path / LOCK, (0, 0))
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(assert_refused, tmp_path)
        time.sleep(0.1)
        os.utime(tmp_path / LOCK)
        refused.result()


def test_a_suspended_process_stops_when_another_machine_has_taken_its_folder(tmp_path, hurried):
    with held_by_another_process(tmp_path, "elsewhere") as first:
        first.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        with run_lock(tmp_path):
            first.send_signal(signal.SIGCONT)
            output, errors = first.communicate(timeout=20)
            assert output == "lost\n"
            assert "this process lost its lock" in errors
            assert f"(process {os.getpid()} on " in errors
            assert_refused(tmp_path, f"process {os.getpid()} on ")


def test_a_lock_that_is_another_ones_by_now_is_left_to_it(tmp_path):
    with pytest.raises(CodecfakeError, match=r"lost its lock .* held by .* on gpu7"), run_lock(tmp_path):
        leave_lease(tmp_path, host="gpu7", boot="another boot")
    assert_refused(tmp_path, "on gpu7")


def test_a_short_outage_of_the_file_server_is_survived_a_long_one_is_not(tmp_path, hurried, monkeypatch):
    lost, touch = Event(), os.utime

    def unreachable(*_args, **_options):
        raise OSError(errno.EIO, "the server does not answer")

    seen = []
    with pytest.raises(CodecfakeError, match="lost its lock"), run_lock(tmp_path, lost.set):
        for utime, seconds in ((unreachable, 0.3), (touch, 1.0), (unreachable, 10)):
            monkeypatch.setattr(os, "utime", utime)
            seen.append(lost.wait(seconds))
    assert seen == [False, False, True]


@pytest.mark.parametrize("was_freeing_it", [False, True])
def test_of_many_that_find_a_dead_process_one_takes_over(tmp_path, was_freeing_it):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    at_once = 8
    start, looked = Barrier(at_once, timeout=20), Barrier(at_once, timeout=20)

    def contend() -> bool:
        start.wait()
        try:
            with run_lock(tmp_path):
                looked.wait()
                return True
        except CodecfakeError:
            looked.wait()
            return False

    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(30):
            leave_lease(tmp_path, pid=ended.pid)
            if was_freeing_it:
                leave_right(tmp_path)
            outcomes = [pool.submit(contend) for _ in range(at_once)]
            assert [outcome.result() for outcome in outcomes].count(True) == 1
            assert not list(tmp_path.iterdir())


def test_no_lock_of_the_file_system_is_needed(tmp_path, monkeypatch):
    def no_locks(*_args):
        raise OSError(errno.ENOLCK, "no locks available")

    for name in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, name, no_locks)
    assert_free(tmp_path)
    leave_lease(tmp_path, process_start="1")
    assert_free(tmp_path)
