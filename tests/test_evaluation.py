import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from detector_run import SPLIT, make_run

from codecfake.detector.evaluation import evaluate, evaluate_files, evaluate_scored
from codecfake.detector.score_files import publish_scores
from codecfake.detector.trials import read_trials
from codecfake.flows.commands.evaluation import evaluate as command
from codecfake.manifests.errors import CodecfakeError

DEV = {"p225_003.wav": 4.0, "F04_p225_003.wav": 1.0, "p225_004.wav": 2.0, "F04_p225_004.wav": 0.0}
"""Separable; the threshold is half way between 1 and 2."""

REALS = {"p225_005.wav": 3.0, "p225_006.wav": 1.0}
C4 = {**REALS, "F04_p225_005.wav": 2.0, "F04_p225_006.wav": -1.0}
C7 = {**REALS, **{f"F07_p225_{i:03d}.wav": score for i, score in enumerate((5, 5, 0, 0, -1, -2), start=1)}}


@pytest.fixture
def scored(tmp_path: Path) -> tuple[Path, Path]:
    """A run with two train, dev and evaluation utterances, and hand-made scores."""
    run_dir = make_run(tmp_path / "run", train=2, dev=2, evaluation=2)
    detector_dir = run_dir / "detectors" / "by-hand"
    (detector_dir / "scores").mkdir(parents=True)
    manifest = run_dir / "splits" / SPLIT / "manifest.parquet"
    description = {"split": SPLIT, "manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest()}
    (detector_dir / "model.json").write_text(json.dumps(description))
    for part, scores in (("dev", DEV), ("C4", C4), ("C7", C7)):
        publish_scores(detector_dir / "scores", part, {file: float(value) for file, value in scores.items()})
    return run_dir, detector_dir


def test_every_number_of_a_small_evaluation(scored: tuple[Path, Path]) -> None:
    evaluation = evaluate(*scored)
    assert (evaluation.threshold, evaluation.dev.eer_percent) == (1.5, 0.0)
    c4, c7 = evaluation.conditions
    assert (c4.condition, c4.bona_fide, c4.spoof, c4.eer_percent) == ("C4", 2, 2, 50.0)
    counts = c4.confusion
    assert (counts.true_positives, counts.false_negatives) == (1, 1)
    assert (counts.false_positives, counts.true_negatives) == (1, 1)
    assert (c4.accuracy_percent, c4.false_positive_percent, c4.false_negative_percent) == (50, 50, 50)
    # A third of the fakes is accepted; with one real missed of two, the rates are nearest: 1/3 and 1/2.
    assert (c7.bona_fide, c7.spoof, c7.source_utterances) == (2, 6, 6)
    assert c7.eer_percent == pytest.approx(100 * 5 / 12)
    assert c7.eer_interval_percent.low < c7.eer_percent < c7.eer_interval_percent.high
    assert c7.accuracy_percent == pytest.approx(100 * 5 / 8)
    assert c7.tied_percent == 50
    assert evaluation.mean_eer_percent == pytest.approx((50 + 100 * 5 / 12) / 2)
    # Shared reals count once.
    assert (evaluation.pooled.bona_fide, evaluation.pooled.spoof) == (2, 8)
    assert evaluation.pooled.eer_percent == pytest.approx(100 * 7 / 16)


def test_files_hold_the_same_numbers(scored: tuple[Path, Path]) -> None:
    evaluation = evaluate(*scored)
    _, detector_dir = scored
    content = json.loads((detector_dir / "evaluation.json").read_text())
    assert content["mean_eer_percent"] == evaluation.mean_eer_percent
    assert content["conditions"][0]["confusion"]["false_positives"] == 1
    with (detector_dir / "evaluation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["condition"] for row in rows] == ["dev", "C4", "C7", "pooled"]
    assert float(rows[2]["eer_percent"]) == evaluation.conditions[1].eer_percent
    text = (detector_dir / "evaluation.md").read_text()
    assert "| C7 | 2 | 6 | 41.667 |" in text
    assert "| C7 | 62.50 | 58.33 | 40.00 | 33.33 | 50.00 | 1 | 1 | 2 | 4 |" in text
    assert "| codec | F07 | 2 | 6 | 41.667 |" in text
    assert "at the threshold 1.5, fixed on dev" in text
    assert "Mean EER over the 2 conditions: 45.833 %" in text


def test_training_prior_is_taken_off_the_scores(scored: tuple[Path, Path]) -> None:
    """Trained with as many reals as fakes and weights 10:1, a logit difference is log(10) too high."""
    run_dir, detector_dir = scored
    plain = evaluate_scored(run_dir, detector_dir, rounds=0)[0]
    assert any("taken as natural log-likelihood ratios" in note for note in plain.notes)
    description = json.loads((detector_dir / "model.json").read_text())
    counts = {"real": 9, "fake": 9}
    data = [{"name": SPLIT, "digest": description["manifest_sha256"], "train": counts}]
    description |= {"training": {"bona_fide_weight": 10.0}, "data": data}
    description["warning"] = "a random tiny front end was used"
    (detector_dir / "model.json").write_text(json.dumps(description))
    evaluation = evaluate_scored(run_dir, detector_dir, rounds=0)[0]
    bona_fide = np.log2(1 + np.exp(np.log(10) - np.array([3, 1])))
    spoof = np.log2(1 + np.exp(np.array([2, -1]) - np.log(10)))
    assert evaluation.conditions[0].cllr == pytest.approx((bona_fide.mean() + spoof.mean()) / 2)
    assert any("minus 2.3026" in note for note in evaluation.notes)
    assert evaluation.warnings[0] == "a random tiny front end was used"
    assert "**Warning.** a random tiny" in (detector_dir / "evaluation.md").read_text()


def test_breakdown_by_what_the_manifest_tells(scored: tuple[Path, Path]) -> None:
    rows = {(row.by, row.condition): row for row in evaluate_scored(*scored, rounds=0)[0].breakdown}
    assert rows.keys() == {("codec", "F04"), ("codec", "F07"), ("duration", "0 to 2 s")}
    assert (rows["codec", "F04"].bona_fide, rows["codec", "F04"].spoof) == (2, 2)
    assert rows["duration", "0 to 2 s"].spoof == 8


def test_run_folder_command(scored: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_dir, detector_dir = scored
    command([run_dir], name="by-hand", rounds=0, against="paper", row="codec/mel-lcnn")
    text = capsys.readouterr().out
    assert "by-hand on published-seed0" in text and "fixed on dev (its EER threshold)" in " ".join(
        text.split()
    )
    assert "EER against the paper, row codec/mel-lcnn" in text
    with (detector_dir / "evaluation.against_paper.csv").open(newline="") as stream:
        cells = {row["condition"]: row for row in csv.DictReader(stream)}
    assert float(cells["C4"]["difference"]) == pytest.approx(50 - 12.239)
    assert cells["C1"]["ours"] == ""
    with pytest.raises(CodecfakeError, match="one dataset is evaluated at a time, without --threshold"):
        command([run_dir], name="by-hand", threshold=0.5)
    with pytest.raises(CodecfakeError, match="holds no trained detector"):
        command([run_dir], name="absent")


def test_score_files_of_a_run_with_the_run_as_key(scored: tuple[Path, Path]) -> None:
    run_dir, detector_dir = scored
    (detector_dir / "scores" / "scores.json").write_text(json.dumps({"warning": "random front end"}))
    of_run = evaluate_scored(run_dir, detector_dir, rounds=40)[0]
    of_files = evaluate_files([detector_dir / "scores"], keys=[run_dir], rounds=40)
    assert of_files.warnings == ["random front end"]
    assert of_files.detector == "by-hand"
    for field in ("threshold", "threshold_origin", "dev", "conditions", "pooled", "breakdown", "averages"):
        assert getattr(of_files, field) == getattr(of_run, field), field


def test_a_key_of_several_splits_needs_the_name_of_one(
    scored: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, detector_dir = scored
    other = run_dir / "splits" / "other"
    shutil.copytree(run_dir / "splits" / SPLIT, other)
    scores = [detector_dir / "scores"]
    with pytest.raises(CodecfakeError, match=rf"several splits: other, {SPLIT}(.|\n)*--split"):
        command(scores, key=[run_dir], rounds=0)
    command(scores, key=[run_dir], rounds=0, split=SPLIT)
    assert "C4 " in capsys.readouterr().out
    with pytest.raises(CodecfakeError, match="has no split 'absent'"):
        command(scores, key=[run_dir], rounds=0, split="absent")


def test_a_changed_description_is_named(scored: tuple[Path, Path]) -> None:
    run_dir, detector_dir = scored
    path = detector_dir / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"training": "x"}))
    with pytest.raises(CodecfakeError, match=r"model.json is damaged: training: "):
        command([run_dir], name="by-hand", rounds=0)


def test_unreadable_trials_are_counted_apart(scored: tuple[Path, Path]) -> None:
    run_dir, detector_dir = scored
    without = {file: value for file, value in C7.items() if file != "F07_p225_001.wav"}
    publish_scores(detector_dir / "scores", "C7", without)
    with pytest.raises(CodecfakeError, match=r"C7: 1 of 8 files have no score \(first: F07_p225_001.wav\)"):
        evaluate(run_dir, detector_dir)
    listed = "filename\treason\tmessage\nF07_p225_001.wav\tmissing\tno such file\n"
    (detector_dir / "scores" / "unreadable.tsv").write_text(listed)
    evaluation = evaluate(run_dir, detector_dir)
    c4, c7 = evaluation.conditions
    assert (c4.unreadable, c7.unreadable, c7.spoof) == (0, 1, 5)
    assert evaluation.pooled.unreadable == 1


def test_condition_without_a_class_is_left_out_and_named(scored: tuple[Path, Path]) -> None:
    run_dir, detector_dir = scored
    for name, content in (("C4", C4), ("C7", C7)):
        files = read_trials(run_dir, SPLIT).conditions[name].files
        publish_scores(
            detector_dir / "scores", name, {file: content[file] for file in files if file in REALS}
        )
        rows = [f"{file}\tmissing\tno such file" for file in files if file not in REALS]
        path = detector_dir / "scores" / "unreadable.tsv"
        path.write_text("\n".join(["filename\treason\tmessage", *rows]))
        if name == "C4":
            evaluation = evaluate(run_dir, detector_dir)
            assert [result.condition for result in evaluation.conditions] == ["C7"]
            assert "C4 is left out: 2 bona fide and 0 spoof files have scores" in evaluation.warnings[0]
            listed = path.read_text()
    path.write_text(listed + "\n" + "\n".join(rows))
    with pytest.raises(CodecfakeError, match="C4: 2 bona fide and 0 spoof files have scores"):
        evaluate(run_dir, detector_dir)


def test_condition_that_was_not_scored_is_left_out_and_named(scored: tuple[Path, Path]) -> None:
    run_dir, detector_dir = scored
    (detector_dir / "scores" / "C4.tsv").unlink()
    evaluation = evaluate(run_dir, detector_dir)
    assert evaluation.warnings == ["C4 is not scored and is left out"]
    assert [result.condition for result in evaluation.results] == ["dev", "C7", "pooled"]
    (detector_dir / "scores" / "C7.tsv").unlink()
    with pytest.raises(CodecfakeError, match=r"holds no scores of published-seed0(.|\n)*codecfake score"):
        evaluate(run_dir, detector_dir)


def test_detector_of_another_place(scored: tuple[Path, Path], tmp_path: Path) -> None:
    """Scores of data that is not the detector's run lie, as the evaluation does, under the dataset's name."""
    run_dir, detector_dir = scored
    elsewhere = tmp_path / "imported"
    (elsewhere / "scores").mkdir(parents=True)
    (elsewhere / "model.json").write_text("{}")
    (detector_dir / "scores").rename(elsewhere / "scores" / SPLIT)
    command([run_dir], detector=elsewhere, rounds=0)
    assert (elsewhere / "scores" / SPLIT / "evaluation.md").is_file()
