"""The feature cache: what comes back is what was computed, however the writing went."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detector_run import SPLIT, make_run
from torch.nn.functional import cross_entropy

from codecfake.detector import feature_cache, feature_computing, feature_shards, feature_writing
from codecfake.detector.descriptions import describe
from codecfake.detector.feature_cache import open_features
from codecfake.detector.feature_writing import write_features
from codecfake.detector.front_ends import build_front_end, describe_front_end
from codecfake.detector.loading import CropLoader
from codecfake.detector.model import build_detector
from codecfake.detector.trials import SplitTrials, TrialList, read_trials
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.run_lock import run_lock

TINY = describe_front_end("xls-r-300m", weights="tiny")
MEL = describe_front_end("mel")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four utterances per shard."""
    for module in (feature_cache, feature_computing, feature_shards, feature_writing):
        monkeypatch.setattr(module, "UTTERANCES_PER_SHARD", 4)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> SplitTrials:
    """24 files: 8 of train, 4 of dev, and 12 that only the conditions have."""
    run_dir = make_run(tmp_path_factory.mktemp("run"), train=4, dev=2, evaluation=2)
    return read_trials(run_dir, SPLIT)


def ignore(line: str) -> None:
    pass


def on_the_fly(front_end: dict, trials: TrialList) -> torch.Tensor:
    (batch,) = CropLoader(trials, keep=False).batches(range(len(trials)), len(trials))
    return build_front_end(front_end)(batch.waves)


@pytest.mark.parametrize("front_end", [TINY, MEL])
def test_what_comes_back_is_what_was_computed_to_16_bits(
    front_end: dict, trials: SplitTrials, tmp_path: Path, small_shards: None
) -> None:
    result = write_features(trials, front_end, tmp_path, "cpu", ignore)
    everything = {path for part in [trials.train, *trials.evaluated()] for path in part.relative_paths}
    assert (result.utterances, result.computed, result.unreadable) == (len(everything), len(everything), 0)
    cache = open_features(tmp_path, front_end, trials)
    assert cache.weights_sha256 == build_front_end(front_end).weights_sha256
    for part in (trials.train, trials.dev, *trials.conditions.values()):
        expected = on_the_fly(front_end, part)
        order = np.random.default_rng(0).permutation(len(part))
        batches = list(cache.loader(part).batches(order, 3))
        assert [position for batch in batches for position in batch.positions] == order.tolist()
        assert all(batch.waves is None and not batch.unreadable for batch in batches)
        found = torch.cat([batch.features for batch in batches])
        assert (found.shape, found.dtype) == (expected.shape, torch.float16)
        # Half a unit of the 11 bits; below 2**-14 the spacing of the numbers is 2**-24.
        bound = expected[order].abs() * 2**-11 + 2**-25
        assert ((found - expected[order]).abs() <= bound).all()


def test_batches_of_given_parts_may_be_empty_or_uneven(trials: SplitTrials, tmp_path: Path) -> None:
    write_features(trials, MEL, tmp_path, "cpu", ignore)
    loader = open_features(tmp_path, MEL, trials).loader(trials.train)
    batches = list(loader.read([[5], [], [0, 7, 3]]))
    assert [batch.positions for batch in batches] == [[5], [], [0, 7, 3]]
    assert [tuple(batch.features.shape) for batch in batches] == [
        (1, 1, 80, 505),
        (0, 1, 80, 505),
        (3, 1, 80, 505),
    ]
    assert loader.trials is trials.train


def test_a_stopped_writing_goes_on_after_the_last_shard(
    trials: SplitTrials, tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    write_features(trials, TINY, straight, "cpu", ignore)

    def stop(line: str) -> None:
        if line.startswith("shard 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(trials, TINY, stopped, "cpu", stop)
    with pytest.raises(CodecfakeError, match="3 of 6 shards are missing") as caught:
        open_features(stopped, TINY, trials)
    assert "goes on" in caught.value.next_step
    times = {path: path.stat().st_mtime_ns for path in (stopped / "shards").glob("*.npy")}
    (stopped / "shards" / ".tmp-00002.npy-0123").write_bytes(b"half")

    with monkeypatch.context() as patch:  # and once more, in the middle of a shard
        patch.setattr(feature_computing, "upload", _raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_features(trials, TINY, stopped, "cpu", ignore)
    lines: list[str] = []
    result = write_features(trials, TINY, stopped, "cpu", lines.append)
    assert lines[0] == "3 shards are there already, 3 are left"
    assert (result.utterances, result.computed) == (24, 12)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    contents = [
        {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in (straight, stopped)
    ]
    assert contents[0] == contents[1]
    assert sorted(name for name in contents[0] if "shards" not in name) == [
        "cache.json",
        "files.json",
        "unreadable.tsv",
    ]


def _raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_unreadable_files_are_listed_with_a_reason_and_absent(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run", train=2, dev=1, evaluation=1)
    trials = read_trials(run_dir, SPLIT)
    trials.train.path(1).write_bytes(b"RIFF")
    trials.train.path(2).unlink()
    result = write_features(trials, MEL, tmp_path / "cache", "cpu", ignore)
    assert result.unreadable == 2
    rows = [line.split("\t") for line in (tmp_path / "cache" / "unreadable.tsv").read_text().splitlines()]
    paths = trials.train.relative_paths
    assert [row[:2] for row in rows] == [
        ["filename", "reason"],
        [paths[1], "unreadable"],
        [paths[2], "missing"],
    ]
    (batch,) = open_features(tmp_path / "cache", MEL, trials).loader(trials.train).batches(range(4), 4)
    assert (batch.positions, batch.features.shape[0]) == ([0, 3], 2)
    assert [(bad.file, bad.reason) for bad in batch.unreadable] == [
        (trials.train.files[1], Reason.UNREADABLE),
        (trials.train.files[2], Reason.MISSING),
    ]


def test_features_of_something_else_are_refused_with_both_columns(
    trials: SplitTrials, tmp_path: Path
) -> None:
    with pytest.raises(CodecfakeError, match="holds no feature cache") as caught:
        open_features(tmp_path, TINY, trials)
    assert caught.value.next_step.startswith("codecfake features")
    write_features(trials, TINY, tmp_path, "cpu", ignore)
    changed = replace(trials, digest="0" * 64)
    for action in (
        lambda front_end, split: open_features(tmp_path, front_end, split),
        lambda front_end, split: write_features(split, front_end, tmp_path, "cpu", ignore),
    ):
        with pytest.raises(CodecfakeError) as caught:
            action(describe_front_end("wavlm-large", weights="tiny"), changed)
        lines = [line.split() for line in caught.value.what.splitlines()]
        assert lines[1] == ["setting", "in", "the", "cache", "asked", "for", "now"]
        assert ["front_end.name", "xls-r-300m", "wavlm-large"] in lines
        assert ["trials.digest", trials.digest, "0" * 64] in lines
    with pytest.raises(CodecfakeError, match="weights_sha256"):
        open_features(tmp_path, TINY | {"weights_sha256": "00"}, trials)
    digest = build_front_end(TINY).weights_sha256
    assert open_features(tmp_path, TINY | {"weights_sha256": digest}, trials).weights_sha256 == digest
    assert "random network" in json.loads((tmp_path / "cache.json").read_text())["warning"]


def test_trials_that_the_cache_does_not_know_are_refused(trials: SplitTrials, tmp_path: Path) -> None:
    write_features(trials, MEL, tmp_path, "cpu", ignore)
    strange = replace(trials.train, relative_paths=["x.wav"] * len(trials.train))
    with pytest.raises(CodecfakeError, match=r"no features of x.wav \(train\)"):
        open_features(tmp_path, MEL, trials).loader(strange)


def test_what_16_bits_cannot_hold_is_refused(
    trials: SplitTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CodecfakeError, match="plain mel power"):
        write_features(trials, describe_front_end("mel", compression="none"), tmp_path, "cpu", ignore)

    class Loud(torch.nn.Module):
        output_shape, precision, weights_sha256 = (1, 1), "float32", ""

        def forward(self, waves: torch.Tensor) -> torch.Tensor:
            features = torch.zeros(len(waves), 1, 1, 1)
            features[2] = 70_000
            return features

    monkeypatch.setattr(feature_writing, "build_front_end", lambda *_: Loud())
    with pytest.raises(CodecfakeError, match=trials.train.relative_paths[2]):
        write_features(trials, MEL, tmp_path, "cpu", ignore)
    assert not list((tmp_path / "shards").glob("*"))


def test_a_disk_that_is_too_small_is_refused_before_the_work(
    trials: SplitTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr(feature_writing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CodecfakeError, match=r"need 0.1 GB more"):
        write_features(trials, TINY, tmp_path, "cpu", ignore)


def test_two_processes_do_not_write_one_cache(trials: SplitTrials, tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(CodecfakeError, match="another process"):
        write_features(trials, MEL, tmp_path, "cpu", ignore)


@pytest.mark.parametrize(("model", "tolerance"), [("mel-lcnn", 0.001), ("w2v2-aasist", 0.05)])
def test_the_losses_are_those_of_features_on_the_fly(
    model: str, tolerance: float, trials: SplitTrials, tmp_path: Path
) -> None:
    """The tolerance that detector/feature_cache.py states: at equal weights, while they are trained."""
    description = describe(model, front_end_weights="tiny")
    write_features(trials, description["front_end"], tmp_path, "cpu", ignore)
    cached = open_features(tmp_path, description["front_end"], trials).loader(trials.train)
    direct = CropLoader(trials.train, keep=True)
    torch.manual_seed(0)
    detector = build_detector(description)
    network = detector.network.train()
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=5e-4)
    labels = torch.from_numpy(trials.train.labels)
    losses = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(trials.train))
        (batch,), (stored,) = direct.batches(order, 8), cached.batches(order, 8)
        assert batch.positions == stored.positions
        pair = []
        for features in (stored.features.float(), detector.features(batch.waves)):
            torch.manual_seed(seed)  # the same dropout
            pair.append(cross_entropy(network(features), labels[batch.positions], torch.tensor([10.0, 1.0])))
        losses.append([loss.item() for loss in pair])
        optimizer.zero_grad()
        pair[-1].backward()
        optimizer.step()
    from_cache, on_the_fly = np.array(losses).T
    assert (np.abs(from_cache - on_the_fly) < tolerance * on_the_fly).all()
    assert (from_cache != on_the_fly).any()
    assert np.ptp(on_the_fly) > 0.02  # something was trained


def test_the_command_says_what_it_wrote_and_warns(
    trials: SplitTrials, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from codecfake.flows.commands.detector_features import features

    out = tmp_path / "cache"
    features(trials.train.root, out, "wavlm-aasist", "tiny", None, "cpu")
    text = capsys.readouterr().out
    assert "Note: a small random network stands in for wavlm-large" in text
    assert "Features of 24 utterances" in text
    assert f"--model wavlm-aasist --frontend-config tiny --features {out}" in text
    assert open_features(out, describe_front_end("wavlm-large", weights="tiny"), trials).shape == (1024, 201)
