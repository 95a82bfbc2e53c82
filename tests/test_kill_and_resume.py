"""SIGKILL at random moments, then the same command again: the same dataset, and nothing done twice."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from outside_codec import slow_down
from run_helpers import manifest, run_command, start_command, tree

KILLS = 10
pytestmark = pytest.mark.slow


def published(run_dir: Path) -> dict[Path, int]:
    """Modification time of the record of every published shard."""
    records = (run_dir / "shards").glob("*/[!.]*/shard.json")
    return {path: path.stat().st_mtime_ns for path in records}


def test_ten_kills_at_random_moments_end_in_the_undisturbed_dataset(corpora, outside, tmp_path):
    slow_down(outside.site, 0.15)
    build = ["build", *corpora.options, "--codecs", "X1", "--weights", outside.weights, "--no-prefect"]
    began = time.monotonic()
    undisturbed = run_command(*build, "--out", tmp_path / "calm", environment=outside.environment)
    seconds = time.monotonic() - began
    assert undisturbed.returncode == 0, undisturbed.stderr

    run, rng = tmp_path / "run", random.Random(0)
    seen: dict[Path, int] = {}
    unfinished = 0
    step = max(1, len(published(tmp_path / "calm")) // KILLS)
    for _ in range(KILLS):
        process = start_command(*build, "--out", run, environment=outside.environment)
        moment = time.monotonic() + rng.uniform(0.1, 1.1) * seconds
        while time.monotonic() < moment and len(published(run)) < len(seen) + step:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        unfinished += process.returncode == -signal.SIGKILL
        now = published(run)
        assert seen.items() <= now.items(), "a published shard was redone or lost"
        seen = now
    assert unfinished >= KILLS // 2
    final = run_command(*build, "--out", run, environment=outside.environment)
    assert final.returncode == 0, final.stderr
    assert seen.items() <= published(run).items()
    assert manifest(run) == manifest(tmp_path / "calm")
    assert [file for file in tree(run) if "/.tmp-" not in file] == tree(tmp_path / "calm")
    assert not list((run / "shards").glob("*/.tmp-*"))
    verified = run_command("verify", run, environment=outside.environment)
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize(("number", "mode"), [(signal.SIGINT, []), (signal.SIGTERM, ["--no-prefect"])])
def test_ctrl_c_stops_within_seconds_and_says_how_to_go_on(corpora, outside, tmp_path, number, mode):
    slow_down(outside.site, 0.5)
    build = [
        "build",
        *corpora.options,
        "--codecs",
        "X1",
        "--weights",
        outside.weights,
        "--out",
        tmp_path / "run",
    ]
    process = start_command(*build, *mode, environment=outside.environment)
    deadline = time.monotonic() + 90
    while not list((tmp_path / "run" / "shards").glob("X1/.tmp-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    began = time.monotonic()
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == 130, err
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
