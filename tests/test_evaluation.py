import csv
import hashlib
import json
from pathlib import Path

import pytest
from detector_run import SPLIT, make_run

from codecfake.detector.evaluation import evaluate
from codecfake.detector.score_files import publish_scores
from codecfake.detector.trials import read_trials
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
    # From 3 on, half of the reals are missed and a third of the fakes accepted; between 1 and 3 only the
    # misses change, so they meet at one third.
    assert (c7.bona_fide, c7.spoof) == (2, 6)
    assert c7.eer_percent == pytest.approx(100 / 3)
    assert c7.accuracy_percent == pytest.approx(100 * 5 / 8)
    assert c7.tied_percent == 50
    assert evaluation.mean_eer_percent == pytest.approx((50 + 100 / 3) / 2)
    # Shared reals count once.
    assert (evaluation.pooled.bona_fide, evaluation.pooled.spoof) == (2, 8)
    assert evaluation.pooled.eer_percent == pytest.approx(100 * 3 / 8)


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
    assert "| C7 | 2 | 6 | 33.333 | 62.50 | 33.33 | 50.00 | 1 | 1 | 2 | 4 |" in text
    assert "at the threshold 1.5, fixed on dev" in text
    assert "Mean EER over the 2 conditions: 41.667 %" in text


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


def test_condition_without_a_class_is_named(scored: tuple[Path, Path]) -> None:
    run_dir, detector_dir = scored
    files = read_trials(run_dir, SPLIT).conditions["C4"].files
    publish_scores(detector_dir / "scores", "C4", {file: C4[file] for file in files if file in REALS})
    rows = [f"{file}\tmissing\tno such file" for file in files if file not in REALS]
    (detector_dir / "scores" / "unreadable.tsv").write_text("\n".join(["filename\treason\tmessage", *rows]))
    with pytest.raises(CodecfakeError, match="C4: 2 bona fide and 0 spoof files have scores"):
        evaluate(run_dir, detector_dir)
