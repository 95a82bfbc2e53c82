"""A process per device: the dataset of a single process, whatever happens to the processes on the way."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from outside_codec import slow_down
from run_helpers import build_here, cut_small_shards, manifest, settings, tree

from codecfake.codec_adapters.errors import CodecError
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import local_devices
from codecfake.pipeline.build import find_checkpoints, plan_shards
from codecfake.pipeline.device_processes import DeviceProcesses, _shares_of_cores
from codecfake.pipeline.device_worker import BlockFailed, _portable, visible_device
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.resynthesis_job import ResynthesisJob
from codecfake.pipeline.shard_store import drafts, published_shards
from codecfake.pipeline.shards import ShardBlock
from codecfake.pipeline.sinks import RunFolder
from codecfake.pipeline.source import corpus_roots, inspect, list_sources

TWO = ["cpu", "cpu"]
two_cores = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="needs two cores to tell two devices apart"
)


class CountingMonitor(Monitor):
    def __init__(self):
        super().__init__()
        self.seconds = 0.0
        self.said = []
        self._lock = threading.Lock()

    def advance(self, amount):
        with self._lock:
            self.seconds += amount

    def say(self, text):
        self.said.append(text)


@dataclass(frozen=True)
class TroubledJob(ResynthesisJob):
    """A job whose processes end, or fail, at chosen shards; it travels to processes as the real one does."""

    kills_at: tuple[str, ...] = ()
    """Shards, as "X1/00001", that end the process when all of their audio is written."""
    once: Path | None = None
    """A file that is left then; while it is there, nothing is killed."""
    fails_at: tuple[str, ...] = ()
    faulty_gpu: bool = False
    """Whether they are to fail as on a GPU after a fault, instead of being killed."""
    broken_cores: frozenset[int] = frozenset()
    """Processes that may use no others cannot open their device."""
    deadly_cores: frozenset[int] = frozenset()
    """Processes that may use no others end with their first shard."""

    def open(self, device, monitor):
        cores = os.sched_getaffinity(0)
        if cores <= self.broken_cores:
            raise CodecfakeError("this device is broken", next_step="take another one")
        if self.faulty_gpu:
            torch.cuda.synchronize = gpu_fault
            device.name = "cuda"
        sink = TroubledSink(self, is_deadly=cores <= self.deadly_cores)
        return replace(super().open(device, monitor), sink=sink)


def gpu_fault():
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


@dataclass(frozen=True)
class TroubledSink(RunFolder):
    job: TroubledJob
    is_deadly: bool

    def publish(self, draft, run_dir, codec, shard_id, items, record):
        name = f"{codec}/{shard_id}"
        if name in self.job.fails_at:
            raise CodecfakeError(f"{name} cannot be", cause="the test", next_step="codecfake status")
        if self.is_deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if name in self.job.kills_at and not (self.job.once and self.job.once.exists()):
            if self.job.once:
                self.job.once.touch()
            if self.job.faulty_gpu:
                gpu_fault()
            os.kill(os.getpid(), signal.SIGKILL)
        super().publish(draft, run_dir, codec, shard_id, items, record)


@pytest.fixture
def plan(corpora, outside, tmp_path, monkeypatch) -> Callable[..., tuple[TroubledJob, list[ShardBlock]]]:
    """Call for a job and its blocks, each one shard of four to six utterances."""
    cut_small_shards(monkeypatch)
    config = settings(corpora, outside, tmp_path / "run")
    listings = list_sources(config)
    source = inspect(listings, Monitor())

    def make(**troubles):
        job = TroubledJob(config, corpus_roots(listings), find_checkpoints(config), **troubles)
        return job, [ShardBlock((shard,)) for shard in plan_shards(source, config.codecs)]

    return make


def run_all(job, blocks, monitor, devices=TWO) -> list[BaseException]:
    """Run blocks as a build would; gives what was raised."""
    with DeviceProcesses(job, devices, monitor) as processes, ThreadPoolExecutor(2 * len(devices)) as pool:
        futures = [pool.submit(processes.run_block, block) for block in blocks]
    return [error for future in futures if (error := future.exception())]


def assert_whole(job, blocks, monitor) -> None:
    """Every shard is published, nothing else is there, and the progress was counted once."""
    assert len(published_shards(job.config.out)) == len(blocks)
    assert not drafts(job.config.out)
    assert monitor.seconds == pytest.approx(sum(block.seconds for block in blocks))


def until(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def audio(run_dir: Path) -> dict[str, str]:
    return {str(path.relative_to(run_dir)): file_sha256(path) for path in run_dir.glob("shards/**/*.wav")}


def test_two_processes_build_what_one_builds(corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    build_here(settings(corpora, outside, tmp_path / "one"))
    monkeypatch.setattr(local_devices, "find_devices", lambda name: TWO)
    monitor = CountingMonitor()
    report = build_here(settings(corpora, outside, tmp_path / "two"), monitor)
    assert report.shards_done == len(published_shards(tmp_path / "one"))
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    assert manifest(tmp_path / "two") == manifest(tmp_path / "one")
    assert audio(tmp_path / "two") == audio(tmp_path / "one") != {}
    assert not multiprocessing.active_children()


def test_a_process_killed_amid_its_shards_loses_only_what_it_had_not_published(plan, outside):
    slow_down(outside.site, 0.1)
    job, blocks = plan()
    monitor = CountingMonitor()
    with DeviceProcesses(job, TWO, monitor) as processes, ThreadPoolExecutor(4) as pool:
        records = pool.map(processes.run_block, blocks)
        until(lambda: published_shards(job.config.out) and list(job.config.out.glob("shards/X1/.tmp-*")))
        before = {path: (path / "shard.json").stat().st_mtime_ns for path in published_shards(job.config.out)}
        multiprocessing.active_children()[0].kill()
    assert_whole(job, blocks, monitor)
    assert sum("is run again" in line and "SIGKILL" in line for line in monitor.said) in (1, 2)
    assert {path: (path / "shard.json").stat().st_mtime_ns for path in before} == before
    assert [len(record) for record in records] == [1] * len(blocks)


def test_a_block_that_ends_every_process_is_named_and_takes_no_other_along(plan):
    job, blocks = plan(kills_at=("X1/00001",))
    monitor = CountingMonitor()
    (failure,) = run_all(job, blocks, monitor, ["cpu"])
    assert isinstance(failure, CodecfakeError)
    assert failure.what == "X1/00001 ended 3 processes, the last one on cpu with SIGKILL"
    assert "memory" in failure.cause
    assert "repeat the command" in failure.next_step
    assert len(published_shards(job.config.out)) == len(blocks) - 1
    assert not drafts(job.config.out)
    done = sum(block.seconds for block in blocks if block.name != "X1/00001")
    assert monitor.seconds == pytest.approx(done)


@two_cores
@pytest.mark.slow
def test_a_device_that_ends_every_process_is_left_alone(plan, monkeypatch):
    monkeypatch.setattr("codecfake.pipeline.device_processes.LOST_IN_A_ROW", 2)
    job, blocks = plan(deadly_cores=frozenset(_shares_of_cores(TWO)[0]))
    monitor = CountingMonitor()
    with DeviceProcesses(job, TWO, monitor) as processes:
        for block in blocks[:3]:
            processes.run_block(block)
    assert_whole(job, blocks[:3], monitor)
    again = [f"cpu: the process ended (SIGKILL); {block.name} is run again" for block in blocks[:2]]
    assert monitor.said == [*again, "cpu is not used any more: 2 of its processes ended in a row"]


def test_after_a_fault_of_the_gpu_a_fresh_process_goes_on(plan, tmp_path):
    job, blocks = plan(kills_at=("real/00000",), once=tmp_path / "fault", faulty_gpu=True)
    bona_fide = [block for block in blocks if block.name == "real/00000"]
    monitor = CountingMonitor()
    assert run_all(job, bona_fide, monitor, ["cpu"]) == []
    assert_whole(job, bona_fide, monitor)
    assert monitor.said == ["cpu: the process ended (exit code 70); real/00000 is run again"]


def test_what_a_lost_process_published_of_a_block_is_kept_and_reported(plan, tmp_path):
    job, blocks = plan(kills_at=("X1/00001",), once=tmp_path / "killed")
    both = ShardBlock(tuple(block.shards[0] for block in blocks if block.name.endswith("/00001")))
    assert both.name == "real+X1/00001"
    monitor = CountingMonitor()
    with DeviceProcesses(job, ["cpu"], monitor) as processes:
        records = processes.run_block(both)
    assert len(records) == 2
    assert_whole(job, both.shards, monitor)


def test_errors_come_back_as_they_were_raised(plan):
    job, blocks = plan(fails_at=("X1/00000",))
    block = next(block for block in blocks if block.name == "X1/00000")
    monitor = CountingMonitor()
    with DeviceProcesses(job, ["cpu"], monitor) as processes:
        for _ in range(2):
            with pytest.raises(CodecfakeError, match="X1/00000 cannot be") as raised:
                processes.run_block(block)
        assert (raised.value.cause, raised.value.next_step) == ("the test", "codecfake status")
    assert monitor.seconds == pytest.approx(0)


def test_errors_of_other_kinds_come_back_as_their_message():
    class Local(Exception):
        pass

    told = _portable(Local("what happened"))
    assert type(told) is BlockFailed
    assert str(told) == "Local: what happened"
    error = CodecError("a broken codec")
    assert _portable(error) is error


@two_cores
def test_a_device_that_cannot_be_used_leaves_its_work_to_the_others(plan):
    job, blocks = plan(broken_cores=frozenset(_shares_of_cores(TWO)[0]))
    monitor = CountingMonitor()
    assert run_all(job, blocks, monitor) == []
    assert_whole(job, blocks, monitor)
    assert monitor.said == ["cpu is not used any more: this device is broken\nNext: take another one"]


def test_without_any_usable_device_the_reason_is_raised(plan):
    job, blocks = plan(broken_cores=frozenset(os.sched_getaffinity(0)))
    failures = run_all(job, blocks, Monitor(), ["cpu"])
    assert len(failures) == len(blocks)
    assert {failure.what for failure in failures} == {"this device is broken"}


def test_stopping_ends_utterances_that_take_too_long(plan, outside, monkeypatch):
    monkeypatch.setattr("codecfake.pipeline.device_processes.SECONDS_TO_STOP", 0.5)
    slow_down(outside.site, 60)
    job, blocks = plan()
    monitor = CountingMonitor()

    def stop():
        until(lambda: list(job.config.out.glob("shards/X1/.tmp-*")))
        monitor.stop.set()

    threading.Thread(target=stop).start()
    assert {type(error) for error in run_all(job, blocks, monitor)} == {Stopped}
    assert not multiprocessing.active_children()
    assert not drafts(job.config.out)
    assert len(published_shards(job.config.out)) < len(blocks)


TWO_PROCESSES = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from codecfake.pipeline import local_devices, shards
shards.MINIMUM_UTTERANCES, shards.MAXIMUM_UTTERANCES = 4, 6
local_devices.find_devices = lambda name: ["cpu", "cpu"]
from codecfake.flows.cli import main
main()
"""


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        (signal.SIGINT, os.killpg),
        (signal.SIGKILL, os.kill),
        pytest.param(signal.SIGTERM, os.killpg, marks=pytest.mark.slow),
    ],
)
def test_whatever_ends_the_command_ends_its_processes(corpora, outside, tmp_path, number, whom):
    slow_down(outside.site, 0.5)
    options = ["--codecs", "X1", "--weights", outside.weights, "--device", "cpu", "--no-prefect"]
    arguments = ["build", *corpora.options, *options, "--out", tmp_path / "run"]
    process = subprocess.Popen(
        [sys.executable, "-c", TWO_PROCESSES, *map(str, arguments)],
        env=outside.environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: list(tmp_path.glob("run/shards/X1/.tmp-*")))
    began = time.monotonic()
    whom(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert "Traceback" not in err
    if number != signal.SIGKILL:
        assert process.returncode == 130, err
        assert "the same command goes on from there" in err
    until(lambda: not group_lives(process.pid), seconds=5)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_every_gpu_works_in_a_process_of_its_own(plan):
    job, blocks = plan()
    monitor = CountingMonitor()
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    assert run_all(job, blocks, monitor, devices) == []
    assert_whole(job, blocks, monitor)


def test_cores_are_divided_among_the_processes_that_compute_on_them(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1, 2, 3, 4})
    assert _shares_of_cores(["cpu", "cpu"]) == [{0, 2, 4}, {1, 3}]
    assert _shares_of_cores(["cuda:0", "cuda:1"]) == [set(), set()]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3})
    assert _shares_of_cores(["cpu", "cpu"]) == [{3}, {3}]


def test_a_process_sees_only_its_own_gpu():
    assert visible_device(1, {}) == "1"
    assert visible_device(1, {"CUDA_VISIBLE_DEVICES": "6,4, 7"}) == "4"
    assert visible_device(0, {"CUDA_VISIBLE_DEVICES": "GPU-8f2c,GPU-11aa"}) == "GPU-8f2c"
