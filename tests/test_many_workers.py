"""Three workers and a server on PostgreSQL: a machine dies, the database restarts, and the dataset is the same."""

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from outside_codec import slow_down
from pool_commands import (
    POOL,
    PoolCommands,
    drafts,
    ended,
    flow_process,
    is_running,
    kill_tree,
    process_tree,
    published,
    wait_for,
)
from postgres import postgres_binaries, running_postgres
from run_helpers import build_here, cut_small_shards, manifest, settings, tree

from codecfake.pipeline.weights import mini_folder

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="workers of a pool run on Linux only"),
]

CODECS = "X1,F01,F04,F07"
"""Three embedded codecs, and a slow one of another package, so that there is a moment to kill its worker."""
WORKERS = 3
RESUBMITTED_SECONDS = 90.0
DATABASE_AWAY_SECONDS = 5.0


@pytest.fixture
def lab(tmp_path, outside) -> Iterator[SimpleNamespace]:
    """A PostgreSQL, a server on it, and what `codecfake deploy` registers."""
    if postgres_binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    for path in mini_folder().iterdir():
        shutil.copy(path, outside.weights)
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        port = postgres.port + (1 if postgres.port < 65535 else -1)
        pool = PoolCommands(tmp_path, f"http://127.0.0.1:{port}/api", outside.environment)
        server = pool.start("server", "--database", postgres.url, "--port", port)
        stack.enter_context(ended([server]))

        def answers() -> bool:
            assert server.poll() is None, pool.log.read_text()
            try:
                return httpx.get(f"{pool.api_url}/ready", timeout=5).is_success
            except httpx.HTTPError:
                return False

        wait_for(answers, 120, pool.log)
        pool.run("deploy", "--pool", POOL)
        workers = [pool.start("worker", "--pool", POOL, "--processes", "1") for _ in range(WORKERS)]
        stack.enter_context(ended(workers))
        yield SimpleNamespace(postgres=postgres, pool=pool, workers=workers, answers=answers)


def test_a_lost_worker_and_a_restarted_database_leave_no_trace_in_the_dataset(
    lab, corpora, outside, tmp_path, monkeypatch, record_property
):
    cut_small_shards(monkeypatch)
    alone = settings(corpora, outside, tmp_path / "alone", codecs=CODECS)
    build_here(alone)
    slow_down(outside.site, 0.7)
    run, pool = tmp_path / "run", lab.pool
    wait_for(lambda: pool.online_workers() == WORKERS, 60, pool.log)
    build = pool.start(
        *("build", *corpora.options, "--out", run, "--codecs", CODECS, "--weights", outside.weights),
        *("--device", "cpu", "--on", POOL),
    )
    with ended([build]):

        def chunk_in_the_middle():
            assert build.poll() is None, pool.log.read_text()[-8000:]
            return list((run / "shards" / "X1").glob("0*")) and pool.running_chunk(run, "X1")

        victim = wait_for(chunk_in_the_middle, 120, pool.log)
        flow_pid = flow_process(victim["id"])
        (worker,) = [worker for worker in lab.workers if flow_pid in process_tree(worker.pid)]
        killed, killed_at = kill_tree(worker.pid), time.monotonic()
        assert flow_pid in killed
        assert drafts(run, "X1"), "the worker was not in the middle of a shard"
        found = published(run)
        records = {block: run / "shards" / block / "shard.json" for block in victim["parameters"]["blocks"]}
        lost = {block for block, record in records.items() if record not in found}
        assert lost < records.keys(), "nothing was published yet"

        lab.postgres.kill()
        time.sleep(DATABASE_AWAY_SECONDS)
        lab.postgres.start()

        wait_for(lambda: submitted_again(pool, victim, lost), 2 * RESUBMITTED_SECONDS, pool.log)
        seconds = time.monotonic() - killed_at
        record_property("submitted_again_seconds", seconds)
        assert seconds < RESUBMITTED_SECONDS
        assert build.wait(240) == 0, pool.log.read_text()[-8000:]

    assert found.items() <= published(run).items(), "a published shard was done again"
    assert manifest(run) == manifest(alone.out)
    assert digests(run) == digests(alone.out)
    pool.run("verify", run)
    states = {chunk["id"]: chunk["state_type"] for chunk in pool.chunks()}
    assert states.pop(victim["id"]) == "CRASHED"
    # One that was about to start when the database went away may have crashed, and was submitted again.
    assert set(states.values()) <= {"COMPLETED", "CRASHED"}
    assert not any(map(is_running, killed))


def submitted_again(pool: PoolCommands, victim: dict[str, Any], lost: set[str]) -> bool:
    """Whether work that a lost worker had left was given to others."""
    try:
        chunks = pool.chunks()
    except httpx.HTTPError:  # the database is not back yet
        return False
    later = [chunk for chunk in chunks if chunk["created"] > victim["created"]]
    return any(lost.intersection(chunk["parameters"]["blocks"]) for chunk in later)


def digests(run_dir: Path) -> dict[str, str]:
    """Sha256 of everything that a run publishes, but for the records of when and where."""
    return {
        name: hashlib.sha256((run_dir / name).read_bytes()).hexdigest()
        for name in tree(run_dir)
        if name.startswith(("shards/", "splits/", "source.")) and not name.endswith(".json")
    }
