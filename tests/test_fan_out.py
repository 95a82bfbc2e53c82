"""A build on a pool: lost work is done again, what ends every worker is named, a stopped build leaves nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile
from outside_codec import slow_down
from pool_commands import (
    POOL,
    PoolCommands,
    ended,
    flow_process,
    is_running,
    kill_tree,
    process_tree,
    published,
    wait_for,
)
from run_helpers import build_here, cut_small_shards, manifest, settings

from codecfake.flows.server import prefect_server

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(sys.platform != "linux", reason="workers of a pool run on Linux only"),
]

OPEN = {"SCHEDULED", "PENDING", "RUNNING", "CANCELLING"}


@pytest.fixture(scope="module")
def api_url(tmp_path_factory) -> Iterator[str]:
    """A server that knows the pool; SQLite is enough for a worker or two."""
    folder = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        with prefect_server(folder / ".prefect") as url:
            PoolCommands(folder, url, os.environ).run("deploy", "--pool", POOL)
            yield url


@pytest.fixture
def pool(api_url, tmp_path, outside) -> PoolCommands:
    return PoolCommands(tmp_path, api_url, outside.environment, faster_beats=True)


def start_build(pool: PoolCommands, run: Path, corpora, outside) -> subprocess.Popen:
    return pool.start(
        *("build", "--vctk", corpora.vctk, "--out", run, "--codecs", "X1", "--weights", outside.weights),
        *("--device", "cpu", "--on", POOL),
    )


def start_worker(pool: PoolCommands) -> subprocess.Popen:
    return pool.start("worker", "--pool", POOL, "--processes", "1")


def kill_on(site: Path, longer_than_samples: int) -> Callable[[], None]:
    """Make the installed codec end its process on long utterances; gives what undoes it."""
    module = site / "outside_codec.py"
    healthy = module.read_text()
    begin = "    def reconstruct(self, waves):\n"
    kill = f"        if waves.shape[-1] > {longer_than_samples}: __import__('os').kill(__import__('os').getpid(), 9)\n"
    module.write_text(healthy.replace(begin, begin + kill))
    return lambda: module.write_text(healthy)


def test_lost_work_is_done_again_and_a_block_that_ends_every_worker_is_named(
    pool, corpora, outside, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    slow_down(outside.site, 0.7)
    longest = max(soundfile.info(path).duration for path in corpora.vctk.rglob("*.flac"))
    heal = kill_on(outside.site, int((longest - 0.001) * 8_000))
    workers = [start_worker(pool)]
    with ended(workers), ended([build := start_build(pool, run, corpora, outside)]):
        chunk = wait_for(lambda: pool.running_chunk(run, "X1"), 120, pool.log)
        (lost,) = [worker for worker in workers if flow_process(chunk["id"]) in process_tree(worker.pid)]
        kill_tree(lost.pid)
        workers.append(start_worker(pool))
        assert build.wait(180) == 1
        said = pool.log.read_text()
        assert "is given to a worker again: its worker gave no sign of life" in said
        assert (
            "1 of 4 blocks of shards failed, the others are published. First: X1/00001, tried 3 times" in said
        )
        found = published(run)
        assert len(found) == 3

        heal()
        assert start_build(pool, run, corpora, outside).wait(120) == 0, pool.log.read_text()
    assert found.items() < published(run).items()
    assert not list((run / "shards").glob("*/.tmp-*")), "what the lost worker left behind is gone"
    cut_small_shards(monkeypatch)
    alone = settings(corpora, outside, tmp_path / "alone", aishell3=None)
    build_here(alone)
    assert manifest(run) == manifest(alone.out)


def test_a_killed_build_is_cleaned_up_by_the_next_and_ctrl_c_ends_all_it_began(
    pool, corpora, outside, tmp_path
):
    slow_down(outside.site, 3)
    run = tmp_path / "run"
    with ended([start_worker(pool)]):
        first = start_build(pool, run, corpora, outside)
        left_behind = wait_for(lambda: pool.running_chunk(run, "X1"), 120, pool.log)
        process = flow_process(left_behind["id"])
        first.kill()
        first.wait()
        before = {chunk["id"] for chunk in pool.chunks()}
        assert is_running(process)

        second = start_build(pool, run, corpora, outside)
        wait_for(
            lambda: (chunk := pool.running_chunk(run, "X1")) and chunk["id"] not in before, 120, pool.log
        )
        assert not is_running(process)
        of_first = [chunk["state_type"] for chunk in pool.chunks() if chunk["id"] in before]
        assert not OPEN & set(of_first)

        os.killpg(second.pid, signal.SIGINT)
        assert second.wait(20) == 130, pool.log.read_text()
        assert "the same command goes on from there" in pool.log.read_text()
        wait_for(lambda: not OPEN & {chunk["state_type"] for chunk in pool.chunks()}, 40, pool.log)
        assert not list((run / "shards").glob("*/.tmp-*"))
