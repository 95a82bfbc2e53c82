"""`codecfake compare`: where two runs differ, by how much, and the exit code of diff."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from run_helpers import build_here, settings
from typer.testing import CliRunner

from codecfake.flows.cli import app
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import item_schema
from codecfake.pipeline.comparing.waves import measure_difference
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_splits import split_run

SHARD = Path("shards/X1/00000")
FILE = "X1_p225_001.wav"


@pytest.fixture
def runs(corpora, outside, tmp_path) -> tuple[Path, Path]:
    """Two equal runs; tests may change the second."""
    build_here(settings(corpora, outside, tmp_path / "one", aishell3=None))
    shutil.copytree(tmp_path / "one", tmp_path / "two", ignore=shutil.ignore_patterns(".lock*"))
    return tmp_path / "one", tmp_path / "two"


def change_row(run_dir: Path, file: str, **changes: object) -> None:
    rows = pq.read_table(run_dir / SHARD / "items.parquet").to_pylist()
    rows = [row | changes if row["file"] == file else row for row in rows]
    pq.write_table(pa.Table.from_pylist(rows, schema=item_schema()), run_dir / SHARD / "items.parquet")


def change_audio(run_dir: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Have a run made other samples of one file, and say so in its manifest."""
    path = run_dir / SHARD / "audio" / FILE
    samples, rate = soundfile.read(path, dtype="int16")
    path.unlink()  # the copy of a hard link is none, but let no other file change with it
    soundfile.write(path, change(samples), rate, subtype="PCM_16")
    change_row(run_dir, FILE, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def compare(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "100"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def differences(*arguments: object) -> tuple[int, dict]:
    code, text = compare(*arguments, "--json")
    return code, json.loads(text)


def test_equal_runs_are_the_same_and_no_audio_is_read(runs):
    shutil.rmtree(runs[1] / SHARD / "audio")
    code, text = compare(*runs)
    assert code == 0
    assert "24 of 24 files are identical, byte for byte.\nThe runs are the same.\n" in text


def test_a_sample_that_is_rounded_otherwise_counts_unless_it_is_tolerated(runs):
    def one_step(samples):
        samples[100] += 1
        return samples

    change_audio(runs[1], one_step)
    code, found = differences(*runs)
    assert (code, found["are_same"]) == (1, False)
    real, x1 = found["audio"]
    assert (real["codec"], real["identical"], real["files"]) == ("real", 12, 12)
    assert (x1["identical"], x1["within"], x1["beyond"], x1["unlike"], x1["largest"]) == (11, 0, 1, 0, 1.0)
    assert x1["worst"][0]["file"] == FILE
    assert x1["worst"][0]["frames_beyond"] == 1
    assert 80 < x1["lowest_snr"] < 150

    code, found = differences(*runs, "--tolerance", "1")
    assert (code, found["are_same"]) == (0, True)
    assert (found["audio"][1]["within"], found["audio"][1]["frames_beyond"]) == (1, 0)


def test_a_code_that_flips_is_tolerated_in_so_many_frames_and_no_more(runs):
    def click(samples):
        samples[:320] += 500  # the first frame of 20 ms
        return samples

    change_audio(runs[1], click)
    _, found = differences(*runs, "--tolerance", "1")
    share = found["audio"][1]["frames_beyond"]
    rows = pq.read_table(runs[0] / SHARD / "items.parquet").to_pylist()
    assert share == pytest.approx(100 / sum(-(-row["samples"] // 320) for row in rows))
    assert compare(*runs, "--tolerance", "1", "--frames", share + 0.01)[0] == 0
    code, text = compare(*runs, "--tolerance", "1", "--frames", share - 0.01)
    assert code == 1
    assert f"  {FILE}: at most 500 of 32,768, 1 of " in text


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda run: change_audio(run, lambda samples: samples[:-1]), "of another length"),
        (lambda run: change_row(run, FILE, sha256="0" * 64, path="shards"), "is gone, or no file"),
        (lambda run: change_row(run, FILE, sha256="0" * 64, path="run.json"), "Format not recognised"),
    ],
)
def test_what_cannot_be_compared_is_never_the_same(runs, damage, problem):
    damage(runs[1])
    code, found = differences(*runs, "--tolerance", "40000", "--frames", "100")
    assert code == 1
    assert found["audio"][1]["unlike"] == 1
    assert problem in found["audio"][1]["problems"][0]


def test_a_row_that_names_a_file_outside_of_its_run_is_refused(runs):
    change_row(runs[1], FILE, sha256="0" * 64, path="../one/run.json")
    result = CliRunner().invoke(app, ["compare", *map(str, runs)])
    assert result.exit_code == 1
    assert "could lead out of the run folder" in str(result.exception)


def test_quarantine_utterances_and_settings_are_told(corpora, outside, runs, tmp_path):
    change_row(runs[1], FILE, reason="codec-silent", sha256=None)
    code, text = compare(*runs)
    assert code == 1
    assert "X1: p225_001: reason none -> codec-silent" in text
    build_here(settings(corpora, outside, tmp_path / "less", aishell3=None, limit=6, seed=1))
    code, found = differences(runs[0], tmp_path / "less")
    assert code == 1
    told = {pair["name"]: (pair["first"], pair["second"]) for pair in found["circumstances"]}
    assert told == {"limit": ("none", "6"), "seed": ("0", "1")}
    assert [found["sources"][key] for key in ("equal", "only_first", "only_second")] == [6, 6, 0]
    assert [part["only_first"] for part in found["items"]] == [6, 6]
    assert {part["what"]: (part["only_first"], part["only_second"]) for part in found["splits"]} == {
        "published-seed0": (24, 0),
        "published-seed1": (0, 12),
    }


def test_files_that_moved_between_splits_are_counted(corpora, outside, runs, tmp_path):
    first, second = (
        {row["file"]: row["split"] for row in pq.read_table(path).to_pylist()}
        for path in _splits_of_two_seeds(runs)
    )
    code, found = differences(*runs)
    (split,) = (part for part in found["splits"] if part["what"] == "published-seed1")
    moved = sum(first[file] != second[file] for file in first.keys() & second.keys())
    assert code == 1
    assert split["changed"].get("split", 0) == moved > 0
    assert split["only_second"] == len(second.keys() - first.keys())


def _splits_of_two_seeds(runs) -> list[Path]:
    """Let both runs have a split of the same name, and other content."""
    places = []
    for run_dir, seed in zip(runs, (1, 2), strict=True):
        folder = split_run(run_dir, seed=seed, monitor=Monitor()).folder
        places.append(folder.rename(folder.with_name("published-seed1")) / "manifest.parquet")
    return places


def test_a_run_of_other_versions_with_the_same_audio_is_the_same(runs):
    stamp = json.loads((runs[1] / "run.json").read_text())
    stamp["environment"]["packages"]["torch"] = "9.0"
    stamp["process"]["host"] = "elsewhere"
    (runs[1] / "run.json").write_text(json.dumps(stamp))
    code, found = differences(*runs)
    assert code == 0
    assert [pair["name"] for pair in found["circumstances"]] == ["packages torch"]


def test_scores_count_unless_a_tolerance_is_given(runs):
    for run_dir, score in zip(runs, ("1.0", "1.25"), strict=True):
        folder = run_dir / "detectors" / "mel-lcnn"
        (folder / "scores").mkdir(parents=True)
        (folder / "model.json").write_text('{"weights_sha256": "a"}')
        (folder / "scores" / "dev.tsv").write_text(f"filename\tcm-score\na.wav\t-2.5\nb.wav\t{score}\n")
    code, found = differences(*runs)
    assert code == 1
    (part,) = found["scores"]
    assert (part["files"], part["equal"], part["largest"], part["same_weights"]) == (2, 1, 0.25, True)
    shown = compare(*runs)[1]
    assert "mel-lcnn" in shown and "The runs differ." in shown and "The runs are the same" not in shown
    assert compare(*runs, "--tolerance", "0")[0] == 0


def test_robustness_conditions_are_compared_like_splits(runs):
    noisy = parse_setting("noise-snr10")
    for run_dir in runs:
        (split,) = (run_dir / "splits").iterdir()
        derive_conditions(run_dir, split.name, [noisy], None, Monitor())
    assert compare(*runs)[0] == 0
    shutil.rmtree(split / "conditions")  # of the second run
    code, found = differences(*runs)
    assert code == 1
    (told,) = [
        part for part in found["splits"] if part["changed"] or part["only_first"] or part["only_second"]
    ]
    assert told["what"] == f"{split.name}/noise-snr10" and told["only_first"] > 0


def test_what_is_no_run_folder_is_named(runs, tmp_path):
    with pytest.raises(CodecfakeError, match=r"nothing is no run folder: it holds no run.json"):
        compare(runs[0], tmp_path / "nothing")


def test_differences_are_in_steps_and_decibels(tmp_path):
    rate, steps = 16_000, np.arange(3_200) % 101 * 100
    soundfile.write(tmp_path / "one.wav", steps.astype(np.int16), rate, subtype="PCM_16")
    soundfile.write(tmp_path / "two.wav", (steps + 10).astype(np.int16), rate, subtype="PCM_16")
    found = measure_difference("a", tmp_path / "one.wav", tmp_path / "two.wav", 9)
    assert (found.largest, found.frames, found.frames_beyond) == (10.0, 10, 10)
    assert found.snr == pytest.approx(10 * np.log10(np.square(steps).mean() / 100))
