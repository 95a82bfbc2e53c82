"""What `codecfake verify` says of files that are gone, emptied, copied or added, and what the commands do then."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exported_run import SPLIT, built_run
from run_helpers import tree
from typer.testing import CliRunner

from codecfake.flows.cli import app
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import DamagedFileError
from codecfake.manifests.schema import item_schema
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.shard_store import published_shards
from codecfake.pipeline.status import planned_in, status_of
from codecfake.pipeline.verification import read_damage, verify

HOME = f"splits/{SPLIT}"
STORE = f"{HOME}/conditions/gsm"


def write_bomb(path: Path, schema: pa.Schema) -> None:
    """Hundreds of thousands of rows of one long value, in a file of some hundred kilobytes."""
    rows = 300_000
    columns = []
    for field in schema:
        if pa.types.is_string(field.type):
            indices = pa.repeat(pa.scalar(0, pa.int32()), rows)
            columns.append(pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 1_000])))
        else:
            columns.append(pa.repeat(pa.scalar(0, pa.int64()), rows).cast(field.type))
    pq.write_table(pa.table(columns, names=schema.names), path, store_schema=False)


@pytest.fixture(scope="module")
def built(corpora, tmp_path_factory):
    """A finished run with a robustness condition and a detector."""
    with built_run(tmp_path_factory.mktemp("absent"), corpora) as run_dir:
        derive_conditions(run_dir, SPLIT, [parse_setting("gsm")], None, Monitor())
        detector = run_dir / "detectors" / "small"
        detector.mkdir(parents=True)
        (detector / "model.safetensors").write_bytes(b"weights")
        digest = file_sha256(detector / "model.safetensors")
        (detector / "model.json").write_text(json.dumps({"weights_sha256": digest}))
        yield run_dir


@pytest.fixture
def run(built, tmp_path):
    return shutil.copytree(built, tmp_path / "run", ignore=shutil.ignore_patterns(".lock*"))


def told(run: Path) -> dict[str, str]:
    report = verify(run, planned_in(run), Monitor())
    return {damage.path: damage.problem for damage in report.damage}


def test_a_finished_run_is_whole(run):
    (run / HOME / "Codecfake" / "train" / ".DS_Store").touch()
    shutil.copytree(run / HOME, run / f"{HOME}.superseded-1")
    shutil.copytree(run / "detectors" / "small", run / "detectors" / "small.damaged-1")
    (run / "detectors" / "small.damaged-1" / "model.json").unlink()
    assert told(run) == {}
    result = CliRunner().invoke(app, ["verify", str(run)])
    assert result.exit_code == 0, result.output
    assert "Everything is as it was published." in result.output


@pytest.mark.parametrize(
    ("removed", "path", "problem"),
    [
        ([f"{HOME}/splits.json"], f"{HOME}/splits.json", "it is gone"),
        ([f"{HOME}/splits.json", f"{HOME}/SHA256SUMS"], f"{HOME}/splits.json", "it is gone"),
        ([f"{HOME}/manifest.parquet"], f"{HOME}/manifest.parquet", "it is gone"),
        (
            [f"{HOME}/SHA256SUMS"],
            f"{HOME}/SHA256SUMS",
            "sha256sum manifest.csv manifest.parquet splits.json >",
        ),
        (["source.sha256"], "source.sha256", "sha256sum source.csv source.parquet > source.sha256"),
        (["source.parquet", "source.csv", "source.sha256"], "source.parquet", "it is gone"),
        (["run.json"], "run.json", "it is gone; bring it back from a backup"),
        ([f"{STORE}/manifest.parquet"], f"{STORE}/manifest.parquet", "codecfake conditions RUN --add gsm"),
        ([f"{STORE}/condition.json"], f"{STORE}/condition.json", "codecfake conditions RUN --add gsm"),
        (["detectors/small/model.json"], "detectors/small/model.json", "codecfake train RUN --name small"),
    ],
)
def test_what_was_published_and_is_gone_is_told_with_what_brings_it_back(run, removed, path, problem):
    for name in removed:
        (run / name).unlink()
    assert problem in told(run)[path]
    result = CliRunner().invoke(app, ["verify", str(run)])
    assert result.exit_code == 1
    assert "Everything is as it was published." not in result.output


@pytest.mark.parametrize("name", [f"{HOME}/SHA256SUMS", "source.sha256"])
def test_a_list_of_checksums_that_lists_nothing_guards_nothing(run, name):
    whole = (run / name).read_text()
    for content in ("", whole.splitlines()[0] + "\n"):
        (run / name).write_text(content)
        assert "it lists too little" in told(run)[name]
    (run / name).write_text(whole)
    assert told(run) == {}


def test_a_stamp_that_was_edited_is_told(run):
    stamp = json.loads((run / "run.json").read_text())
    stamp["fingerprint"]["seed"] = "1"
    (run / "run.json").write_text(json.dumps(stamp))
    assert told(run) == {"run.json": "its digest is not that of its fingerprint; bring it back from a backup"}


def test_a_build_that_has_just_begun_lacks_nothing(run):
    for name in ("shards", "splits", "detectors"):
        shutil.rmtree(run / name)
    for path in run.glob("source.*"):
        path.unlink()
    assert told(run) == {}


@pytest.mark.parametrize("copy", ["shards/X1/00000 (copy)", "shards/F99/00000"])
def test_a_copied_shard_is_told_and_its_rows_are_not_counted(run, copy):
    report = verify(run, planned_in(run), Monitor())
    shutil.copytree(run / "shards/X1/00000", run / copy)
    assert told(run) == {copy: "a copy of shards/X1/00000; move it out of the run"}
    assert verify(run, planned_in(run), Monitor()).files == report.files
    shutil.rmtree(run / "shards/X1/00000")
    assert told(run)[copy] == "it was published as shards/X1/00000; rename it back"


def test_a_copied_shard_whose_record_was_edited_is_told_by_its_rows(run):
    copy = run / "shards" / "X1" / "00009"
    shutil.copytree(run / "shards/X1/00000", copy)
    record = json.loads((copy / "shard.json").read_text())
    (copy / "shard.json").write_text(json.dumps(record | {"shard": "00009"}))
    assert told(run) == {"shards/X1/00009": "a copy of shards/X1/00000; move it out of the run"}


@pytest.mark.parametrize("key", ["source_seconds", "wall_seconds"])
def test_a_record_that_status_could_not_read_is_damage(run, key):
    path = published_shards(run)[0] / "shard.json"
    record = json.loads(path.read_text())
    for content in ({name: value for name, value in record.items() if name != key}, record | {key: "x"}):
        path.write_text(json.dumps(content))
        problem = told(run)[path.relative_to(run).as_posix()]
        assert problem.endswith(f"it has no {key!r} of the right kind")
        with pytest.raises(CodecfakeError, match=key):
            status_of(run)


def test_rows_that_would_fill_the_memory_are_damage(run):
    shard = run / "shards" / "X1" / "00000"
    write_bomb(shard / "items.parquet", item_schema())
    record = json.loads((shard / "shard.json").read_text())
    record["items_sha256"] = file_sha256(shard / "items.parquet")
    (shard / "shard.json").write_text(json.dumps(record))
    assert (shard / "items.parquet").stat().st_size < 1_000_000
    assert "rows would take more than" in told(run)["shards/X1/00000/items.parquet"]
    result = CliRunner().invoke(app, ["status", str(run)])
    assert isinstance(result.exception, DamagedFileError)


@pytest.mark.parametrize(
    "row", [1, None, {"utterance_id": "u"}, {"path": 5, "problem": "", "codec": "X1", "utterance_id": "u"}]
)
def test_a_report_that_was_edited_is_refused_by_name(run, row):
    (run / "verify.json").write_text(json.dumps({"damage": [row]}))
    with pytest.raises(DamagedFileError, match=r"verify\.json is damaged"):
        read_damage(run)
    told(run)
    assert read_damage(run) == []


def test_a_pipe_in_the_place_of_the_counts_of_a_split_holds_up_nobody(run):
    path = run / HOME / "splits.json"
    path.unlink()
    os.mkfifo(path)
    assert f"{HOME}/splits.json" in told(run)
    split = split_run(run, policy="published", seed=0, monitor=Monitor())
    assert json.loads((split.folder / "splits.json").read_text())["policy"] == "published"


def test_files_that_no_row_names_are_told_where_people_list_folders(run):
    root = run / HOME / "Codecfake"
    files = tree(root)
    train = next(name for name in files if name.startswith("train/"))
    for name in (
        "train/extra.wav",
        "dev/extra.wav",
        "label/C9.txt",
        "test/C-X1/extra.wav",
        "test/C9/extra.wav",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / train, root / name)
    strange = ("train/extra.wav", "dev/extra.wav", "label/C9.txt", "test/C-X1/extra.wav", "test/C9")
    told_of = {f"{HOME}/Codecfake/{name}" for name in strange}
    found = told(run)
    assert found.keys() == told_of
    assert set(found.values()) == {"the manifest does not name it; move it out of the tree"}


def test_an_import_that_lost_its_source_manifest_is_told_and_its_digest_is_no_matter(run):
    stamp = json.loads((run / "run.json").read_text())
    rows = pq.read_table(run / "source.parquet").num_rows
    imported = {"dataset": "d", "folder": "f", "licence": "", "digest": "x", "lists": {}, "utterances": rows}
    stamp = {"imported": imported | {"shards": {}, "notes": []}, "digest": "x"}
    (run / "run.json").write_text(json.dumps(stamp))
    (run / "run.yaml").unlink()
    assert told(run) == {}
    for path in run.glob("source.*"):
        path.unlink()
    assert told(run) == {"source.parquet": "it is gone"}
    shutil.rmtree(run / "splits")  # as an import that was killed before its source manifest
    assert told(run) == {}


def test_a_plan_of_an_utterance_that_nobody_knows_is_told_in_words(run):
    plan = run / "retries" / "001" / "items.parquet"
    plan.parent.mkdir(parents=True)
    pq.write_table(pa.table({"codec": ["F01"], "utterance_id": ["p999_001"]}), plan)
    with pytest.raises(DamagedFileError, match="p999_001, which is in no source manifest"):
        status_of(run)
