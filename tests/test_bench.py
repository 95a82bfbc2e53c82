"""`codecfake bench`: what is measured was done, and what is stated was measured."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import readme_tables
import typer
from typer.testing import CliRunner

from codecfake.codec_adapters import CodecError, cpu_layout
from codecfake.flows.cli import app as cli
from codecfake.flows.commands import bench
from codecfake.manifests import measurements
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.fresh_process import elsewhere
from codecfake.pipeline.bench import io_bench, loop_side, resynthesis_bench
from codecfake.pipeline.bench.corpus import make_corpus, mixed_lengths, sorted_lengths
from codecfake.pipeline.bench.networks import load_network
from codecfake.pipeline.bench.null_codec import NullCodec
from codecfake.pipeline.bench.null_sink import NullSink
from codecfake.pipeline.bench.pipeline_run import PipelineRun
from codecfake.pipeline.bench.pipeline_side import PipelineSide
from codecfake.pipeline.bench.resynthesis_bench import Effort, bench_resynthesis
from codecfake.pipeline.bench.rounds import STAGES, settle_count
from codecfake.pipeline.devices import Device
from codecfake.pipeline.monitor import Monitor, Stopped

SHORT = Effort(rounds=2, seconds=0.2, loop_seconds=0.2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("bench") / "corpus", sorted_lengths(6))


@pytest.mark.parametrize("what", ["train", "features"])
def test_an_unknown_detector_is_named_before_anything_is_measured(what, tmp_path):
    shown = CliRunner().invoke(cli, ["bench", what, "--models", "mel-lcnn,nope", "--out", str(tmp_path)])
    assert shown.exit_code == 2
    assert "'nope' is none of mel-lcnn" in shown.output
    assert not list(tmp_path.iterdir())


def test_both_sides_get_the_same_mean_length():
    mixed, in_order = mixed_lengths(256), sorted_lengths(64)
    assert np.mean(mixed) == pytest.approx(np.mean(in_order))
    assert np.mean(mixed[10:12]) == pytest.approx(np.mean(in_order))
    assert len(set(mixed)) == 256
    assert min(mixed) >= 2.0 and max(mixed) <= 4.5
    assert max(in_order) - min(in_order) < 0.04


def test_utterances_that_come_round_again_are_files_of_their_own(corpus):
    taken = corpus.take(20, first=4)
    assert len({row["utterance_id"] for row in taken}) == 20
    assert {row["path"] for row in taken} == {row["path"] for row in corpus.rows}


def test_the_null_codec_changes_nothing():
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 24_001).astype(np.float32)
    (same,) = NullCodec("cpu").resynthesize([wave], 24_000)
    np.testing.assert_array_equal(same, wave)


@pytest.mark.parametrize("sink", [None, NullSink()], ids=["disk", "nothing"])
def test_a_run_takes_every_utterance_through_every_stage(corpus, tmp_path, sink):
    run = PipelineRun(NullCodec("cpu"), Device("cpu", 2), corpus)
    done = run.measure(10, tmp_path, sink)
    assert done.utterances == 10
    assert done.audio_seconds == pytest.approx(10 * 3.25, rel=0.01)
    assert set(done.stage_seconds) == set(STAGES)
    assert done.stage_seconds["read"] > 0 and done.stage_seconds["resample"] > 0
    written = list(tmp_path.rglob("*.wav"))
    assert (len(written), len(sink.bytes_of) if sink else 10) == (0 if sink else 10, 10)


class Failing(NullCodec):
    """Fails on one utterance out of six."""

    calls = 0

    def reconstruct(self, waves):
        type(self).calls += 1
        if type(self).calls % 6 == 5:
            raise RuntimeError("broken")
        return waves


def test_a_speed_over_lost_utterances_is_refused(corpus, monkeypatch):
    monkeypatch.setattr("codecfake.pipeline.bench.pipeline_side.load_network", lambda *_: Failing("cpu"))
    side = PipelineSide("null", "random", "cpu", corpus)
    with pytest.raises(CodecfakeError, match=r"null: \d of 8 utterances did not come out"):
        side.measure(8)


def test_the_bare_network_runs_the_batches_of_the_pipeline(corpus, monkeypatch):
    monkeypatch.setattr("codecfake.pipeline.bench.pipeline_side.load_network", lambda *_: NullCodec("cpu"))
    side = PipelineSide("null", "random", "cpu", corpus)
    run = side.measure(9)
    before = list(side._seen)
    bare = side.measure_bare()
    assert sorted(side._seen[len(before) + 1 :]) == sorted(before)  # after one to warm up
    assert (bare.utterances, bare.audio_seconds) == (run.utterances, run.audio_seconds)
    assert bare.speed > run.speed


def test_a_count_is_found_that_takes_the_wanted_time():
    asked = []

    def simulated(count):
        asked.append(count)
        return 0.1 + 0.02 * count

    count = settle_count(simulated, unit=4, seconds=6.0)
    assert count % 4 == 0
    assert simulated(count) == pytest.approx(6.0, rel=0.25)
    assert max(asked[:-1]) < 300, "finding out took longer than measuring"
    assert settle_count(lambda count: 7.0 * count, unit=2, seconds=6.0) == 2


def test_a_codec_is_measured_in_all_three_ways(monkeypatch):
    monkeypatch.setenv(
        "OMP_NUM_THREADS", "1"
    )  # beside other work, a loop with more waits for its own threads
    (row,) = bench_resynthesis(["F01"], "cpu", "mini", Monitor(), effort=SHORT, files=(8, 4))
    assert row["codec"] == "F01" and row["device"] == "cpu"
    percents = [row[f"{stage}_percent"] for stage in STAGES]
    assert sum(percents) == pytest.approx(100, abs=0.3)
    assert 0 <= row["wait_percent"] < 100
    assert row["peak_mebibytes"] > 50
    for way in ("pipeline", "bare", "loop"):
        assert len(row["rounds"][way]) == 2
    ratios = np.array(row["rounds"]["pipeline"]) / np.array(row["rounds"]["loop"])
    assert row["ratio_to_loop"] == pytest.approx(np.median(ratios), rel=0.01)


def test_a_bench_stops_when_told_to():
    monitor = Monitor()
    monitor.stop.set()
    with pytest.raises(Stopped):
        next(bench_resynthesis(["F01"], "cpu", "mini", monitor, effort=SHORT, files=(2, 2)))


class Held:
    """What lives in another process."""

    def __init__(self, start):
        self.count = start

    def add(self, amount):
        self.count += amount
        return self.count, os.getpid()

    def fail(self):
        raise CodecError("no such weights")

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)


def test_an_object_elsewhere_keeps_its_state_and_tells_its_errors():
    with elsewhere(Held, 3) as held:
        assert held.call("add", 4)[0] == 7
        count, pid = held.call("add", 1)
        assert count == 8 and pid != os.getpid()
        with pytest.raises(CodecError, match="no such weights"):
            held.call("fail")
        with pytest.raises(CodecfakeError, match="ended early"):
            held.call("die")


def test_nothing_is_left_when_a_bench_is_killed():
    code = (
        "import os, signal, test_bench; from codecfake.manifests.fresh_process import elsewhere\n"
        "if __name__ == '__main__':\n"
        "    with elsewhere(test_bench.Held, 0) as held:\n"
        "        print(held.call('add', 0)[1], flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    told = subprocess.run([sys.executable, "-c", code], env=here, capture_output=True, text=True, timeout=60)
    process = int(told.stdout)
    deadline = time.monotonic() + 20
    while _is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(process)


def _is_alive(process):
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_the_loop_runs_as_a_script_would(corpus, tmp_path):
    """Torch's own threads, and none of our settings for waiting threads."""
    code = (
        "import os; from codecfake.pipeline.bench.loop_side import LoopSide;"
        "from codecfake.pipeline.bench.corpus import BenchCorpus;"
        "LoopSide('F01', 'mini', 'cpu', BenchCorpus({}, ()));"
        "import torch; print(torch.get_num_threads(), os.environ.get('OMP_WAIT_POLICY'))"
    )
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    threads, wait_policy = told.stdout.split()
    assert wait_policy == "None"
    assert int(threads) > 1 or os.cpu_count() == 1
    side = loop_side.LoopSide("F01", "mini", "cpu", corpus)
    ours = set(cpu_layout.LAYERS.values())
    assert not ours & {type(layer) for layer in side._adapter.network.modules()}
    assert ours & {type(layer) for layer in load_network("F01", "mini", "cpu").network.modules()}
    done = side.measure(3)
    assert done.utterances == 3 and done.wall_seconds > 0


def test_the_limits_around_the_network_are_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["codecfake", "bench", "io", f"--out={tmp_path}/results"])
    quick = {"files": 6, "rounds": 1, "workers": (1, 2)}
    monkeypatch.setattr(io_bench.bench_io, "__kwdefaults__", quick)
    app = typer.Typer()
    app.command()(bench.io)
    shown = CliRunner().invoke(app, ["--out", "results"], catch_exceptions=False)
    assert "null codec, to disk" in shown.stdout and "Written: results/io.json" in shown.stdout
    result = json.loads((tmp_path / "results" / "io.json").read_text())
    works = [(row["work"], row["kind"], row["workers"]) for row in result["rows"]]
    reading = [
        (work, kind, count)
        for work in ("read", "read, resample")
        for kind in ("threads", "processes")
        for count in (1, 2)
    ]
    writing = [("write, flush, publish", "threads", count) for count in (1, 2)]
    assert works[:10] == reading + writing
    assert all(row["files_per_second"] > 0 for row in result["rows"])
    assert result["environment"]["command"] == "codecfake bench io --out=results"
    assert str(tmp_path) not in (tmp_path / "results" / "io.md").read_text()


def test_results_of_a_few_codecs_leave_those_of_all_alone(tmp_path, monkeypatch):
    def measured(ids, device, weights, monitor):
        assert (ids, device, weights) == (["F04"], "cpu", "mini")
        yield {"codec": "F04", "audio_seconds_per_second": 2.0, "ratio_to_bare": 0.9, "ratio_to_loop": 1.5}

    monkeypatch.setattr(resynthesis_bench, "bench_resynthesis", measured)
    app = typer.Typer()
    app.command()(bench.resynthesis)
    options = ["--codecs", "F04", "--weights", "mini", "--device", "cpu", "--out", str(tmp_path), "--json"]
    shown = CliRunner().invoke(app, options, catch_exceptions=False)
    assert json.loads(shown.stdout)["rows"][0]["ratio_to_loop"] == 1.5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "resynthesis_cpu_mini_F04.json",
        "resynthesis_cpu_mini_F04.md",
    ]


def test_a_result_says_which_commit_and_machine_it_is_from(tmp_path):
    about = measurements.environment()
    root = Path(__file__).resolve().parents[1]
    if (root / ".git").exists():
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
        assert about["commit"] == head.stdout.strip()
    assert about["cores"] == os.cpu_count()
    path = measurements.write_result(tmp_path / "new", "thing", {"environment": about, "rows": []}, "# Thing")
    page = path.with_suffix(".md").read_text()
    assert (
        page.startswith("# Thing\n")
        and about["cpu"] in page
        and f"torch {about['versions']['torch']}" in page
    )


def test_the_readme_says_what_the_results_say():
    text = readme_tables.README.read_text(encoding="utf-8")
    assert readme_tables.render(text) == text, "python benchmarks/readme_tables.py renders it anew"


def test_a_table_is_rendered_from_its_file(tmp_path):
    rows = [{"work": "read", "kind": "threads", "workers": 2, "files_per_second": 1234.56}]
    (tmp_path / "io.json").write_text(json.dumps({"rows": rows}))
    text = "Before.\n<!-- results: io -->\nold\n<!-- end -->\nAfter.\n"
    rendered = readme_tables.render(text, tmp_path)
    assert "| read | threads | 2 | 1234.6 |  |" in rendered and "old" not in rendered
    assert rendered.startswith("Before.\n<!-- results: io -->\n") and rendered.endswith(
        "<!-- end -->\nAfter.\n"
    )
    assert readme_tables.render(rendered, tmp_path) == rendered
