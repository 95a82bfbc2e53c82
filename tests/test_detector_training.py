import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from dataset_trees import write_asvspoof2019
from detector_run import SPLIT, make_run
from safetensors.torch import load_file

from codecfake.detector.crops import CROP_SAMPLES, crop_or_tile
from codecfake.detector.descriptions import describe
from codecfake.detector.evaluation.run_evaluation import training_log_odds
from codecfake.detector.feature_writing import write_features
from codecfake.detector.front_ends import build_front_end, tiny
from codecfake.detector.loading import CropLoader, UnreadableAudioError, read_crop
from codecfake.detector.model import build_network, load_detector
from codecfake.detector.sources import open_trials
from codecfake.detector.training import TrainConfig, progress, train
from codecfake.detector.training.dev import evaluate_dev
from codecfake.detector.training.domains import JoinedSources, LabelledBatch
from codecfake.detector.training.folder import training_lock
from codecfake.detector.training.processes import Processes
from codecfake.detector.training.step import TrainingStep
from codecfake.detector.trials import read_trials
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.reasons import Reason

AASIST = {"model": "w2v2-aasist", "front_end_weights": "tiny"}
"""The quickest detector."""
SHORT = TrainConfig(epochs=2, batch_size=8, **AASIST)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep these small networks off the other cores, where waiting costs more than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), train=4, dev=2, evaluation=2)


def ignore(line: str) -> None:
    pass


class StopAfter:
    """Wishes to stop after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self) -> bool:
        self.steps -= 1
        return self.steps == 0


def weights(detector_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(detector_dir / "model.safetensors")


def same_weights(left: Path, right: Path) -> bool:
    one, other = weights(left), weights(right)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def losses(detector_dir: Path) -> list[tuple[float, float]]:
    history = json.loads((detector_dir / "state.json").read_text())["history"]
    return [(row["train_loss"], row["dev_loss"]) for row in history]


def test_crop_takes_the_start_and_tiles_short_waves() -> None:
    long = np.arange(70_000, dtype=np.float32)
    assert crop_or_tile(long).tolist() == long[:64_600].tolist()
    short = np.array([1, 2, 3], dtype=np.float32)
    tiled = crop_or_tile(short)
    assert (tiled.shape, tiled.dtype) == ((CROP_SAMPLES,), np.float32)
    assert tiled[:7].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_read_crop_resamples_mixes_down_and_gives_reasons(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(5 * 44_100) / 44_100)
    soundfile.write(tmp_path / "stereo.wav", np.stack([tone, tone], axis=1), 44_100)
    expected = 0.5 * np.sin(2 * np.pi * 300 * np.arange(CROP_SAMPLES) / 16_000)
    np.testing.assert_allclose(read_crop(tmp_path / "stereo.wav")[200:], expected[200:], atol=2e-3)

    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "folder.wav").mkdir()
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.full(9, np.nan), 16_000, subtype="FLOAT")
    reasons = {
        "absent.wav": Reason.MISSING,
        "text.wav": Reason.UNREADABLE,
        "folder.wav": Reason.NOT_A_FILE,
        "empty.wav": Reason.EMPTY,
        "nan.wav": Reason.NON_FINITE,
    }
    for name, reason in reasons.items():
        with pytest.raises(UnreadableAudioError) as error:
            read_crop(tmp_path / name)
        assert error.value.reason == reason


def test_trials_of_every_part(run_dir: Path) -> None:
    trials = read_trials(run_dir, SPLIT)
    sizes = {name: len(part) for name, part in trials.conditions.items()}
    assert (len(trials.train), len(trials.dev), sizes) == (8, 4, {"C4": 4, "C7": 10})
    assert trials.train.files[:2] == ["p225_001.wav", "F04_p225_001.wav"]
    assert trials.train.labels.tolist() == [0, 1] * 4
    assert trials.train.path(0).is_file()
    with pytest.raises(CodecfakeError, match=f"no split 'other'; it has {SPLIT}"):
        read_trials(run_dir, "other")


def test_a_missing_class_is_refused(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run", train=1, dev=1, evaluation=1, fakes=False)
    with pytest.raises(CodecfakeError, match="train: 1 bona fide and 0 spoof files"):
        train(run_dir, SPLIT, tmp_path / "detector", SHORT, "cpu", ignore)


@pytest.mark.parametrize("optimizer", ["adam", "sam"])
def test_a_training_stopped_within_an_epoch_ends_with_the_same_weights(
    run_dir: Path, tmp_path: Path, optimizer: str
) -> None:
    config = TrainConfig(epochs=2, batch_size=3, optimizer=optimizer, **AASIST)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    first = train(run_dir, SPLIT, straight, config, "cpu", ignore)
    for steps in (2, 2):  # within the first epoch, then within the second
        with pytest.raises(KeyboardInterrupt):
            train(run_dir, SPLIT, stopped, config, "cpu", ignore, stopped=StopAfter(steps))
        torch.rand(7)  # the caller's random state must not matter
    assert not (stopped / "model.json").exists()
    lines: list[str] = []
    second = train(run_dir, SPLIT, stopped, config, "cpu", lines.append)
    assert lines[2] == "resuming after step 4, in epoch 2 of 2"
    assert (first.epochs_trained, second.epochs_trained) == (2, 1)
    assert losses(stopped) == losses(straight)
    assert same_weights(straight, stopped)


def test_what_a_finished_training_leaves(run_dir: Path, tmp_path: Path) -> None:
    result = train(run_dir, SPLIT, tmp_path, SHORT, "cpu", ignore)
    files = sorted(path.name for path in tmp_path.iterdir() if path.name != "tensorboard")
    figures = ["history.png", "history.svg"]
    assert files == ["history.csv", *figures, "model.json", "model.safetensors", "state.json"]
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,train_loss,dev_loss,dev_eer_percent,learning_rate")
    assert len(rows) == 3
    description = json.loads((tmp_path / "model.json").read_text())
    trials = read_trials(run_dir, SPLIT)
    counts = {label.published_name: trials.train.count(label) for label in Label}
    assert description["data"] == [{"name": SPLIT, "digest": trials.digest, "train": counts}]
    assert description["training"]["bona_fide_weight"] == 10
    # What the scores of this detector contain, whatever data they are of.
    assert training_log_odds(description) == pytest.approx(np.log(10 * counts["real"] / counts["fake"]))
    assert "a small random network" in description["warning"]
    assert description["best_epoch"] == result.best_epoch
    assert train(run_dir, SPLIT, tmp_path, SHORT, "cpu", ignore).epochs_trained == 0


def test_the_folder_keeps_the_newest_and_the_best(run_dir: Path, tmp_path: Path) -> None:
    kept: list[list[str]] = []
    mine = tmp_path / "checkpoints" / "notes.txt"
    mine.parent.mkdir()
    mine.touch()

    def look(line: str) -> None:
        if line.startswith("epoch "):
            kept.append(sorted(path.name for path in (tmp_path / "checkpoints").iterdir()))

    train(run_dir, SPLIT, tmp_path, TrainConfig(epochs=3, batch_size=8, **AASIST), "cpu", look)
    losses_so_far = [dev for _, dev in losses(tmp_path)]
    for epoch, files in enumerate(kept, start=1):
        best = losses_so_far.index(min(losses_so_far[:epoch])) + 1
        assert files == [f"best-{best:03d}.safetensors", f"epoch-{epoch + 1:03d}-step-0000000.pt", mine.name]


def test_a_detector_that_was_imported_is_not_trained_over(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(CodecfakeError, match="holds a detector whose training is not known"):
        train(run_dir, SPLIT, tmp_path, SHORT, "cpu", ignore)
    assert (tmp_path / "model.json").read_text() == "{}"


def test_a_detector_is_trained_by_one_process_at_a_time(run_dir: Path, tmp_path: Path) -> None:
    with training_lock(tmp_path), pytest.raises(CodecfakeError, match="another process trains in"):
        train(run_dir, SPLIT, tmp_path, SHORT, "cpu", ignore)


def test_every_interval_has_one_line(run_dir: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)
    lines: list[str] = []
    train(run_dir, SPLIT, tmp_path, TrainConfig(epochs=2, batch_size=4, **AASIST), "cpu", lines.append)
    assert lines[0].startswith("Note: a small random network stands in for xls-r-300m")
    assert lines[1] == (
        f"w2v2-aasist, adam: 2 epochs of 2 batches: 1.000 passes over the 8 train utterances of {SPLIT}"
    )
    pattern = (
        r"step \d/4  loss \d+\.\d{4}  lr 5.0e-04  \d+\.\d utterances/s  waiting \d+ %  memory \d+\.\d GiB  "
        r"ETA 0:00:\d\d"
    )
    steps = [line for line in lines if line.startswith("step")]
    assert len(steps) == 4 and all(re.fullmatch(pattern, line) for line in steps), steps
    assert sum(line.startswith("epoch") for line in lines) == 2


def test_another_configuration_is_refused_with_both_columns(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(run_dir, SPLIT, tmp_path, SHORT, "cpu", ignore, stopped=StopAfter(1))
    with pytest.raises(CodecfakeError) as error:
        train(run_dir, SPLIT, tmp_path, TrainConfig(epochs=2, batch_size=4, seed=1, **AASIST), "cpu", ignore)
    lines = error.value.what.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["training.batch_size", "8", "4"],
        ["training.seed", "688", "1"],
    ]
    assert lines[1].split("  ")[-1].strip() == "asked for now"


def test_unreadable_file_stops_the_training_by_name(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run", train=2, dev=2, evaluation=1)
    trials = read_trials(run_dir, SPLIT)
    trials.train.path(1).write_bytes(b"RIFF")
    with pytest.raises(CodecfakeError, match=r"cannot read F04_p225_001.wav \(unreadable\)") as error:
        train(run_dir, SPLIT, tmp_path / "detector", SHORT, "cpu", ignore)
    assert error.value.next_step.startswith("codecfake verify")


def test_loss_that_is_not_finite_stops_before_the_weights(run_dir: Path, tmp_path: Path) -> None:
    diverging = TrainConfig(epochs=1, batch_size=4, learning_rate=1e30, **AASIST)
    with pytest.raises(CodecfakeError, match=r"loss is (nan|inf) in epoch 1, step 2, on the batch .*p225_00"):
        train(run_dir, SPLIT, tmp_path, diverging, "cpu", ignore)
    assert losses(tmp_path) == []
    assert not (tmp_path / "checkpoints").exists()


def test_sixteen_utterances_are_learnt_by_heart(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run", train=8, dev=2, evaluation=1)
    config = TrainConfig(epochs=9, batch_size=8, halve_every=6)
    result = train(run_dir, SPLIT, tmp_path / "detector", config, "cpu", ignore)
    detector, _ = load_detector(result.detector_dir, "cpu")
    trials = read_trials(run_dir, SPLIT).train
    waves = torch.from_numpy(np.stack([read_crop(trials.path(i)) for i in range(len(trials))]))
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(detector(waves), torch.from_numpy(trials.labels))
    assert loss < 0.02, loss
    assert result.best_dev_eer_percent == 0


def test_the_dev_loss_does_not_depend_on_the_batch_size(run_dir: Path) -> None:
    trials = read_trials(run_dir, SPLIT)
    description = describe("w2v2-aasist", front_end_weights="tiny")
    torch.manual_seed(0)
    network, front_end = build_network(description), build_front_end(description["front_end"])
    results = []
    for batch_size in (1, 3, 12):
        config = TrainConfig(epochs=1, halve_every=1, batch_size=batch_size)
        sources = JoinedSources([CropLoader(trials.dev, keep=False), CropLoader(trials.train, keep=False)])
        step = TrainingStep(network, front_end, config, Processes("cpu"))
        results.append(evaluate_dev(step, sources, config, Processes("cpu"), epoch=1))
    assert [loss for loss, _ in results] == pytest.approx([results[0][0]] * 3, rel=1e-5)
    assert len({eer for _, eer in results}) == 1


def test_other_front_end_weights_end_a_resumed_training(run_dir: Path, tmp_path: Path, monkeypatch) -> None:
    config = TrainConfig(epochs=1, batch_size=4, **AASIST)
    with pytest.raises(KeyboardInterrupt):
        train(run_dir, SPLIT, tmp_path, config, "cpu", ignore, stopped=StopAfter(1))
    monkeypatch.setattr(tiny, "SEED", 1)
    with pytest.raises(CodecfakeError, match="the front end has other weights than when this training began"):
        train(run_dir, SPLIT, tmp_path, config, "cpu", ignore)


def test_the_features_of_a_batch_are_computed_once_for_both_passes(run_dir: Path) -> None:
    description = describe("w2v2-aasist", front_end_weights="tiny")
    front_end, calls = build_front_end(description["front_end"]), []
    front_end.register_forward_hook(lambda *_: calls.append(1))
    config = TrainConfig(optimizer="sam", epochs=1, halve_every=1)
    step = TrainingStep(build_network(description), front_end, config, Processes("cpu"))
    batch = LabelledBatch(labels=torch.tensor([0, 1]), waves=torch.randn(2, CROP_SAMPLES), features=None)
    step(batch, epoch=1, step=0)
    assert calls == [1]


def test_training_from_cached_features(run_dir: Path, tmp_path: Path) -> None:
    # Adam steps by the signs of the first gradients, so a usual rate would make the most of the rounding.
    small = {"epochs": 1, "batch_size": 6, "learning_rate": 1e-6}
    config = TrainConfig(optimizer="csam", **small, **AASIST)
    la = write_asvspoof2019(tmp_path / "LA")
    front_end = describe(config.model, front_end_weights="tiny")["front_end"]
    caches = [tmp_path / "features", tmp_path / "features-la"]
    for trials, folder in zip((read_trials(run_dir, SPLIT), open_trials(la)), caches, strict=True):
        write_features(trials, front_end, folder, "cpu", ignore)
    fly, cached = tmp_path / "fly", tmp_path / "cached"
    train(run_dir, SPLIT, fly, config, "cpu", ignore, co_train=la)
    train(run_dir, SPLIT, cached, config, "cpu", ignore, co_train=la, features=caches)
    np.testing.assert_allclose(losses(cached), losses(fly), rtol=5e-3)  # 16-bit floats
    one, other = (json.loads((folder / "model.json").read_text()) for folder in (fly, cached))
    assert one["front_end"] == other["front_end"]
    with pytest.raises(CodecfakeError, match="1 folders of features for 2 data sets"):
        train(run_dir, SPLIT, tmp_path / "x", config, "cpu", ignore, co_train=la, features=caches[:1])
    with pytest.raises(CodecfakeError):  # those of the other data set
        train(run_dir, SPLIT, tmp_path / "x", config, "cpu", ignore, co_train=la, features=caches[::-1])
