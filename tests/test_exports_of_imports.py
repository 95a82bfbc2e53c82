"""An imported dataset is exported with the trials of its own lists, and with files of any format and size."""

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from dataset_trees import write_audio, write_lines
from exported_run import built_run, rows_by_file, sha256

from codecfake.flows.import_listing import list_dataset
from codecfake.manifests.schema import REAL
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.exports import groups, shar, webdataset
from codecfake.pipeline.exports.export import export_run
from codecfake.pipeline.imports.importing import import_dataset
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_splits import split_run

SPLIT = "imported-codecfake"
LISTS = {
    "train": ("p225_001.wav", "F01_p225_001.wav"),
    "dev": ("p226_001.wav", "F04_p226_001.wav"),
    "C1": ("p227_001.wav", "p227_002.wav", "F01_p227_001.wav", "F01_P230_001.WAV", "F01_p228_002"),
    "C4": ("p227_002.wav", "p227_003.wav", "p227_004.wav", "F04_p227_002.wav", "F04_p229_001.wav"),
}
FLAC = {"F01_p228_002", "F04_p229_001.wav"}
"""What the lists call otherwise."""
FLOAT_STEREO = "F04_p227_002.wav"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """An import whose conditions share one bona fide file of four, under a robustness condition too."""
    folder = tmp_path_factory.mktemp("imported")
    data = folder / "Codecfake"
    for name, files in LISTS.items():
        write_lines(data / "label" / f"{name}.txt", [_label_line(file) for file in files])
        for file in files:
            stem = Path(file).stem
            place = data / (name if name in ("train", "dev") else f"test/{name}")
            write_audio(place / (f"{stem}.flac" if file in FLAC else file), is_real=file.startswith("p"))
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (8_000, 2))
    soundfile.write(data / "test" / "C4" / FLOAT_STEREO, stereo, 16_000, subtype="FLOAT")
    import_dataset(folder / "run", list_dataset(data), Monitor())
    derive_conditions(folder / "run", SPLIT, [parse_setting("gsm")], None, Monitor())
    return folder / "run"


def _label_line(file: str) -> str:
    return f"{file} real 0" if file.startswith("p") else f"{file} fake {file[2]}"


def rows_of(run: Path, split: str = SPLIT) -> dict[str, dict]:
    folder = run / "splits" / split
    tables = [folder / "manifest.parquet", *folder.glob("conditions/*/manifest.parquet")]
    return {row["file"]: row for table in tables for row in pq.read_table(table).to_pylist()}


def configurations(out: Path) -> dict[str, dict[str, list[str]]]:
    """Files of each split of each configuration, found as the Hub finds them."""
    card = yaml.safe_load((out / "README.md").read_text(encoding="utf-8").split("---")[1])
    found: dict[str, dict[str, list[str]]] = {}
    for config in card["configs"]:
        splits = found.setdefault(config["config_name"], {})
        for part in config["data_files"]:
            patterns = [part["path"]] if isinstance(part["path"], str) else part["path"]
            paths = [path for pattern in patterns for path in out.glob(pattern)]
            assert len(paths) == len(set(paths))
            splits[part["split"]] = [
                file for path in paths for file in pq.read_table(path, columns=["file"])["file"].to_pylist()
            ]
    return found


def expected(rows: dict[str, dict]) -> dict[str, list[str]]:
    """Files of each condition, as the manifests of a split have them."""
    names = {name for row in rows.values() for name in row["conditions"]}
    return {name: sorted(file for file, row in rows.items() if name in row["conditions"]) for name in names}


def evaluated(rows: dict[str, dict]) -> list[str]:
    return [file for file, row in rows.items() if row["split"] == "eval"]


def test_a_configuration_holds_the_trials_of_its_condition_and_no_others(run, tmp_path, monkeypatch):
    export_run(run, tmp_path / "out", "hf", SPLIT, Monitor())
    rows = rows_of(run)
    found = configurations(tmp_path / "out")
    default = found.pop("default")
    assert {name: sorted(parts["test"]) for name, parts in found.items()} == expected(rows)
    assert found.keys() == {"C1", "C4", "C1-gsm", "C4-gsm"}
    assert sorted(default["test"]) == sorted(file for file in evaluated(rows) if "-gsm" not in file)
    packed = [
        file
        for path in (tmp_path / "out" / "data").iterdir()
        for file in pq.read_table(path)["file"].to_pylist()
    ]
    assert sorted(packed) == sorted(rows)
    assert "every genuine file" not in (tmp_path / "out" / "README.md").read_text()

    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    loaded = datasets.load_dataset(str(tmp_path / "out"), "C1", split="test", streaming=True)
    undecoded = loaded.cast_column("audio", datasets.Audio(decode=False))
    assert sorted(row["file"] for row in undecoded) == expected(rows)["C1"]


def test_sets_of_conditions_that_are_too_many_make_no_heap_of_files(run, tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "MANY_SETS", 2)
    export_run(run, tmp_path / "out", "hf", SPLIT, Monitor())
    names = {path.name.split("-00000-of-")[0] for path in (tmp_path / "out" / "data").iterdir()}
    assert {name for name in names if "real" in name} == {"test-real", "test-real-gsm"}
    assert configurations(tmp_path / "out").keys() == {"default"}
    assert "C1, C4, C1-gsm, C4-gsm. Filter" in (tmp_path / "out" / "README.md").read_text()


def test_a_split_by_label_files_has_the_trials_that_they_name(corpora, tmp_path):
    with built_run(tmp_path, corpora) as built:
        files = sorted(rows_by_file(built))
        real = [file for file in files if not file.startswith(("F04", "X1"))]
        for name, codec, some in (("C4", "F04", real[:9]), ("C-X1", "X1", real[3:12])):
            lines = [f"{file} real 0" for file in some]
            lines += [f"{file} fake {codec}" for file in files if file.startswith(f"{codec}_")]
            write_lines(tmp_path / "label" / f"{name}.txt", lines)
        split = split_run(built, labels=tmp_path / "label", monitor=Monitor()).name
        export_run(built, tmp_path / "out", "hf", split, Monitor())
        found = configurations(tmp_path / "out")
        del found["default"]
        assert {name: sorted(parts["test"]) for name, parts in found.items()} == expected(
            rows_of(built, split)
        )
        assert {name: len(parts["test"]) for name, parts in found.items()} == {"C4": 30, "C-X1": 30}


@pytest.mark.parametrize(("form", "module"), [("webdataset", webdataset), ("shar", shar)])
def test_archives_of_24_bits_and_stereo_stay_below_their_limit(tmp_path, monkeypatch, form, module):
    data = tmp_path / "Codecfake"
    names = [f"p{number}_001.wav" for number in range(225, 245)]
    write_lines(data / "label" / "train.txt", [f"{name} real 0" for name in names])
    (data / "train").mkdir(parents=True)
    for seed, name in enumerate(names):
        wave = np.random.default_rng(seed).uniform(-0.5, 0.5, (4_000, 2))
        soundfile.write(data / "train" / name, wave, 16_000, subtype="FLOAT" if seed % 2 else "PCM_24")
    import_dataset(tmp_path / "run", list_dataset(data), Monitor())
    monkeypatch.setattr(module, "SHARD_BYTES", 150_000)
    report = export_run(tmp_path / "run", tmp_path / "out", form, SPLIT, Monitor())
    sizes = [path.stat().st_size for path in (tmp_path / "out").rglob("*.tar")]
    assert len(sizes) == report.packed > 3
    # A tar is filled up to a multiple of this.
    assert max(sizes) <= 150_000 + tarfile.RECORDSIZE


def test_files_are_called_by_their_own_format(run, tmp_path):
    rows = rows_of(run)
    for form in ("webdataset", "asvspoof", "hf"):
        export_run(run, tmp_path / form, form, SPLIT, Monitor())
        assert "2 .flac" in (tmp_path / form / "README.md").read_text()

    endings = Counter()
    for path in (tmp_path / "webdataset").glob("*.tar"):
        with tarfile.open(path) as archive:
            content = {member.name: archive.extractfile(member).read() for member in archive}
        for name, audio in content.items():
            if name.endswith(".json"):
                continue
            about = json.loads(content[f"{name.rpartition('.')[0]}.json"])
            assert sha256(audio) == rows[about["file"]]["sha256"]
            assert soundfile.info(io.BytesIO(audio)).format.lower() == name.rpartition(".")[2]
            endings[name.rpartition(".")[2]] += 1
    assert endings == {"flac": 2, "wav": len(rows) - 2}

    protocols = (tmp_path / "asvspoof" / "Codecfake_cm_protocols").glob("*.txt")
    named = [line.split()[1] for path in protocols for line in path.read_text().splitlines()]
    audio = list((tmp_path / "asvspoof").glob("Codecfake_*/wav/*"))
    assert sorted(path.stem for path in audio) == sorted(named) and len(named) == len(rows)
    lists = (tmp_path / "hf" / "audiofolder").glob("*/metadata.jsonl")
    linked = [
        path.parent / json.loads(line)["file_name"]
        for path in lists
        for line in path.read_text().splitlines()
    ]
    # Those under a robustness condition would be read as part of test, and so are left out.
    assert len(linked) == len([file for file in rows if "-gsm" not in file])
    for path in [*audio, *linked]:
        assert soundfile.info(path).format.lower() == path.suffix.removeprefix(".")


def test_shar_has_all_channels_and_its_audio_is_found(run, tmp_path):
    lhotse = pytest.importorskip("lhotse")
    export_run(run, tmp_path / "out", "shar", SPLIT, Monitor())
    rows = rows_of(run)
    parts = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert {f"test-{REAL}-C1", f"test-{REAL}-C1+C4", f"test-{REAL}-C4"} <= parts
    for part in parts:
        for cut in lhotse.CutSet.from_shar(in_dir=tmp_path / "out" / part):
            row = rows.pop(cut.custom["file"])
            samples, _ = soundfile.read(run / row["path"], dtype="float32", always_2d=True)
            assert cut.num_channels == samples.shape[1]
            assert (cut.load_audio() == samples.T).all()
    assert not rows
