"""The measurements of the detectors: the sides do the same work, and the figures are those of what was run."""

from pathlib import Path

import pytest
import torch

from codecfake.detector.bench import features, training
from codecfake.detector.bench.features import bench_features
from codecfake.detector.bench.material import LENGTHS, MEAN_SECONDS, front_end_of, write_trials
from codecfake.detector.bench.sides import STAGES, Round, summary
from codecfake.detector.bench.training_material import Material, prepare
from codecfake.detector.training.config import TrainConfig

MODEL = "w2v2-aasist"


@pytest.fixture(scope="module", params=[False, True], ids=["audio", "features"])
def material(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Material:
    config = TrainConfig(model=MODEL, optimizer="csam", epochs=1, halve_every=1, batch_size=4)
    return prepare(tmp_path_factory.mktemp("material"), MODEL, "cpu", "tiny", config, cached=request.param)


def test_features_are_measured_on_all_sides_in_turns() -> None:
    row = bench_features("mel-lcnn", "cpu", seconds=0.01)
    assert [row[key] for key in ("model", "device", "utterances", "rounds")] == ["mel-lcnn", "cpu", 8, 3]
    for speed in ("utterances_per_second", "bare_utterances_per_second", "loop_utterances_per_second"):
        assert 0 < row[speed] < 1e6
    assert row["audio_seconds_per_second"] == pytest.approx(
        row["utterances_per_second"] * MEAN_SECONDS, rel=0.01
    )
    assert sum(row[f"{stage}_percent"] for stage in STAGES) == pytest.approx(100, abs=0.3)
    assert row["read_percent"] > 0 and row["write_percent"] > 0 and 0 <= row["wait_percent"] <= 100
    assert row["peak_mebibytes"] > 100


def test_ratios_are_those_of_rounds_side_by_side() -> None:
    """A machine that gets slower in the middle changes no ratio."""
    stages = {"read": 1.0, "network": 2.0, "write": 1.0, "wait": 0.5}
    rounds = {
        "pipeline": [Round(40, seconds, stages) for seconds in (4, 4, 8)],
        "bare": [Round(40, seconds) for seconds in (3.8, 3.8, 7.6)],
        "loop": [Round(40, seconds) for seconds in (40, 40, 80)],
    }
    found = summary(rounds, 7)
    assert (found["utterances_per_second"], found["ratio_to_bare"], found["ratio_to_loop"]) == (10, 0.95, 10)
    assert [found[f"{stage}_percent"] for stage in STAGES] == [25, 0, 50, 25]
    assert found["wait_percent"] == round(100 * 1.5 / 16, 1)


def test_what_is_measured_on_has_the_mean_length_of_the_corpora(tmp_path: Path) -> None:
    import soundfile

    trials = write_trials(tmp_path, "audio", 21)
    seconds = [soundfile.info(trials.path(position)).duration for position in range(21)]
    assert len(set(seconds)) == 21 and sorted(seconds) != seconds
    assert (min(seconds), max(seconds)) == pytest.approx(LENGTHS)
    assert sum(seconds) / 21 == pytest.approx(MEAN_SECONDS, abs=0.01)


def test_the_loop_and_the_pipeline_compute_the_same_features() -> None:
    waves = 0.1 * torch.randn(2, 64_600, generator=torch.Generator().manual_seed(0))
    ours = front_end_of(MODEL, "cpu", "tiny")(waves)
    theirs = torch.cat([front_end_of(MODEL, "cpu", "tiny", as_published=True)(wave[None]) for wave in waves])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_every_side_of_a_training_takes_its_steps(material: Material) -> None:
    for make in (training.Pipeline, training.Bare, training.Loop):
        side = make(material)
        before = [value.clone() for value in side._step.network.parameters()]
        found = side.run(8)
        assert (found.utterances, found.seconds > 0) == (8, True)
        after = list(side._step.network.parameters())
        assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
        if make is training.Pipeline:
            assert found.stages["read"] > 0 and found.stages["network"] > 0
            assert found.stages["network"] + found.stages["wait"] <= found.seconds


def test_nothing_is_left_behind_by_the_sides_of_features(tmp_path: Path) -> None:
    trials = write_trials(tmp_path, "audio", 4)
    for make in (features.Pipeline, features.Bare, features.Loop):
        assert make(trials, "mel-lcnn", "cpu", "random").run(10).utterances == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio"]
