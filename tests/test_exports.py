"""Exports are read back by the libraries they are for, with the bytes of the run, and go on after a stop."""

import io
import json
import subprocess
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
import typer
from exported_run import SPLIT, built_run, digests, export, rows_by_file, sha256
from typer.testing import CliRunner

from codecfake.detector.sources import codecfake as codecfake_tree
from codecfake.detector.trials import read_trials
from codecfake.flows.commands.export import Format
from codecfake.flows.commands.export import export as export_command
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.exports import hugging_face, shar, tree, webdataset
from codecfake.pipeline.exports.export import FORMATS
from codecfake.pipeline.monitor import Monitor, Stopped

PACKED = {"tree": tree, "hf": hugging_face, "webdataset": webdataset, "shar": shar}
SIZE = {"tree": "ARCHIVE_BYTES", "hf": "PARQUET_BYTES", "webdataset": "SHARD_BYTES", "shar": "SHARD_BYTES"}


@pytest.fixture(scope="module")
def run(corpora, tmp_path_factory):
    with built_run(tmp_path_factory.mktemp("exports"), corpora) as run_dir:
        yield run_dir


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """``datasets`` with a cache of its own, and without a network."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    return datasets


def small(monkeypatch, form: str, size: float = 200_000) -> None:
    """Cut files of a few utterances each."""
    monkeypatch.setattr(PACKED[form], SIZE[form], size)


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_the_tree_is_read_as_the_published_one_and_its_archives_unpack_to_it(run, tmp_path, monkeypatch):
    small(monkeypatch, "tree", 300_000)
    report = export(run, tmp_path / "out", "tree")
    assert report.files == len(rows_by_file(run))

    found, expected = codecfake_tree.read(tmp_path / "out" / "Codecfake"), read_trials(run, SPLIT)
    for name in ("train", "dev", "C4", "C-X1"):
        ours, theirs = (
            trials.conditions[name] if name in trials.conditions else getattr(trials, name)
            for trials in (expected, found)
        )
        assert dict(zip(theirs.files, theirs.labels, strict=True)) == dict(
            zip(ours.files, ours.labels, strict=True)
        )
        for at, file in enumerate(theirs.files):
            assert sha256(theirs.path(at).read_bytes()) == rows_by_file(run)[file]["sha256"]

    archives = sorted((tmp_path / "out" / "archives").glob("*.tar"))
    assert len([path for path in archives if "train" in path.name]) > 1
    assert all(path.stat().st_size < 300_000 for path in archives)
    for archive in archives:
        with tarfile.open(archive) as opened:
            assert not [name for name in opened.getnames() if name.startswith(("/", "."))]
            opened.extractall(tmp_path / "unpacked", filter="data")
    assert digests(tmp_path / "unpacked" / "Codecfake") == digests(tmp_path / "out" / "Codecfake")
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=True
    )


def test_parquet_is_read_by_datasets_with_splits_conditions_labels_and_bytes(
    run, tmp_path, monkeypatch, offline
):
    small(monkeypatch, "hf")
    export(run, tmp_path / "out", "hf")
    assert len(list((tmp_path / "out" / "data").glob("train-*.parquet"))) > 1
    loaded = offline.load_dataset(str(tmp_path / "out"))
    rows = rows_by_file(run)
    sizes = Counter(row["split"] for row in rows.values())
    assert {name: part.num_rows for name, part in loaded.items()} == {
        "train": sizes["train"],
        "validation": sizes["dev"],
        "test": sizes["eval"],
    }
    assert loaded["train"].features["label"].names == ["real", "fake"]
    for part in loaded.values():
        assert isinstance(part.features["audio"], offline.Audio)
        for item in part.cast_column("audio", offline.Audio(decode=False)):
            row = rows.pop(item["file"])
            assert sha256(item["audio"]["bytes"]) == row["sha256"]
            assert item["audio"]["path"] == row["file"]
            assert part.features["label"].int2str(item["label"]) == row["label"]
            assert item["conditions"] == row["conditions"]
    assert not rows
    condition = offline.load_dataset(str(tmp_path / "out"), "C4", split="test")
    assert set(condition["codec"]) == {"real", "F04"}
    assert sorted(condition["file"]) == sorted(
        row["file"] for row in rows_by_file(run).values() if "C4" in row["conditions"]
    )


def test_the_audio_folder_is_recognised_by_datasets_and_holds_links(run, tmp_path, offline):
    export(run, tmp_path / "out", "hf")
    root = tmp_path / "out" / "audiofolder"
    rows = rows_by_file(run)
    # Reading rows with audio needs torchcodec, which needs ffmpeg: the audio column is left out here.
    inferred = offline.load_dataset("audiofolder", data_dir=str(root), streaming=True)
    features = inferred["train"].features
    assert isinstance(features["audio"], offline.Audio)
    described = {name: feature for name, feature in features.items() if name != "audio"}
    loaded = offline.load_dataset("audiofolder", data_dir=str(root), features=offline.Features(described))
    for split, name in (("train", "train"), ("dev", "validation"), ("eval", "test")):
        expected = {file: row["label"] for file, row in rows.items() if row["split"] == split}
        assert dict(zip(loaded[name]["file"], loaded[name]["label"], strict=True)) == expected
        for line in (root / name / "metadata.jsonl").read_text().splitlines():
            item = json.loads(line)
            assert (root / name / item["file_name"]).samefile(run / rows[item["file"]]["path"])


def test_webdataset_yields_every_file_once_and_mixes_the_codecs_of_train(run, tmp_path, monkeypatch):
    reader = pytest.importorskip("webdataset")
    small(monkeypatch, "webdataset")
    export(run, tmp_path / "out", "webdataset")
    rows = rows_by_file(run)
    shards = sorted(map(str, (tmp_path / "out").glob("codecfake-*.tar")))
    samples = list(reader.WebDataset(shards, shardshuffle=False))
    assert len(samples) == len(rows)
    for sample in samples:
        about = json.loads(sample["json"])
        row = rows.pop(about["file"])
        assert sample["__key__"] == Path(row["file"]).stem
        assert sha256(sample["wav"]) == row["sha256"]
        assert (about["label"], about["split"]) == (row["label"], row["split"])
    assert not rows
    train = [path for path in shards if "-train-" in path]
    labels = [json.loads(sample["json"])["label"] for sample in reader.WebDataset(train, shardshuffle=False)]
    assert sum(a != b for a, b in pairwise(labels)) > 3


def test_shar_is_read_by_lhotse_and_its_recordings_are_the_bytes_of_the_run(run, tmp_path, monkeypatch):
    lhotse = pytest.importorskip("lhotse")
    small(monkeypatch, "shar")
    export(run, tmp_path / "out", "shar")
    rows = rows_by_file(run)
    spoken = set()
    for folder in sorted(path for path in (tmp_path / "out").iterdir() if path.is_dir()):
        for cut in lhotse.CutSet.from_shar(in_dir=folder):
            row = rows.pop(cut.custom["file"])
            samples, rate = soundfile.read(run / row["path"], dtype="float32")
            assert (cut.load_audio()[0] == samples).all()
            assert (cut.sampling_rate, cut.num_samples) == (rate, row["samples"])
            assert cut.supervisions[0].speaker == row["speaker"]
            spoken.add(cut.supervisions[0].text)
        for path in folder.glob("recording.*.tar"):
            wavs = {name: content for name, content in members(path).items() if name.endswith(".wav")}
            assert all(sha256(content) == rows_by_file(run)[name]["sha256"] for name, content in wavs.items())
    assert not rows
    assert any("好" in text for text in spoken)


def test_protocols_have_the_five_columns_of_asvspoof_and_name_files_that_are_there(run, tmp_path):
    export(run, tmp_path / "out", "asvspoof")
    rows = {Path(file).stem: row for file, row in rows_by_file(run).items()}
    for split, name in (("train", "train.trn"), ("dev", "dev.trl"), ("eval", "eval.trl")):
        lines = (
            (tmp_path / "out" / "Codecfake_cm_protocols" / f"Codecfake.cm.{name}.txt")
            .read_text()
            .splitlines()
        )
        assert lines
        for speaker, file, unused, attack, key in (line.split(" ") for line in lines):
            row = rows.pop(file)
            assert (speaker, unused, row["split"]) == (row["speaker"], "-", split)
            expected = {"real": ("-", "bonafide"), "F04": ("C4", "spoof"), "X1": ("C-X1", "spoof")}
            assert (attack, key) == expected[row["codec"]]
            audio = tmp_path / "out" / f"Codecfake_{split}" / "wav" / f"{file}.wav"
            assert audio.samefile(run / row["path"])
    assert not rows


@pytest.mark.parametrize("form", PACKED)
def test_a_stopped_export_keeps_what_is_whole_and_ends_as_if_never_stopped(run, tmp_path, monkeypatch, form):
    small(monkeypatch, form)

    class StopsAtTwenty(Monitor):
        done = 0.0
        is_packing = False

        def begin(self, stage: str, total: float, unit: str) -> None:
            self.is_packing = stage == "export"

        def advance(self, amount: float) -> None:
            self.done += amount * self.is_packing
            if self.done > 20:
                self.stop.set()

    with pytest.raises(Stopped):
        export(run, tmp_path / "out", form, StopsAtTwenty())
    packed = ("*.tar", "*.parquet")
    first = {path: path.stat().st_mtime_ns for glob in packed for path in (tmp_path / "out").rglob(glob)}
    assert first
    killed = next(iter(first)).with_name(".tmp-killed.tar")
    killed.write_bytes(b"half")
    assert export(run, tmp_path / "out", form).is_new
    assert not killed.exists()
    assert first == {path: path.stat().st_mtime_ns for path in first}
    export(run, tmp_path / "whole", form)
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    assert not export(run, tmp_path / "out", form).is_new
    next(iter(first)).unlink()
    assert export(run, tmp_path / "out", form).is_new
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_an_export_that_was_killed_before_its_record_was_published_goes_on(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".tmp-export.json-0123456789ab").write_text("{")
    export(run, out, "asvspoof")
    assert not list(out.glob(".tmp-*"))


def test_damaged_audio_is_named_and_never_exported(corpora, tmp_path):
    with built_run(tmp_path, corpora) as run_dir:
        row = next(row for row in rows_by_file(run_dir).values() if row["split"] == "dev")
        path = run_dir / row["path"]
        whole = path.read_bytes()
        path.unlink()
        path.write_bytes(whole[:-1] + b"\x7f")
        with pytest.raises(CodecfakeError, match="is not the file that was published") as caught:
            export(run_dir, tmp_path / "out", "webdataset")
        assert row["path"] in caught.value.what and "codecfake verify" in caught.value.next_step
        assert not list((tmp_path / "out").glob("*-dev-*"))
        path.write_bytes(whole)
        assert export(run_dir, tmp_path / "out", "webdataset").is_new


def test_another_export_or_a_folder_of_the_users_is_left_alone(run, tmp_path):
    export(run, tmp_path / "out", "asvspoof")
    with pytest.raises(CodecfakeError, match="holds another export: asvspoof"):
        export(run, tmp_path / "out", "webdataset")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(CodecfakeError, match=r"is no export, but holds thesis\.tex"):
        export(run, tmp_path / "mine", "tree")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_names_with_dots_stay_one_sample(run, tmp_path):
    reader = pytest.importorskip("webdataset")
    from codecfake.pipeline.exports.contents import read_contents
    from codecfake.pipeline.exports.units import Unit

    contents = read_contents(run, SPLIT)
    table = contents.table
    renamed = [f"a.b.{name}" for name in table["file"].to_pylist()]
    object.__setattr__(
        contents, "table", table.set_column(table.column_names.index("file"), "file", [renamed])
    )
    unit = webdataset.plan(contents)[0]
    path = tmp_path / "shard.tar"
    webdataset.write_unit(contents, tmp_path, Unit("shard.tar", "train", unit.rows), path, Monitor())
    samples = list(reader.WebDataset([str(path)], shardshuffle=False))
    assert len(samples) == len(unit.rows)
    assert all(soundfile.info(io.BytesIO(sample["wav"])).frames for sample in samples)


def test_the_command_exports_the_only_split_and_says_where(run, tmp_path):
    assert [form.value for form in Format] == list(FORMATS)
    app = typer.Typer()
    app.command()(export_command)
    result = CliRunner().invoke(app, ["asvspoof", str(run), str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["split"], report["files"], report["is_new"]) == (SPLIT, len(rows_by_file(run)), True)
    again = CliRunner().invoke(app, ["asvspoof", str(run), str(tmp_path / "out")])
    assert "Already complete" in again.output
