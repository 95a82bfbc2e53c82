import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import torch
from detector_run import SPLIT, make_run

from codecfake.detector.loading import read_crop
from codecfake.detector.model import load_detector
from codecfake.detector.score_files import read_scores
from codecfake.detector.scoring import score
from codecfake.detector.training import TrainConfig, train
from codecfake.detector.trials import read_trials
from codecfake.manifests.errors import CodecfakeError


def ignore(line: str) -> None:
    pass


DETECTOR = Path("detectors") / "mel-lcnn-seed0"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep these small networks off the other cores, where waiting costs more than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = make_run(tmp_path_factory.mktemp("scoring") / "run", train=2, dev=2, evaluation=2)
    train(run_dir, SPLIT, run_dir / DETECTOR, TrainConfig(epochs=1, batch_size=4), "cpu", ignore)
    return run_dir


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run folder of its own for every test, and the detector in it."""
    run_dir = shutil.copytree(trained_once, tmp_path / "run")
    return run_dir, run_dir / DETECTOR


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_scores_are_logit_differences_in_every_condition(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    result = score(run_dir, detector_dir, "cpu", ignore)
    # dev 2 + 2; evaluation 2 reals, 2 of F04, F07 of all 6 utterances.
    assert (result.scored, result.reused, result.unreadable) == (14, 0, [])
    assert sorted(snapshot(result.scores_dir)) == [
        "C4.tsv",
        "C7.tsv",
        "dev.tsv",
        "model.sha256",
        "unreadable.tsv",
    ]
    lines = (result.scores_dir / "C4.tsv").read_text().splitlines()
    assert lines[0] == "filename\tcm-score"
    assert [line.split("\t")[0] for line in lines[1:]] == [
        "p225_005.wav",
        "F04_p225_005.wav",
        "p225_006.wav",
        "F04_p225_006.wav",
    ]
    detector, _ = load_detector(detector_dir, "cpu")
    trials = read_trials(run_dir, SPLIT).conditions["C4"]
    with torch.inference_mode():
        logits = detector(torch.from_numpy(read_crop(trials.path(0)))[None])[0]
    text = lines[1].split("\t")[1]
    assert float(text) == pytest.approx(float(logits[0] - logits[1]), abs=1e-4)
    assert repr(float(text)) == text
    shared_real = read_scores(result.scores_dir, "C7")["p225_005.wav"]
    assert repr(shared_real) == text


def test_stopped_scoring_goes_on_and_gives_the_same_files(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    expected = snapshot(score(run_dir, detector_dir, "cpu", ignore).scores_dir)
    scores_dir = detector_dir / "scores"
    for name in ("C4.tsv", "C7.tsv", "unreadable.tsv"):
        (scores_dir / name).unlink()
    result = score(run_dir, detector_dir, "cpu", ignore)
    assert (result.scored, result.reused) == (10, 4)
    assert snapshot(scores_dir) == expected
    assert score(run_dir, detector_dir, "cpu", ignore).scored == 0
    # Scores of another model are not taken over.
    (scores_dir / "model.sha256").write_text("0" * 64)
    assert score(run_dir, detector_dir, "cpu", ignore).scored == 14


def test_unreadable_files_are_listed_and_tried_again(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    trials = read_trials(run_dir, SPLIT).conditions["C7"]
    real, fake = (
        trials.path(trials.files.index("p225_005.wav")),
        trials.path(trials.files.index("F07_p225_001.wav")),
    )
    good = real.read_bytes()
    real.write_text("not audio")
    fake.unlink()
    result = score(run_dir, detector_dir, "cpu", ignore)
    assert result.scored == 12
    listed = (result.scores_dir / "unreadable.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in listed] == [
        ["filename", "reason"],
        ["p225_005.wav", "unreadable"],
        ["F07_p225_001.wav", "missing"],
    ]
    assert "p225_005.wav" not in read_scores(result.scores_dir, "C4")
    real.write_bytes(good)
    again = score(run_dir, detector_dir, "cpu", ignore)
    assert (again.scored, [bad.file for bad in again.unreadable]) == (1, ["F07_p225_001.wav"])
    assert "p225_005.wav" in read_scores(result.scores_dir, "C4")
    assert "p225_005.wav" in read_scores(result.scores_dir, "C7")


def test_changed_split_and_damaged_model_are_refused(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    weights = detector_dir / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"x")
    with pytest.raises(CodecfakeError, match="is not the file that"):
        score(run_dir, detector_dir, "cpu", ignore)
    weights.write_bytes(content)
    description = json.loads((detector_dir / "model.json").read_text())
    (detector_dir / "model.json").write_text(json.dumps({**description, "manifest_sha256": "0"}))
    with pytest.raises(CodecfakeError, match="changed since the detector was trained"):
        score(run_dir, detector_dir, "cpu", ignore)
    (detector_dir / "model.json").unlink()
    with pytest.raises(CodecfakeError, match="holds no trained detector"):
        score(run_dir, detector_dir, "cpu", ignore)


def test_wave_of_another_rate_is_scored(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    path = read_trials(run_dir, SPLIT).dev.path(0)
    soundfile.write(path, torch.rand(2, 44_100).numpy().T - 0.5, 44_100)
    assert score(run_dir, detector_dir, "cpu", ignore).unreadable == []
