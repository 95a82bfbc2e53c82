import csv
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from dataset_trees import (
    labels_of,
    write_asvspoof2019,
    write_audio,
    write_codecfake,
    write_codecfake15,
    write_lines,
)
from run_helpers import StopAfter, tree
from typer.testing import CliRunner

from codecfake.detector.evaluation import evaluate
from codecfake.detector.scoring import score
from codecfake.detector.sources import open_trials
from codecfake.detector.training import TrainConfig, train
from codecfake.flows.audit_material import gather
from codecfake.flows.cli import app
from codecfake.flows.import_listing import list_dataset
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.build import build
from codecfake.pipeline.config import make_config, saved_config
from codecfake.pipeline.exports.export import export_run
from codecfake.pipeline.imports import importing, shards
from codecfake.pipeline.imports.importing import ImportReport, import_dataset
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.status import planned_in, status_of
from codecfake.pipeline.verification import verify

SPLIT = "imported-codecfake"


def import_here(data: Path, run: Path, monitor: Monitor | None = None) -> ImportReport:
    return import_dataset(run, list_dataset(data), monitor or Monitor())


def manifest(run: Path, split: str = SPLIT) -> dict[str, dict]:
    rows = pq.read_table(run / "splits" / split / "manifest.parquet").to_pylist()
    return {row["file"]: row for row in rows}


def problems(run: Path) -> set[tuple[str, str, str]]:
    with (run / "import-problems.csv").open(encoding="utf-8", newline="") as file:
        return {(row["where"], row["what"], row["reason"]) for row in csv.DictReader(file)}


def state(folder: Path) -> dict[str, tuple[int, str]]:
    """Time and content of every file, to see that nothing was touched."""
    return {name: ((folder / name).stat().st_mtime_ns, file_sha256(folder / name)) for name in tree(folder)}


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> tuple[Path, Path]:
    """A published tree and the run that it became; tests must not change them."""
    folder = tmp_path_factory.mktemp("imported")
    data = write_codecfake(folder / "Codecfake")
    before = state(data)
    import_here(data, folder / "run")
    assert state(data) == before
    return data, folder / "run"


def test_a_run_has_the_trials_of_the_dataset(imported) -> None:
    data, run = imported
    raw, ours = open_trials(data), open_trials(run)
    assert ours.name == SPLIT
    assert sorted(labels_of(ours.train)) == sorted(labels_of(raw.train))
    assert sorted(labels_of(ours.dev)) == sorted(labels_of(raw.dev))
    assert list(ours.conditions) == ["C1", "C7", "A1", "A3"]
    undistributed = {"Yabc-1_2.wav", "Yx.wav"}
    for name, trials in raw.conditions.items():
        expected = [pair for pair in labels_of(trials) if pair[0] not in undistributed]
        assert sorted(labels_of(ours.conditions[name])) == sorted(expected)
        for column in ("utterance_id", "codec", "corpus", "language", "speaker"):
            told = dict(zip(trials.files, trials.columns[column], strict=True))
            found = zip(ours.conditions[name].files, ours.conditions[name].columns[column], strict=True)
            assert all(told[file] == value for file, value in found)


def test_audio_is_linked_and_never_encoded_again(imported) -> None:
    data, run = imported
    rows = manifest(run)
    assert (run / rows["F06_SSB00050001.wav"]["path"]).samefile(data / "train" / "F06_SSB00050001.wav")
    assert rows["p227_001.wav"]["conditions"] == ["C1", "C7", "A1"]
    fake = rows["F07_p225_001.wav"]
    assert (fake["split"], fake["source_split"], fake["sample_rate"]) == ("eval", "train", 44_100)
    assert fake["source_sha256"] == rows["p225_001.wav"]["sha256"]
    assert rows["102726.wav"]["source_sha256"] == ""
    tree_of_split = run / "splits" / SPLIT / "Codecfake"
    assert (tree_of_split / "test" / "C7" / "F07_p225_001.wav").samefile(run / fake["path"])


def test_run_json_tells_the_origin_and_no_fingerprint(imported) -> None:
    data, run = imported
    stamp = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert "fingerprint" not in stamp
    assert stamp["imported"]["dataset"] == "codecfake"
    assert stamp["imported"]["folder"] == str(data)
    assert stamp["imported"]["licence"] == "CC BY-NC-ND 4.0"
    assert stamp["imported"]["lists"]["label/C7.txt"] == file_sha256(data / "label" / "C7.txt")


def test_what_does_not_fit_is_listed_with_its_reason_and_stops_nothing(tmp_path: Path) -> None:
    data, outside = write_codecfake(tmp_path / "data"), tmp_path / "outside"
    outside.mkdir()
    (data / "train" / "F01_p225_001.wav").unlink()
    (data / "train" / "F06_SSB00050001.wav").write_text("not audio")
    (data / "test" / "C1" / "F01_p227_001.wav").write_bytes(b"")
    (data / "dev" / "F04_p226_001.wav").unlink()
    (data / "dev" / "F04_p226_001.wav").mkdir()
    soundfile.write(data / "test" / "C7" / "F07_p225_001.wav", np.full(900, np.nan), 16_000, subtype="FLOAT")
    write_audio(data / "test" / "C7" / "p227_001.wav", samples=5_000)
    with (data / "label" / "C7.txt").open("a", encoding="utf-8") as labels:
        labels.write("only two\n../../secret.wav real 0\n")
        labels.write("F07_p301_001.wav fake ../../outside\nF07_p302_001.wav fake real\n")
        labels.write("p225_001.wav fake 7\nF07_p227_001.flac fake 7\n")
    for name in ("F07_p301_001.wav", "F07_p302_001.wav"):
        write_audio(data / "test" / "C7" / name)
    report = import_here(data, tmp_path / "run")
    found = problems(tmp_path / "run")
    assert found == {
        ("F01", "F01_p225_001.wav", "missing"),
        ("F06", "F06_SSB00050001.wav", "unreadable"),
        ("F01", "F01_p227_001.wav", "empty"),
        ("F04", "F04_p226_001.wav", "not-a-file"),
        ("F07", "F07_p225_001.wav", "non-finite"),
        ("real", "Yabc-1_2.wav", "missing"),
        ("real", "Yx.wav", "missing"),
        ("test/C7", "p227_001.wav", "different-copy"),
        ("C7.txt", "only two", "bad-line"),
        ("C7.txt", "../../secret.wav real 0", "bad-line"),
        ("../../outside", "F07_p301_001.wav", "bad-name"),
        ("", "F07_p302_001.wav", "bad-name"),
        ("F07", "F07_p227_001.flac", "bad-name"),
        ("C7", "p225_001.wav", "contradiction"),
        ("C7", "p225_001.wav", "repeated"),
    }
    assert report.problems["missing"] == 3
    rows = manifest(tmp_path / "run")
    assert sorted(rows) == [
        "102726.wav",
        "F07_p227_001.wav",
        "L1_p227_001.wav",
        "SSB00050001.wav",
        "p225_001.wav",
        "p226_001.wav",
        "p227_001.wav",
    ]
    assert (rows["p225_001.wav"]["label"], rows["p225_001.wav"]["split"]) == ("real", "train")
    assert not list(outside.iterdir())
    status = status_of(tmp_path / "run")
    assert status.is_complete
    assert status.codec_reasons == {
        "missing": 3,
        "not-a-file": 1,
        "unreadable": 1,
        "empty": 1,
        "non-finite": 1,
    }
    assert verify(tmp_path / "run", planned_in(tmp_path / "run"), Monitor()).is_whole


def test_a_stopped_import_goes_on_and_does_nothing_twice(tmp_path: Path, monkeypatch, imported) -> None:
    monkeypatch.setattr(shards, "FILES_PER_SHARD", 2)
    data, run = imported[0], tmp_path / "run"
    with pytest.raises(Stopped):
        import_here(data, run, StopAfter(5))
    assert not status_of(run).is_complete
    published = {path: path.stat().st_mtime_ns for path in run.glob("shards/*/*/shard.json")}
    assert published
    (run / "shards" / "F01" / ".tmp-00009-abc" / "audio").mkdir(parents=True)  # of a killed call
    report = import_here(data, run)
    assert report.shards_found == len(published)
    assert all(path.stat().st_mtime_ns == time for path, time in published.items())
    assert verify(run, planned_in(run), Monitor()).is_whole
    assert not list(run.rglob(".tmp-*"))
    drop = {"path": ""}  # shards are smaller here
    ours, theirs = manifest(run), manifest(imported[1])
    assert {file: row | drop for file, row in ours.items()} == {
        file: row | drop for file, row in theirs.items()
    }
    assert import_here(data, run).shards_done == 0


def test_files_that_come_later_are_taken_by_the_same_command(tmp_path: Path) -> None:
    data, run = write_codecfake(tmp_path / "data"), tmp_path / "run"
    (data / "test" / "C7").rename(tmp_path / "C7")
    import_here(data, run)
    assert "F07_p227_001.wav" not in manifest(run)
    (tmp_path / "C7").rename(data / "test" / "C7")
    (data / "test" / "C7" / "F07_p225_001.wav").write_text("not audio")
    report = import_here(data, run)
    assert "F07_p227_001.wav" in manifest(run)
    assert report.split.superseded is not None
    assert ("F07", "F07_p227_001.wav", "missing") not in problems(run)
    shards = sorted((run / "shards" / "F07").iterdir())
    import_here(data, run)
    assert sorted((run / "shards" / "F07").iterdir()) == shards  # what cannot be read adds nothing
    assert status_of(run).is_complete
    assert verify(run, planned_in(run), Monitor()).is_whole


def test_bona_fide_files_that_came_later_are_known_though_the_call_was_killed(
    tmp_path: Path, monkeypatch
) -> None:
    data, run = write_codecfake(tmp_path / "data"), tmp_path / "run"
    gone = next(path for path in sorted((data / "train").glob("*.wav")) if not path.name.startswith("F"))
    gone.rename(tmp_path / gone.name)
    import_here(data, run)
    (tmp_path / gone.name).rename(gone)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing, "publish_source", killed)
        with pytest.raises(KeyboardInterrupt):
            import_here(data, run)
    import_here(data, run)
    source = {row["utterance_id"]: row for row in pq.read_table(run / "source.parquet").to_pylist()}
    assert source[gone.stem]["reason"] is None and source[gone.stem]["sha256"]


def test_without_links_files_are_copied_and_no_link_leads_out(tmp_path: Path, monkeypatch) -> None:
    data, run = write_codecfake(tmp_path / "data"), tmp_path / "run"
    elsewhere = tmp_path / "disk" / "F04.wav"
    elsewhere.parent.mkdir()
    (data / "dev" / "F04_p226_001.wav").rename(elsewhere)
    (data / "dev" / "F04_p226_001.wav").symlink_to(elsewhere)
    import_here(data, run)
    assert (run / manifest(run)["F04_p226_001.wav"]["path"]).samefile(elsewhere)
    assert not any(path.is_symlink() for path in run.rglob("*"))

    def refuse(source, target):
        if not Path(source).is_relative_to(tmp_path / "copies"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return link(source, target)

    link = os.link
    monkeypatch.setattr(os, "link", refuse)
    report = import_here(data, tmp_path / "copies")
    assert (report.linked, report.copied) == (0, report.files)
    row = manifest(tmp_path / "copies")["F04_p226_001.wav"]
    assert (tmp_path / "copies" / row["path"]).read_bytes() == elsewhere.read_bytes()
    assert not (tmp_path / "copies" / row["path"]).samefile(elsewhere)


def test_a_mirror_in_flac_keeps_its_bytes_and_endings(tmp_path: Path) -> None:
    data, run = write_codecfake(tmp_path / "data"), tmp_path / "run"
    wav = data / "train" / "F01_p225_001.wav"
    wave, rate = soundfile.read(wav, dtype="int16")
    soundfile.write(wav.with_suffix(".flac"), wave, rate)
    wav.unlink()
    import_here(data, run)
    row = manifest(run)["F01_p225_001.wav"]
    assert row["path"].endswith("F01_p225_001.flac")
    assert verify(run, planned_in(run), Monitor()).is_whole


def test_silence_and_short_files_stay_trials(tmp_path: Path) -> None:
    data = write_codecfake(tmp_path / "data")
    soundfile.write(data / "train" / "F01_p225_001.wav", np.zeros(16_000), 16_000)
    write_audio(data / "train" / "p225_001.wav", samples=700)
    import_here(data, tmp_path / "run")
    assert {"F01_p225_001.wav", "p225_001.wav"} <= manifest(tmp_path / "run").keys()


def test_other_lists_runs_and_datasets_are_refused(tmp_path: Path, imported) -> None:
    data, run = write_codecfake(tmp_path / "data"), tmp_path / "run"
    import_here(data, run)
    with (data / "label" / "train.txt").open("a", encoding="utf-8") as labels:
        labels.write("p225_002.wav real 0\n")
    with pytest.raises(CodecfakeError, match="with other lists"):
        import_here(data, run)
    with pytest.raises(CodecfakeError, match="inside each other"):
        import_here(data, data / "run")
    with pytest.raises(CodecfakeError, match="only codecfake and codecfake-15"):
        import_here(write_asvspoof2019(tmp_path / "LA"), tmp_path / "other")
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "run.json").write_text('{"fingerprint": {}}', encoding="utf-8")
    with pytest.raises(CodecfakeError, match="was built, not imported"):
        import_here(data, tmp_path / "built")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(CodecfakeError, match=r"is no run folder, but holds letter\.txt"):
        import_here(data, tmp_path / "letters")
    shutil.rmtree(data / "train")
    for folder in ("dev", "test"):
        shutil.rmtree(data / folder)
    with pytest.raises(CodecfakeError, match="not one audio file"):
        import_here(data, tmp_path / "empty")


def test_build_and_retry_refuse_an_imported_run(imported, corpora) -> None:
    run = imported[1]
    config = make_config({"vctk": corpora.vctk, "out": run, "codecs": "F04", "weights": "mini"})
    with pytest.raises(CodecfakeError, match="imported from codecfake, so there is nothing to build"):
        build(config, Monitor(), lambda *_: [])
    with pytest.raises(CodecfakeError, match="nothing to build or to retry"):
        saved_config(run)
    result = CliRunner().invoke(app, ["retry", str(run), "--no-prefect"])
    assert isinstance(result.exception, CodecfakeError)


def test_verify_tells_damage(tmp_path: Path, imported) -> None:
    run = tmp_path / "run"
    import_here(imported[0], run)
    path = run / manifest(run)["F01_p227_001.wav"]["path"]
    content = path.read_bytes()
    path.unlink()  # the dataset has the same file
    path.write_bytes(content[:-2])
    report = verify(run, planned_in(run), Monitor())
    assert path.relative_to(run).as_posix() in {damage.path for damage in report.damage}
    shutil.rmtree(run / "shards" / "F04")
    assert verify(run, planned_in(run), Monitor()).missing_shards == ("F04/00000",)


def test_commands_on_an_imported_run(tmp_path: Path, imported) -> None:
    data, run = imported[0], tmp_path / "run"

    def output(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "12 files" in output("import", data, run)
    assert "Imported from codecfake" in output("status", run)
    assert "Everything is as it was published" in output("verify", run)
    assert "speaker-disjoint-seed3" in output("splits", run, "--policy", "speaker-disjoint", "--seed", 3)
    split = json.loads(output("import", data, run, "--json"))["split"]
    assert split["name"] == SPLIT


def test_the_fifteen_codecs_become_a_run(tmp_path: Path) -> None:
    data, run = write_codecfake15(tmp_path / "data", with_list=True), tmp_path / "run"
    write_audio(data / "stranger.wav")
    with (data / "datalist.csv").open("a", encoding="utf-8") as file:
        file.write("wavs/stranger.wav,spoofing,p225,encodec_24khz\n")
    report = import_here(data, run)
    assert report.problems == {"bad-line": 1}
    rows = manifest(run, "imported-codecfake-15")
    conditions = ["C-descript-audio-codec-16khz", "C-encodec_24khz"]
    assert rows["genuine+p227_001.wav"]["conditions"] == conditions
    assert rows["encodec_24khz+p226_001.wav"]["split"] == "dev"
    assert {row["corpus"] for row in rows.values()} == {"vctk"}
    raw, ours = open_trials(data), open_trials(run)
    for condition in conditions:
        theirs = raw.conditions[condition.removeprefix("C-")]
        assert sorted(labels_of(ours.conditions[condition])) == sorted(labels_of(theirs))
    split = split_run(run, policy="speaker-disjoint", seed=1, monitor=Monitor())
    assert split.summary["splits"]["eval"]["real"] == 1
    assert len(gather(run, "imported-codecfake-15", None, 0).files) == 15


def test_a_split_by_speaker_needs_speakers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    lines = [f"clip{number}.wav real 0" for number in range(4)]
    write_lines(data / "label" / "train.txt", [*lines, "F01_clip0.wav fake 1"])
    for line in [*lines, "F01_clip0.wav"]:
        write_audio(data / "train" / line.split()[0])
    import_here(data, tmp_path / "run")
    with pytest.raises(CodecfakeError, match="tells a speaker"):
        split_run(tmp_path / "run", policy="speaker-disjoint", monitor=Monitor())
    split = split_run(tmp_path / "run", policy="published", monitor=Monitor())
    assert split.summary["splits"]["train"]["real"] == 2


def test_two_imports_are_compared(tmp_path: Path, imported) -> None:
    import_here(imported[0], tmp_path / "again")
    result = CliRunner().invoke(app, ["compare", str(imported[1]), str(tmp_path / "again")])
    assert (result.exit_code, result.exception) == (0, None), result.output
    assert "The runs are the same." in result.output


def test_a_run_is_not_imported_as_a_run(tmp_path: Path, imported) -> None:
    with pytest.raises(CodecfakeError, match="is a run already") as caught:
        list_dataset(imported[1])
    tree = caught.value.next_step.split()[2].replace("NAME", SPLIT)
    assert list_dataset(Path(tree)).dataset == "codecfake"


def test_an_export_names_the_licence_of_the_dataset(tmp_path: Path, imported) -> None:
    export_run(imported[1], tmp_path / "out", "tree", SPLIT, Monitor())
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "as it was published, under CC BY-NC-ND 4.0" in card
    assert "rebuild" not in card
    assert "The audio files are byte for byte those of the published copy" in " ".join(card.split())
    metadata = json.loads((tmp_path / "out" / "croissant.json").read_text(encoding="utf-8"))
    assert metadata["license"] == ["https://creativecommons.org/licenses/by-nc-nd/4.0/"]
    assert sorted(labels_of(open_trials(tmp_path / "out" / "Codecfake").train)) == sorted(
        labels_of(open_trials(imported[0]).train)
    )


def test_a_detector_is_trained_and_evaluated_on_an_imported_run(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    for name, speaker in (("train", 225), ("dev", 226), ("C1", 227)):
        files = [f"p{speaker}_{number}.wav" for number in (1, 2)]
        lines = [*(f"{file} real 0" for file in files), *(f"F01_{file} fake 1" for file in files)]
        write_lines(data / "label" / f"{name}.txt", lines)
        for line in lines:
            write_audio(data / name / line.split()[0], is_real="real" in line)
    import_here(data, run)
    detector = run / "detectors" / "small"
    settings = TrainConfig(model="mel-lcnn", epochs=1, batch_size=4)
    train(run, SPLIT, detector, settings, "cpu", lambda _: None)
    result = score(run, detector, "cpu", lambda _: None)
    assert (result.scored, result.unreadable) == (8, [])
    assert {rate.condition for rate in evaluate(run, detector).conditions} >= {"C1"}
