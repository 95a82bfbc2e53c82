"""Trees that codecfake wrote, imported again: robustness conditions stay apart, and origin and licence are told."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import speech
from dataset_trees import labels_of, write_audio, write_codecfake15, write_lines
from run_helpers import StopAfter, build_here

from codecfake.codec_adapters.resampling import resample
from codecfake.detector.evaluation.assembling import assemble
from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.detector.sources import open_trials
from codecfake.detector.trials import SplitTrials
from codecfake.flows.import_listing import list_dataset
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.config import make_config
from codecfake.pipeline.exports.export import export_run
from codecfake.pipeline.exports.licences import LICENCE_PAGES
from codecfake.pipeline.imports.importing import ImportReport, import_dataset
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.status import planned_in
from codecfake.pipeline.verification import verify

SPLIT = "imported-codecfake"
SETTINGS = ("gsm", "noise-snr-5", "reverb-rt60-0.4")
LICENCES = {"vctk": "CC BY 4.0", "aishell3": "Apache-2.0"}
ABOUT = ("utterance_id", "codec", "corpus", "language", "speaker", "processing")


def import_here(data: Path, run: Path, monitor: Monitor | None = None) -> ImportReport:
    return import_dataset(run, list_dataset(data), monitor or Monitor())


def problems(run: Path) -> set[tuple[str, str]]:
    with (run / "import-problems.csv").open(encoding="utf-8", newline="") as file:
        return {(row["what"], row["reason"]) for row in csv.DictReader(file)}


def write_tree(root: Path) -> Path:
    """Two speakers of evaluation, with a bit-rate variant and a codec of another package, whose names hold dashes."""
    for name, prefix, method in (
        ("C1", "F01", "1"),
        ("C3-1", "C3-1", "C3-1"),
        ("C-my-codec", "my-codec", "my-codec"),
    ):
        files = [f"p{speaker}_001.wav" for speaker in (227, 228)]
        lines = [*(f"{file} real 0" for file in files), *(f"{prefix}_{file} fake {method}" for file in files)]
        write_lines(root / "label" / f"{name}.txt", lines)
        for line in lines:
            write_audio(root / "test" / name / line.split()[0], is_real="real" in line, samples=8_000)
    write_lines(root / "label" / "train.txt", ["p225_001.wav real 0", "F01_p225_001.wav fake 1"])
    for file in ("p225_001.wav", "F01_p225_001.wav"):
        write_audio(root / "train" / file)
    return root


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, Path]:
    """A run with robustness conditions, and the tree that was exported from it; tests must not change them."""
    folder = tmp_path_factory.mktemp("conditions")
    run = folder / "run"
    import_here(write_tree(folder / "Published"), run)
    derive_conditions(run, SPLIT, [parse_setting(name) for name in SETTINGS], None, Monitor())
    export_run(run, folder / "out", "tree", SPLIT, Monitor())
    return run, folder / "out" / "Codecfake"


def copy_tree(tree: Path, target: Path) -> Path:
    import shutil

    return shutil.copytree(tree, target / "Codecfake")


def evaluation_of(trials: SplitTrials):
    """Scores that only the file name decides."""

    def score(file: str, label: int) -> float:
        return (1 - label) + (sum(file.encode()) % 7) / 3

    parts = [
        ScoredTrials(
            part.name,
            part.files,
            np.array([score(file, label) for file, label in labels_of(part)]),
            part.labels,
            part.columns,
        )
        for part in trials.conditions.values()
    ]
    return assemble(
        detector="d",
        split="s",
        dev=None,
        conditions=parts,
        threshold=0.5,
        threshold_origin="",
        scale="",
        log_prior_odds=0.0,
        rounds=20,
        pooled_unreadable=0,
        notes=[],
        warnings=[],
    )


def assert_same_conditions(found: SplitTrials, expected: SplitTrials) -> None:
    assert list(found.conditions) == list(expected.conditions)
    for name, part in expected.conditions.items():
        other = found.conditions[name]
        assert sorted(labels_of(other)) == sorted(labels_of(part))
        assert other.processing == part.processing
        for column in ABOUT:
            if column in part.columns:
                told = dict(zip(part.files, part.columns[column], strict=True))
                assert dict(zip(other.files, other.columns[column], strict=True)) == told, (name, column)


def test_robustness_conditions_stay_out_of_the_mean_and_the_pool(exported, tmp_path: Path) -> None:
    run, data = exported
    expected = open_trials(run)
    assert [part.processing for part in expected.conditions.values()][::3] == ["", *SETTINGS]
    import_here(data, tmp_path / "run")
    ours = evaluation_of(expected)
    for trials in (open_trials(data), open_trials(tmp_path / "run")):
        assert_same_conditions(trials, expected)
        other = evaluation_of(trials)
        assert other.averaged == ours.averaged == ["C1", "C3-1", "C-my-codec"]
        assert (other.mean_eer_percent, other.averages) == (ours.mean_eer_percent, ours.averages)
        pooled = (other.pooled.bona_fide, other.pooled.spoof, other.pooled.eer_percent)
        assert pooled == (ours.pooled.bona_fide, ours.pooled.spoof, ours.pooled.eer_percent) and pooled[
            :2
        ] == (2, 6)
        assert other.pooled.source_utterances == 2


def test_an_imported_run_has_them_as_one_that_made_them(exported, tmp_path: Path) -> None:
    data, run = exported[1], tmp_path / "run"
    report = import_here(data, run)
    assert (report.files, report.problems) == (10 + 3 * 8, {})
    assert verify(run, planned_in(run), Monitor()).is_whole
    derived = pq.read_table(run / "splits" / SPLIT / "conditions" / "gsm" / "manifest.parquet").to_pylist()
    assert all(
        (run / row["path"]).samefile(data / f"test/{row['conditions'][0]}/{row['file']}") for row in derived
    )
    before = file_sha256(run / "splits" / SPLIT / "conditions" / "gsm" / "manifest.parquet")
    import_here(data, run)
    assert file_sha256(run / "splits" / SPLIT / "conditions" / "gsm" / "manifest.parquet") == before
    other = split_run(run, policy="speaker-disjoint", seed=1, monitor=Monitor())
    assert other.summary["splits"]["eval"]["real"] == 1  # nothing that was processed is ever trained on
    export_run(run, tmp_path / "again", "tree", SPLIT, Monitor())
    assert_same_conditions(open_trials(tmp_path / "again"), open_trials(data))


def test_lists_of_a_setting_that_lack_files_cost_these_files_alone(exported, tmp_path: Path) -> None:
    data, run = copy_tree(exported[1], tmp_path), tmp_path / "run"
    labels = data / "label" / "C1-gsm.txt"
    lines = labels.read_text(encoding="utf-8").splitlines()
    lines.remove("F01_p227_001-gsm.wav fake 1")
    write_lines(labels, [*lines, "F01_p299_001-gsm.wav fake 1", "odd.wav fake 1"])
    (data / "label" / "C3-1-gsm.txt").unlink()
    (data / "test" / "C1-gsm").rename(tmp_path / "later")
    late = tmp_path / "later" / "F01_p228_001-gsm.wav"
    import_here(data, run)
    assert problems(run) >= {
        ("F01_p227_001-gsm.wav", "missing"),
        ("F01_p228_001-gsm.wav", "missing"),
        ("F01_p299_001-gsm.wav", "no-origin"),
        ("odd.wav", "no-origin"),
    }
    (data / "test" / "C1-gsm").mkdir()
    late.rename(data / "test" / "C1-gsm" / late.name)
    import_here(data, run)
    trials = open_trials(run)
    assert "C3-1-gsm" not in trials.conditions and "C-my-codec-gsm" in trials.conditions
    fakes = [file for file, label in labels_of(trials.conditions["C1-gsm"]) if label]
    assert fakes == ["F01_p228_001-gsm.wav"]
    assert verify(run, planned_in(run), Monitor()).is_whole


def test_an_import_that_was_stopped_among_them_goes_on(exported, tmp_path: Path) -> None:
    data, run = exported[1], tmp_path / "run"
    with pytest.raises(Stopped):
        import_here(data, run, StopAfter(15))
    assert (run / "splits" / SPLIT).is_dir()
    import_here(data, run)
    assert_same_conditions(open_trials(run), open_trials(data))
    assert not list(run.rglob(".tmp-*"))


def test_codecs_whose_names_look_like_settings_stay_clean(tmp_path: Path) -> None:
    for name, prefix in (("C7", "F07"), ("C7-1", "C7-1"), ("C-opus16", "opus16"), ("C-opus16-2", "opus16-2")):
        write_lines(
            tmp_path / "label" / f"{name}.txt",
            ["p227_001.wav real 0", f"{prefix}_p227_001.wav fake {prefix}"],
        )
    trials = open_trials(tmp_path)
    assert [part.processing for part in trials.conditions.values()] == [""] * 4
    for part in trials.conditions.values():
        assert set(part.columns["utterance_id"]) == {"p227_001"}


def test_no_setting_leads_out_of_its_folder(tmp_path: Path) -> None:
    data, run = write_tree(tmp_path / "data"), tmp_path / "run"
    for name in ("C1-..", "C1-.hidden"):
        ending = name.removeprefix("C1").replace(".", "p")
        lines = [f"p227_001{ending}.wav real 0", f"F01_p227_001{ending}.wav fake 1"]
        write_lines(data / "label" / f"{name}.txt", lines)
        for line in lines:
            write_audio(data / "test" / "C1" / line.split()[0])
    import_here(data, run)
    assert not (run / "splits" / SPLIT / "conditions").exists()
    assert verify(run, planned_in(run), Monitor()).is_whole


def test_an_export_of_the_fifteen_codecs_stays_theirs(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    import_here(write_codecfake15(tmp_path / "data", with_list=True), first)
    split = "imported-codecfake-15"
    export_run(first, tmp_path / "out", "tree", split, Monitor())
    import_here(tmp_path / "out" / "Codecfake", second)
    stamp = json.loads((second / "run.json").read_text(encoding="utf-8"))["imported"]
    assert (stamp["dataset"], stamp["licence"]) == ("codecfake-15", "CC BY 4.0")

    def told(run: Path) -> dict[str, tuple[str, ...]]:
        columns = ("utterance_id", "speaker", "source_sha256", "codec", "split", "label")
        rows = pq.read_table(run / "splits" / split / "manifest.parquet").to_pylist()
        return {row["file"]: tuple(row[name] for name in columns) for row in rows}

    assert told(second) == told(first)
    assert told(second)["encodec_24khz+p227_001.wav"][:2] == ("p227_001", "p227")
    export_run(second, tmp_path / "again", "tree", split, Monitor())
    assert (
        "codecfake-15 as it was published, under CC BY 4.0" in (tmp_path / "again" / "README.md").read_text()
    )


def test_a_rebuild_is_not_called_the_published_dataset(tmp_path: Path, corpora) -> None:
    run = tmp_path / "run"
    settings = {
        "vctk": corpora.vctk,
        "aishell3": corpora.aishell3,
        "out": run,
        "codecs": "F04",
        "weights": "mini",
    }
    build_here(make_config(settings | {"limit": 8}))
    export_run(run, tmp_path / "out", "tree", "published-seed0", Monitor())
    trees = [
        tmp_path / "out" / "Codecfake",
        tmp_path / "out",
        run / "splits" / "published-seed0" / "Codecfake",
    ]
    for number, data in enumerate(trees):
        imported = tmp_path / f"imported{number}"
        report = import_here(data, imported)
        stamp = json.loads((imported / "run.json").read_text(encoding="utf-8"))["imported"]
        assert (stamp["dataset"], stamp["weights"]) == ("codecfake-rebuilt", "mini")
        assert stamp["licence"] == "aishell3: Apache-2.0; vctk: CC BY 4.0"
        assert report.split.name == "imported-codecfake-rebuilt"
    export_run(imported, tmp_path / "again", "tree", report.split.name, Monitor())
    with (tmp_path / "again" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        assert {(row["corpus"], row["corpus_licence"]) for row in csv.DictReader(file)} == set(
            LICENCES.items()
        )
    metadata = json.loads((tmp_path / "again" / "croissant.json").read_text(encoding="utf-8"))
    assert sorted(metadata["license"]) == sorted(LICENCE_PAGES[licence] for licence in LICENCES.values())
    for name in ("README.md", "LICENSE.md", "croissant.json", "manifest.csv"):
        assert "BY-NC-ND" not in (tmp_path / "again" / name).read_text(encoding="utf-8").upper()
    assert "Made with demonstration networks" in (tmp_path / "again" / "README.md").read_text(
        encoding="utf-8"
    )


def test_a_card_does_not_call_conditions_the_published_bytes(exported) -> None:
    card = " ".join((exported[1].parent / "README.md").read_text(encoding="utf-8").split())
    assert "The audio files, but for those under robustness conditions, are byte for byte" in card


def test_conditions_that_came_with_an_import_are_not_made_anew(exported, tmp_path: Path) -> None:
    import_here(exported[1], tmp_path / "run")
    with pytest.raises(CodecfakeError, match="gsm was imported from codecfake") as caught:
        derive_conditions(tmp_path / "run", SPLIT, [parse_setting("gsm")], None, Monitor())
    assert "updated" not in str(caught.value)


def test_conditions_treat_files_of_all_rates_alike(tmp_path: Path) -> None:
    """To a detector, which hears 16 kHz: else the condition itself told real from fake."""
    data, run = write_tree(tmp_path / "data"), tmp_path / "run"
    rates = {"p227_001.wav": 16_000, "F01_p227_001.wav": 24_000, "my-codec_p227_001.wav": 44_100}
    for path in data.rglob("*p227_001.wav"):
        rate = rates.get(path.name, 16_000)
        soundfile.write(path, resample(speech.voice(1.0, 48_000, 3), 48_000, rate), rate)
    import_here(data, run)
    names = ["noise-snr10", "pink-snr10", *(["opus16", "mp3-32"] if find_spec("av") else [])]
    derive_conditions(run, SPLIT, [parse_setting(name) for name in names], None, Monitor())
    rows = pq.read_table(run / "splits" / SPLIT / "manifest.parquet").to_pylist()
    clean = {row["file"]: heard(run / row["path"]) for row in rows if row["file"] in rates}
    assert len(clean) == 3
    for name in names:
        store = run / "splits" / SPLIT / "conditions" / name
        rows = pq.read_table(store / "manifest.parquet").to_pylist()
        processed = {row["file"].replace(f"-{name}", ""): heard(run / row["path"]) for row in rows}
        for file, wave in clean.items():
            if "snr" in name:
                assert decibels(wave) - decibels(processed[file] - wave) == pytest.approx(10, abs=0.05)
            else:
                other = processed["p227_001.wav"]
                assert np.std(processed[file] - other) < 0.05 * np.std(other), (name, file)
    record = store / "condition.json"
    record.write_text(record.read_text().replace('"acts_at"', '"of_an_earlier_version"'))
    with pytest.raises(CodecfakeError, match="made in another way"):
        derive_conditions(run, SPLIT, [parse_setting(names[-1])], None, Monitor())


def heard(path: Path) -> np.ndarray:
    wave, rate = soundfile.read(path, dtype="float32")
    return resample(wave, rate, 16_000)


def decibels(wave: np.ndarray) -> float:
    return 10 * np.log10(np.mean(wave.astype(np.float64) ** 2))


def test_a_tree_of_other_lists_is_told_when_its_licence_is_assumed(tmp_path: Path) -> None:
    report = import_here(write_tree(tmp_path / "data"), tmp_path / "run")
    assert any("CC BY-NC-ND 4.0, is assumed" in note for note in report.notes)
