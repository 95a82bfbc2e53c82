import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from dataset_trees import write_asvspoof2019, write_audio, write_codecfake, write_lines
from detector_run import SPLIT, make_run

from codecfake.detector import scoring
from codecfake.detector.descriptions import MODELS, describe
from codecfake.detector.loading import read_crop
from codecfake.detector.model import (
    build_detector,
    detection_scores,
    load_detector,
    publish_detector,
    publish_weights,
)
from codecfake.detector.score_exports import export_scores
from codecfake.detector.score_files import read_scores, read_unreadable
from codecfake.detector.score_journal import ScoreJournal
from codecfake.detector.scoring import score
from codecfake.detector.sources import open_trials
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
        "scores.json",
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


def test_scores_of_something_else_are_refused_and_kept(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    scores_dir = score(run_dir, detector_dir, "cpu", ignore).scores_dir
    provenance = json.loads((scores_dir / "scores.json").read_text())
    description = json.loads((detector_dir / "model.json").read_text())
    assert provenance["weights_sha256"] == description["weights_sha256"]
    assert provenance["data"] == {"name": SPLIT, "digest": read_trials(run_dir, SPLIT).digest}
    assert provenance["parts"]["C7"]["trials"] == 8
    before = snapshot(scores_dir)
    (scores_dir / "scores.json").write_text(json.dumps(provenance | {"weights_sha256": "0" * 64}))
    with pytest.raises(CodecfakeError, match="holds scores of something else") as error:
        score(run_dir, detector_dir, "cpu", ignore)
    assert "weights_sha256" in error.value.what
    assert description["weights_sha256"] in error.value.what
    (scores_dir / "scores.json").unlink()
    with pytest.raises(CodecfakeError, match=r"holds dev.tsv, and no scores.json that tells how it was made"):
        score(run_dir, detector_dir, "cpu", ignore)
    assert {name: data for name, data in before.items() if name != "scores.json"} == snapshot(scores_dir)


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


def test_kill_within_a_condition_loses_no_scored_file(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scoring of 145,505 files must not start again at the condition's beginning."""
    run_dir, detector_dir = trained
    straight = snapshot(score(run_dir, detector_dir, "cpu", ignore, batch_size=2).scores_dir)
    shutil.rmtree(detector_dir / "scores")

    calls = 0

    def killed_in_c7(logits: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:  # 2 batches of dev, 2 of C4, the second of C7
            raise KilledError
        return detection_scores(logits)

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "detection_scores", killed_in_c7)
        with pytest.raises(KilledError):
            score(run_dir, detector_dir, "cpu", ignore, batch_size=2)
    journal = detector_dir / "scores" / ".tmp-scores.tsv"
    assert len(journal.read_text().splitlines()) == 10
    assert not (detector_dir / "scores" / "C7.tsv").exists()
    # The kill tore the line that was being written.
    journal.write_bytes(journal.read_bytes() + b"F07_p225_004.wav\t-1.2")
    result = score(run_dir, detector_dir, "cpu", ignore, batch_size=2)
    assert (result.reused, result.scored) == (10, 4)
    assert snapshot(result.scores_dir) == straight


def test_journal_of_other_conditions_is_kept(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    scores_dir = score(run_dir, detector_dir, "cpu", ignore, conditions=["C4"]).scores_dir
    assert sorted(snapshot(scores_dir)) == ["C4.tsv", "scores.json", "unreadable.tsv"]
    with ScoreJournal(scores_dir) as journal:
        journal.append(["F07_p225_001.wav"], [0.125])
    assert score(run_dir, detector_dir, "cpu", ignore, conditions=["dev"]).scored == 4
    result = score(run_dir, detector_dir, "cpu", ignore)
    assert read_scores(scores_dir, "C7")["F07_p225_001.wav"] == 0.125
    assert (result.reused, result.scored) == (9, 5)
    assert not (scores_dir / ".tmp-scores.tsv").exists()
    with pytest.raises(CodecfakeError, match="has no condition 'C9'; it has dev, C4, C7"):
        score(run_dir, detector_dir, "cpu", ignore, conditions=["C9"])


@pytest.mark.parametrize("model", MODELS)
def test_batch_size_changes_scores_by_rounding_only(tmp_path: Path, model: str) -> None:
    data, detector_dir = write_codecfake(tmp_path / "data"), tmp_path / model
    description = describe(model, front_end_weights="tiny")
    publish_weights(build_detector(description).network, tmp_path / "weights")
    publish_detector(detector_dir, tmp_path / "weights", description)
    scores = []
    for size in (1, 3, 32):
        folder = tmp_path / f"batches of {size}"
        score(data, detector_dir, "cpu", ignore, scores_dir=folder, conditions=["dev", "C7"], batch_size=size)
        scores.append(read_scores(folder, "C7") | read_scores(folder, "dev"))
    assert len(scores[0]) == 5
    for other in scores[1:]:
        assert list(other) == list(scores[0])
        np.testing.assert_allclose(list(other.values()), list(scores[0].values()), rtol=0, atol=2e-5)


def test_downloaded_dataset_is_scored_beside_the_run(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """Mixed rates are read, missing bona fide files of A3 are listed, and every other score is there."""
    _, detector_dir = trained
    data = write_codecfake(tmp_path / "Codecfake")
    lines: list[str] = []
    result = score(data, detector_dir, "cpu", lines.append)
    assert result.scores_dir == detector_dir / "scores" / "codecfake"
    written = {
        path.stem: len(read_scores(result.scores_dir, path.stem))
        for path in result.scores_dir.glob("[dCA]*.tsv")
    }
    assert written == {"dev": 2, "C1": 2, "C7": 3, "A1": 2, "A3": 1}
    assert read_unreadable(result.scores_dir) == {"Yabc-1_2.wav", "Yx.wav"}
    assert lines[0].startswith("A3: 2 of 3 files are missing")
    # The bona fide file that C1, C7 and A1 share is scored once.
    assert (result.scored, result.reused) == (2 + 2 + 2 + 1 + 1, 0)
    again = score(data, detector_dir, "cpu", ignore, conditions=["C1"])
    assert (again.scored, again.reused) == (0, 2)
    assert read_unreadable(result.scores_dir) == {"Yabc-1_2.wav", "Yx.wav"}  # of A3, which was not asked for
    # A list that is downloaded later is added to the same scores.
    write_lines(data / "label" / "C2.txt", ["p227_001.wav real 0", "F02_p227_001.wav fake 2"])
    write_audio(data / "test" / "C2" / "F02_p227_001.wav", is_real=False)
    assert score(data, detector_dir, "cpu", ignore).scored == 1


def test_one_wave_without_a_finite_score_does_not_stop_the_rest(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    path = read_trials(run_dir, SPLIT).dev.path(0)
    soundfile.write(path, np.full(20_000, 3e38, dtype=np.float32), 16_000, subtype="FLOAT")
    result = score(run_dir, detector_dir, "cpu", ignore)
    assert [(bad.file, str(bad.reason)) for bad in result.unreadable] == [("p225_003.wav", "non-finite")]
    assert result.scored == 13


def test_training_data_and_tiny_front_ends_are_named(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, detector_dir = trained
    data = write_codecfake(tmp_path / "Codecfake")
    description = json.loads((detector_dir / "model.json").read_text())
    description |= {
        "warning": "a random front end",
        "data": [{"name": "codecfake", "digest": open_trials(data).digest}],
    }
    (detector_dir / "model.json").write_text(json.dumps(description))
    lines: list[str] = []
    scores_dir = score(data, detector_dir, "cpu", lines.append, conditions=["C1"]).scores_dir
    assert "Warning: a random front end" in lines
    assert "The detector was trained on the train part of this very dataset, codecfake." in lines
    assert json.loads((scores_dir / "scores.json").read_text())["warning"] == "a random front end"


def test_front_end_weights_may_lie_elsewhere_but_must_be_the_same(tmp_path: Path) -> None:
    data, detector_dir = write_codecfake(tmp_path / "data"), tmp_path / "imported"
    description = describe("w2v2-lcnn")  # as after an import: official weights, of which no digest is known
    torch.manual_seed(0)
    network = build_detector(describe("w2v2-lcnn", front_end_weights="tiny")).network
    publish_weights(network, tmp_path / "weights")
    publish_detector(detector_dir, tmp_path / "weights", description)
    lines: list[str] = []
    there = score(data, detector_dir, "cpu", lines.append, conditions=["C1"], front_end_weights="tiny")
    assert there.scored == 2
    assert any("small random network" in line for line in lines)

    description["front_end"]["weights_sha256"] = "0" * 64
    publish_detector(detector_dir, tmp_path / "weights", description)
    with pytest.raises(CodecfakeError, match="expected 0000"):
        score(data, detector_dir, "cpu", ignore, front_end_weights="tiny")


def test_detector_that_knows_no_run_scores_any_split(trained: tuple[Path, Path]) -> None:
    """An imported detector, or one trained on downloaded data, that was put beside the run's own."""
    run_dir, detector_dir = trained
    description = json.loads((detector_dir / "model.json").read_text())
    for trained_on in ({}, {"data": [{"name": "asvspoof2019-la", "digest": "0"}]}):
        kept = {k: v for k, v in description.items() if k not in ("split", "manifest_sha256", "data")}
        (detector_dir / "model.json").write_text(json.dumps(kept | trained_on))
        assert score(run_dir, detector_dir, "cpu", ignore).scores_dir == detector_dir / "scores"
    shutil.copytree(detector_dir, run_dir.parent / "elsewhere", ignore=shutil.ignore_patterns("scores"))
    result = score(run_dir, run_dir.parent / "elsewhere", "cpu", ignore)
    assert result.scores_dir == run_dir.parent / "elsewhere" / "scores" / SPLIT


def test_export_to_the_forms_of_other_tools(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, detector_dir = trained
    data = write_asvspoof2019(tmp_path / "LA")
    result = score(data, detector_dir, "cpu", ignore, conditions=["19LA"])
    scores = read_scores(result.scores_dir, "19LA")
    real, fake = scores["LA_E_1138215"], scores["LA_E_9332881"]
    expected = {
        "asvspoof2019": f"LA_E_1138215 - bonafide {real!r}\nLA_E_9332881 A07 spoof {fake!r}\n",
        "asvspoof2021": f"LA_E_1138215 {real!r}\nLA_E_9332881 {fake!r}\n",
        "antideepfake": f'ID,Score,Label\nLA_E_1138215,"[0.0, {real!r}]",1\nLA_E_9332881,"[0.0, {fake!r}]",0\n',
    }
    for form, text in expected.items():
        (path,) = export_scores(result.scores_dir, result.parts, form)
        assert path.read_text() == text
    with pytest.raises(CodecfakeError, match="there is no score format 'kaldi'"):
        export_scores(result.scores_dir, result.parts, "kaldi")


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
    changed = description | {"data": [{"name": SPLIT, "digest": "0"}]}
    (detector_dir / "model.json").write_text(json.dumps(changed))
    with pytest.raises(CodecfakeError, match="changed since the detector was trained"):
        score(run_dir, detector_dir, "cpu", ignore)
    (detector_dir / "model.json").write_text(json.dumps(description))
    shutil.copytree(run_dir / "splits" / SPLIT, run_dir / "splits" / "other")
    with pytest.raises(
        CodecfakeError, match=f"trained on the split {SPLIT}, so the evaluation files of other"
    ):
        score(run_dir, detector_dir, "cpu", ignore, split="other")
    assert score(run_dir, detector_dir, "cpu", ignore, conditions=["C4"]).scored == 4  # its own of the two
    (detector_dir / "model.json").unlink()
    with pytest.raises(CodecfakeError, match="holds no trained detector"):
        score(run_dir, detector_dir, "cpu", ignore)


def test_wave_of_another_rate_is_scored(trained: tuple[Path, Path]) -> None:
    run_dir, detector_dir = trained
    path = read_trials(run_dir, SPLIT).dev.path(0)
    soundfile.write(path, torch.rand(2, 44_100).numpy().T - 0.5, 44_100)
    assert score(run_dir, detector_dir, "cpu", ignore).unreadable == []
