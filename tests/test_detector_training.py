import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from detector_run import SPLIT, make_run
from safetensors.torch import load_file

from codecfake.detector.crops import CROP_SAMPLES, crop_or_tile
from codecfake.detector.loading import UnreadableAudioError, read_crop
from codecfake.detector.model import load_detector
from codecfake.detector.training import TrainConfig, train
from codecfake.detector.trials import read_trials
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason

SHORT = TrainConfig(epochs=2, batch_size=8)


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


def stop_after_first_epoch(line: str) -> None:
    if line.startswith("epoch 1/"):
        raise KeyboardInterrupt


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


def test_stopped_training_resumes_to_the_same_weights(run_dir: Path, tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    first = train(run_dir, SPLIT, straight, SHORT, "cpu", ignore)
    with pytest.raises(KeyboardInterrupt):
        train(run_dir, SPLIT, stopped, SHORT, "cpu", stop_after_first_epoch)
    assert not (stopped / "model.json").exists()
    lines: list[str] = []
    torch.rand(7)  # the caller's random state must not matter
    second = train(run_dir, SPLIT, stopped, SHORT, "cpu", lines.append)
    assert lines[0] == "resuming after epoch 1 of 2"
    assert (first.epochs_trained, second.epochs_trained) == (2, 1)
    assert losses(stopped) == losses(straight)
    left, right = (load_file(folder / "model.safetensors") for folder in (straight, stopped))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)

    files = sorted(path.name for path in stopped.iterdir())
    assert files == ["history.csv", "model.json", "model.safetensors", "state.json"]
    rows = (stopped / "history.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,train_loss,dev_loss,dev_eer_percent,learning_rate")
    assert len(rows) == 3
    assert train(run_dir, SPLIT, stopped, SHORT, "cpu", ignore).epochs_trained == 0


def test_another_configuration_is_refused_with_both_columns(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(run_dir, SPLIT, tmp_path, SHORT, "cpu", stop_after_first_epoch)
    with pytest.raises(CodecfakeError) as error:
        train(run_dir, SPLIT, tmp_path, TrainConfig(epochs=2, batch_size=4, seed=1), "cpu", ignore)
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
    diverging = TrainConfig(epochs=1, batch_size=4, learning_rate=1e30)
    with pytest.raises(CodecfakeError, match=r"the loss is (nan|inf) in epoch 1, on the batch .*p225_00"):
        train(run_dir, SPLIT, tmp_path, diverging, "cpu", ignore)
    assert losses(tmp_path) == []


def test_sixteen_utterances_are_learnt_by_heart(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run", train=8, dev=2, evaluation=1)
    config = TrainConfig(epochs=9, batch_size=8, halve_every=6)
    result = train(run_dir, SPLIT, tmp_path / "detector", config, "cpu", ignore)
    detector, description = load_detector(result.detector_dir, "cpu")
    trials = read_trials(run_dir, SPLIT).train
    waves = torch.from_numpy(np.stack([read_crop(trials.path(i)) for i in range(len(trials))]))
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(detector(waves), torch.from_numpy(trials.labels))
    assert loss < 0.02, loss
    assert result.best_dev_eer_percent == 0
    assert description["manifest_sha256"] == read_trials(run_dir, SPLIT).manifest_sha256
    assert description["training"]["bona_fide_weight"] == 10
