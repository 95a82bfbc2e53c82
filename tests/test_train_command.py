"""`codecfake train`: the tasks and models of the paper as a person types them, with tiny front ends."""

import json
import shutil
from pathlib import Path

import pytest
from dataset_trees import write_asvspoof2019, write_in_the_wild
from detector_run import SPLIT, make_run
from typer.testing import CliRunner

from codecfake.detector.model import load_detector
from codecfake.detector.sources import open_trials
from codecfake.detector.training import TrainConfig
from codecfake.flows.cli import app
from codecfake.manifests.errors import CodecfakeError

TINY = ("--frontend-config", "tiny", "--no-prefect", "--device", "cpu", "--epochs", "1", "--batch-size", "4")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as a build leaves it, as far as a training looks."""
    run_dir = make_run(tmp_path_factory.mktemp("runs") / "run", train=3, dev=2, evaluation=1)
    (run_dir / "run.yaml").touch()
    (run_dir / "splits" / SPLIT / "splits.json").write_text("{}")
    return run_dir


@pytest.fixture(scope="module")
def la(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_asvspoof2019(tmp_path_factory.mktemp("data") / "LA")


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("model", ["w2v2-lcnn", "w2v2-aasist", "wavlm-aasist"])
def test_codec_trained(run_dir: Path, model: str) -> None:
    output = " ".join(command(run_dir, "--model", model, *TINY).split())
    detector_dir = run_dir / "detectors" / model
    assert f"codecfake score {run_dir} --name {model}" in output
    assert "these numbers say nothing about the paper's detectors" in output
    _, description = load_detector(detector_dir, "cpu")
    assert description["model"] == model
    assert "a small random network stands in for" in description["warning"]
    assert len(description["front_end"]["weights_sha256"]) == 64
    assert (description["split"], description["training"]["epochs"]) == (SPLIT, 1)
    shutil.rmtree(detector_dir)


@pytest.mark.parametrize("parity", [(), ("--parity", "original")])
def test_co_trained_with_csam(run_dir: Path, la: Path, tmp_path: Path, parity: tuple[str, ...]) -> None:
    out = tmp_path / "csam"
    output = command(
        run_dir, "--with", la, "--optimizer", "csam", "--model", "w2v2-aasist", "--out", out, *TINY, *parity
    )
    text = " ".join(output.split())
    # 6 and 2 train utterances make batches of 3 and 1; the original's epoch is two passes over two groups.
    expected = "2 batches: 1.000 passes" if not parity else "4 batches: 2.000 passes"
    assert f"csam, rho 0.05: 1 epochs of {expected} over the 6 train utterances of {SPLIT}" in text
    description = json.loads((out / "model.json").read_text())
    assert [data["name"] for data in description["data"]] == [SPLIT, "asvspoof2019-la"]
    assert description["training"]["rho"] == 0.05
    assert "already trained" in command(
        run_dir, "--with", la, "--optimizer", "csam", "--model", "w2v2-aasist", "--out", out, *TINY, *parity
    )


def test_the_vocoder_task_has_its_own_schedule(la: Path, tmp_path: Path) -> None:
    """100 epochs halved every 10 on ASVspoof 2019 LA alone, else 10 halved every 2 (arXiv 2405.04880, section IV)."""
    quick = [option for option in TINY if option not in ("--epochs", "1")]
    with pytest.raises(CodecfakeError, match="loss is"):  # which ends it at once
        command(la, "--out", tmp_path, *quick, "--learning-rate", "1e30")
    training = json.loads((tmp_path / "state.json").read_text())["configuration"]["training"]
    assert (training["epochs"], training["halve_every"]) == (100, 10)
    names = [open_trials(la).name]
    vocoder, both = TrainConfig().for_data(names), TrainConfig().for_data(["codecfake", *names])
    assert [vocoder.learning_rate_in(epoch) for epoch in (1, 10, 11, 100)] == [
        5e-4,
        5e-4,
        2.5e-4,
        5e-4 / 2**9,
    ]
    assert (both.epochs, [both.learning_rate_in(epoch) for epoch in (2, 3, 10)]) == (
        10,
        [5e-4, 2.5e-4, 5e-4 / 16],
    )
    own = TrainConfig(epochs=3, halve_every=1).for_data(names)
    assert (own.epochs, own.halve_every) == (3, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--optimizer", "csam"), "csam draws every batch from two data sets"),
        (("--optimizer", "sgd"), "optimizer is 'sgd'; known: adam, sam, asam, csam"),
        (("--rho", "0.1"), "rho belongs to sam, asam and csam"),
        (("--parity", "theirs"), "parity is 'theirs'; known: original"),
        (("--model", "w2v2-aasst"), "no detector 'w2v2-aasst'"),
        (("--split", "other"), "has no split 'other'"),
        (("--learning-rate", "0"), "learning_rate is 0.0; it has to be above 0"),
    ],
)
def test_wrong_choices_are_refused(run_dir: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(CodecfakeError, match=message):
        command(run_dir, *TINY, *options)


def test_data_that_cannot_be_trained_on_is_refused(run_dir: Path, la: Path, tmp_path: Path) -> None:
    with pytest.raises(CodecfakeError, match="has 0 train and 0 dev files"):
        command(write_in_the_wild(tmp_path / "itw"), "--out", tmp_path / "out", *TINY)
    with pytest.raises(CodecfakeError, match="holds no dataset that is known"):
        command(tmp_path, "--out", tmp_path / "out", *TINY)
    with pytest.raises(CodecfakeError, match="the data set that is trained on already"):
        command(la, "--with", la, "--out", tmp_path / "out", *TINY)
    result = CliRunner().invoke(app, ["train", str(la), *TINY])
    assert result.exit_code == 2 and "--out" in result.output
    result = CliRunner().invoke(app, ["train", str(run_dir), "--out", "x", "--name", "y", *TINY])
    assert result.exit_code == 2 and "--name" in result.output
