"""A repeated export says that it is complete only when it is, and no export holds audio that was not published."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from exported_run import SPLIT, built_run, digests, export, rows_by_file
from run_helpers import flip_this_name
from typer.testing import CliRunner

from codecfake.flows.cli import app
from codecfake.flows.import_listing import list_dataset
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.exports.export import FORMATS, export_run
from codecfake.pipeline.imports.importing import import_dataset
from codecfake.pipeline.monitor import Monitor


@pytest.fixture(scope="module")
def run(corpora, tmp_path_factory):
    with built_run(tmp_path_factory.mktemp("repeats"), corpora) as run_dir:
        yield run_dir


@pytest.fixture
def damaged(run):
    """A file of the evaluation that was changed after the build, and is whole again after the test."""
    row = next(row for row in rows_by_file(run).values() if row["split"] == "eval")
    path = run / row["path"]
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-4] + b"\x7f\x01\x7f\x01")
    yield row["path"]
    path.write_bytes(whole)


def test_protocols_are_not_written_beside_damaged_audio(run, tmp_path, damaged):
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["export", "asvspoof", str(run), str(out)])
    assert result.exit_code == 1
    assert damaged in str(result.exception) and "holds the published bytes or none" in str(result.exception)
    assert not [path for path in out.rglob("*") if path.suffix in (".wav", ".txt")]


@pytest.mark.parametrize(("form", "loose"), [("hf", "audiofolder"), ("tree", "Codecfake")])
def test_links_are_not_mended_with_damaged_audio(run, tmp_path, request, form, loose):
    export(run, tmp_path / "out", form)
    shutil.rmtree(tmp_path / "out" / loose)
    damaged = request.getfixturevalue("damaged")
    with pytest.raises(CodecfakeError, match="holds the published bytes or none") as caught:
        export(run, tmp_path / "out", form)
    assert damaged in caught.value.what
    assert not (tmp_path / "out" / loose).exists()


@pytest.mark.parametrize(
    ("form", "gone"),
    [
        ("tree", ["Codecfake/test/C4", "Codecfake/label/dev.txt"]),
        ("hf", ["audiofolder/validation", "manifest.csv"]),
        ("webdataset", ["SHA256SUMS", "README.md"]),
        ("shar", ["train/cuts.000000.jsonl.gz", "croissant.json"]),
        ("asvspoof", ["Codecfake_dev/wav", "Codecfake_cm_protocols", "manifest.csv"]),
    ],
)
def test_what_is_gone_is_made_anew_and_not_called_complete(run, tmp_path, form, gone):
    export(run, tmp_path / "out", form)
    whole = digests(tmp_path / "out")
    assert not export(run, tmp_path / "out", form).is_new
    for name in gone:
        path = tmp_path / "out" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert export(run, tmp_path / "out", form).is_new
        assert digests(tmp_path / "out") == whole
    assert not export(run, tmp_path / "out", form).is_new


@pytest.mark.parametrize("form", FORMATS)
def test_another_choice_of_robustness_conditions_is_another_export(run, tmp_path, form):
    derive_conditions(run, SPLIT, [parse_setting("gsm")], ["C4"], Monitor())
    export(run, tmp_path / "with", form)
    shutil.rmtree(run / "splits" / SPLIT / "conditions")
    export(run, tmp_path / "without", form)
    with pytest.raises(CodecfakeError, match="robustness conditions were added, removed or made anew"):
        export(run, tmp_path / "with", form)
    derive_conditions(run, SPLIT, [parse_setting("gsm")], ["C4"], Monitor())
    with pytest.raises(CodecfakeError, match="robustness conditions were added, removed or made anew"):
        export(run, tmp_path / "without", form)
    assert not export(run, tmp_path / "with", form).is_new
    shutil.rmtree(run / "splits" / SPLIT / "conditions")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("asvspoof", "Codecfake_cm_protocols/Codecfake.cm.eval.trl.txt"),
        ("tree", "Codecfake/label/C4.txt"),
        ("hf", "audiofolder/test/metadata.jsonl"),
    ],
)
def test_checksums_cover_the_lists(run, tmp_path, form, text):
    export(run, tmp_path / "out", form)
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(check, cwd=tmp_path / "out", check=True)
    with (tmp_path / "out" / text).open("a") as file:
        file.write("p1 p1_001 - - bonafide\n")
    found = subprocess.run(check, cwd=tmp_path / "out", capture_output=True, text=True)
    assert found.returncode == 1 and f"{text}: FAILED" in found.stdout


def test_a_place_that_cannot_be_a_folder_is_refused_with_a_next_step(run, tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("mine")
    for out, problem in (
        ("gone", "gone is a link to what is not there"),
        ("gone/out", "gone is a link to what is not there"),
        ("notes.txt", "notes.txt is a file"),
        ("notes.txt/deep/out", "notes.txt is a file"),
    ):
        with pytest.raises(CodecfakeError, match=problem) as caught:
            export(run, tmp_path / out, "asvspoof")
        assert "give a new or empty folder" in caught.value.next_step
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["gone", "notes.txt"]


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_that_was_sent_is_held_against_its_checksums_and_its_manifest(run, tmp_path, form):
    export(run, tmp_path / "out", form)
    sent = tmp_path / "elsewhere" / "Codecfake-rebuilt"
    shutil.copytree(tmp_path / "out", sent)
    assert verify(sent).exit_code == 0
    files = [path for path in sorted(sent.rglob("*")) if path.suffix in (".wav", ".tar", ".parquet")]
    flip_this_name(files[0])
    files[-1].unlink()
    result = verify(sent)
    assert result.exit_code == 1
    told = {
        line.strip().partition(": ")[0]: line for line in result.output.splitlines() if line.startswith("  ")
    }
    assert (
        f"its sha256 is not that of {'manifest.csv' if files[0].suffix == '.wav' else 'SHA256SUMS'}"
        in told.pop(files[0].relative_to(sent).as_posix())
    )
    assert "it is gone" in told.pop(files[-1].relative_to(sent).as_posix())
    assert not told


def test_the_tree_of_an_export_is_not_held_against_the_published_counts(run, tmp_path):
    export(run, tmp_path / "out", "tree")
    result = verify(tmp_path / "out" / "Codecfake")
    assert result.exit_code == 0
    assert "740,747" not in result.output
    shutil.copy(
        next((tmp_path / "out").rglob("*.wav")), tmp_path / "out" / "Codecfake" / "test" / "stranger.wav"
    )
    (tmp_path / "out" / "SHA256SUMS").unlink()
    result = verify(tmp_path / "out")
    assert result.exit_code == 1
    assert "SHA256SUMS: it is gone" in result.output


@pytest.mark.parametrize(("form", "train", "test"), [("tree", "train", "test/C4"), ("hf", "train", "test")])
def test_audio_of_an_export_in_another_place_is_a_leak_and_each_copy_counts(run, tmp_path, form, train, test):
    export(run, tmp_path / "out", form)
    loose = tmp_path / "out" / {"tree": "Codecfake", "hf": "audiofolder"}[form]
    leaked, lost = (next(path for path in (loose / part).rglob("*.wav")) for part in (train, test))
    shutil.copy(leaked, loose / test / leaked.name)
    lost.unlink()
    (loose / train / "._left_by_a_file_manager.wav").write_bytes(b"")
    output = verify(tmp_path / "out").output
    assert (
        f"{(loose / test / leaked.name).relative_to(tmp_path / 'out')}: the lists do not name it in this"
        in output
    )
    assert f"{lost.relative_to(tmp_path / 'out')}: it is gone" in output
    assert "file_manager" not in output


@pytest.mark.parametrize("without", ["Codecfake", "archives", "Codecfake/test"])
def test_a_tree_that_is_not_unpacked_or_no_longer_packed_is_whole(run, tmp_path, without):
    export(run, tmp_path / "out", "tree")
    shutil.rmtree(tmp_path / "out" / without)
    result = verify(tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "files are not here whose audio lies in a folder beside" in result.output
    next((tmp_path / "out").rglob("Codecfake-train-000.tar" if without != "archives" else "*.wav")).unlink()
    assert verify(tmp_path / "out").exit_code == 1


def test_checksums_that_were_cut_off_hide_nothing(run, tmp_path):
    export(run, tmp_path / "out", "webdataset")
    sums = tmp_path / "out" / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    (tmp_path / "out" / "codecfake-train-000000.tar").unlink()
    for kept in ([], lines[:2], [line for line in lines if "train" not in line]):
        sums.write_text("".join(kept))
        result = verify(tmp_path / "out")
        assert result.exit_code == 1 and "SHA256SUMS: it is cut short" in result.output
    (tmp_path / "out" / "manifest.csv").unlink()
    assert "manifest.csv: it is gone" in verify(tmp_path / "out").output


def test_that_speech_is_synthetic_stands_on_every_card_and_survives_an_import(run, tmp_path):
    shutil.copytree(run, tmp_path / "demo")
    stamp = json.loads((tmp_path / "demo" / "run.json").read_text())
    stamp["process"]["command"] = "codecfake demo --out demo"
    (tmp_path / "demo" / "run.json").write_text(json.dumps(stamp))
    export(tmp_path / "demo", tmp_path / "tree", "tree")
    import_dataset(tmp_path / "imported", list_dataset(tmp_path / "tree"), Monitor())
    export_run(tmp_path / "imported", tmp_path / "again", "hf", "imported-codecfake-rebuilt", Monitor())
    for folder in (tmp_path / "tree", tmp_path / "again"):
        assert "**The speech is synthetic" in (folder / "README.md").read_text()
        with (folder / "manifest.csv").open(newline="") as file:
            licences = {row["corpus_licence"] for row in csv.DictReader(file)}
        assert licences == {"none of the corpus: synthetic speech (espeak-ng) stands in for it"}
    export(run, tmp_path / "built", "hf")
    assert "synthetic" not in (tmp_path / "built" / "README.md").read_text()


def verify(folder: Path):
    return CliRunner().invoke(app, ["verify", str(folder)])
