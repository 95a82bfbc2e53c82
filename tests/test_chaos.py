"""A short form of the crash matrix, and the faults of the machine that need no killing; `make chaos` does it all."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from detector_run import SPLIT, make_run
from run_helpers import build_here, settings

from codecfake.detector.feature_writing import write_features
from codecfake.detector.front_ends import describe_front_end
from codecfake.detector.trials import read_trials
from codecfake.manifests import leases
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.leases import Lease, LeaseHeld
from codecfake.pipeline import verification
from codecfake.pipeline.audio import encode_wav
from codecfake.pipeline.imports.taking import take_file
from codecfake.pipeline.inspection import inspect_corpora
from codecfake.pipeline.local_devices import run_locally
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retrying import retry
from codecfake.pipeline.shard_store import AUDIO
from codecfake.pipeline.source import list_sources
from codecfake.pipeline.status import planned_shards
from codecfake.pipeline.verification import verify

ROOT = Path(__file__).resolve().parents[1]
HOLDER = {"host": "gpu7", "boot": "b", "pid_namespace": "p", "pid": 1, "process_start": "1", "started": "s"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform != "linux", reason="forks; Linux only")
def test_nothing_is_lost_in_the_short_crash_matrix(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "crash_matrix.py"), "--short"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "work"), "--json", str(tmp_path / "rows.json")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["job"] for row in rows} >= {"build", "split", "train", "features", "score"}
    assert all(row["tally"]["losses"] == [] for row in rows)
    killed = [row["tally"] for row in rows if row["fault"] == "killed at a step"]
    assert all(tally["hits"] and tally["looks"] > 10 for tally in killed)


class FewOpenFiles:
    """Leaves so many files to open, whichever are open now."""

    def __init__(self, left: int) -> None:
        self._left = left

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_NOFILE)
        probe = os.open("/dev/null", os.O_RDONLY)
        os.close(probe)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe + self._left, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._before)


def test_too_many_open_files_put_no_recording_into_quarantine(corpora, outside, tmp_path):
    listings = list_sources(settings(corpora, outside, tmp_path / "run"))
    calm = inspect_corpora(listings, 2, lambda done, total: None)
    assert set(calm["reason"].to_pylist()) == {None}
    with FewOpenFiles(0), pytest.raises(OSError, match="Too many open files"):
        inspect_corpora(listings, 2, lambda done, total: None)


def test_too_many_open_files_keep_nothing_out_of_an_import(tmp_path):
    published, draft = tmp_path / "F01_p225_001.wav", tmp_path / "draft"
    published.write_bytes(encode_wav(np.full(16_000, 100, np.int16), 16_000))
    (draft / AUDIO).mkdir(parents=True)
    row = {"utterance_id": "p225_001", "codec": "F01", "file": published.name}
    with FewOpenFiles(0), pytest.raises(OSError, match="Too many open files"):
        take_file(published, draft, "shards/F01/00000", row)


def test_too_many_open_files_leave_no_zeros_in_the_feature_cache(tmp_path, monkeypatch):
    from codecfake.detector import crop_reading

    trials = read_trials(make_run(tmp_path / "run", train=2, dev=1, evaluation=1), SPLIT)

    def no_file_left(path):
        raise OSError(24, "Too many open files", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(crop_reading, "open_plain", no_file_left)
        with pytest.raises(OSError, match="Too many open files"):
            write_features(trials, describe_front_end("mel"), tmp_path / "cache", "cpu", lambda line: None)
    assert not list((tmp_path / "cache" / "shards").glob("[!.]*.npy"))
    result = write_features(trials, describe_front_end("mel"), tmp_path / "cache", "cpu", lambda line: None)
    assert result.unreadable == 0


@pytest.mark.parametrize("jump", [-365 * 86_400, 365 * 86_400])
def test_a_dead_holder_is_followed_though_the_clock_of_the_file_server_jumped(tmp_path, monkeypatch, jump):
    monkeypatch.setattr(leases, "WATCH_SECONDS", 0.2)
    path = tmp_path / ".lock"
    path.write_text(json.dumps(HOLDER | {"command": "codecfake build", "token": "t"}))
    os.utime(path, (time.time() + jump,) * 2)
    lease = Lease(path, lambda: None)
    lease.acquire()
    lease.release()
    assert not lease.is_lost and not path.exists()


@pytest.mark.parametrize("jump", [-365 * 86_400, 365 * 86_400])
def test_a_living_holder_keeps_its_lease_though_the_clock_of_the_file_server_jumped(
    tmp_path, monkeypatch, jump
):
    monkeypatch.setattr(leases, "WATCH_SECONDS", 1.0)
    path = tmp_path / ".lock"
    path.write_text(json.dumps(HOLDER | {"command": "codecfake build", "token": "t"}))
    os.utime(path, (time.time() + jump,) * 2)
    sign_of_life = threading.Timer(0.2, lambda: os.utime(path))
    sign_of_life.start()
    with pytest.raises(LeaseHeld):
        Lease(path, lambda: None).acquire()
    sign_of_life.join()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damaged",
    ["source.parquet", "shards/X1/00000/items.parquet", "splits/published-seed0/manifest.csv"],
)
def test_a_flipped_bit_of_a_manifest_is_found_and_mended(corpora, outside, tmp_path, damaged):
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    planned, intact = planned_shards(config), (config.out / damaged).read_bytes()
    assert verify(config.out, planned, Monitor()).is_whole
    flip(config.out / damaged)
    try:
        found = [damage.path for damage in verify(config.out, planned, Monitor()).damage]
    except CodecfakeError as error:
        found = [str(error).removeprefix(f"{config.out}/").partition(" ")[0]]
    assert damaged in found
    report = retry(config, None, Monitor(), run_locally)
    assert [told.partition(":")[0] for told in report.mended] == [damaged]
    assert verify(config.out, planned, Monitor()).is_whole
    assert (config.out / damaged).read_bytes() == intact


def test_half_a_deletion_of_a_shard_does_not_stand_in_the_way_of_the_next_build(corpora, outside, tmp_path):
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    (config.out / "shards" / "X1" / "00000" / "shard.json").unlink()
    assert build_here(config).shards_done == 1
    assert verify(config.out, planned_shards(config), Monitor()).is_whole


def test_an_error_that_a_ctrl_c_turned_into_another_one_is_a_stop():
    script = """
import os, signal
from codecfake.flows import cli

def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(100_000))
    except KeyboardInterrupt:
        raise KeyError(140618502970240)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
cli.app = work
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130 and "the same command goes on" in done.stderr


def test_a_ctrl_c_that_an_ending_object_swallows_stops_the_work_all_the_same():
    script = """
import os, signal, sys, time
from codecfake.flows.interrupts import handle_interrupts
from codecfake.flows.running import monitored
from codecfake.pipeline.monitor import Stopped

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        sum(range(100_000))

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
handle_interrupts()
try:
    with monitored() as monitor:
        Swallows()
        print("told" if monitor.stop.is_set() else "lost")
        time.sleep(60)
except Stopped:
    print("stopped")
with monitored() as later:
    print("told" if later.stop.is_set() else "lost")
"""
    for number in (signal.SIGINT, signal.SIGTERM):
        command = [sys.executable, "-c", script, str(int(number))]
        done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
        assert done.stdout.split() == ["told", "stopped", "told"], done.stderr


def test_a_run_on_a_read_only_disk_can_be_verified(corpora, outside, tmp_path, monkeypatch):
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)

    def refuse(path, content):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(verification, "publish_json", refuse)
    assert verify(config.out, planned_shards(config), Monitor()).is_whole
