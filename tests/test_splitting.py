"""The splitting step of a run."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from split_tables import RECORDS, make_items, make_source, vctk_ids

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import splitting
from codecfake.pipeline.splitting import make_split

IDS = vctk_ids(4, 5)


def ignore(line: str) -> None:
    pass


def split(
    run_dir: Path, codecs=("F04", "F07"), bad=(), policy="published", labels=None, seed=0, report=ignore
):
    source = make_source(IDS, bad)
    items = make_items(source, codecs, run_dir)
    return make_split(run_dir, source, items, RECORDS, policy=policy, labels=labels, seed=seed, report=report)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def test_a_split_is_exactly_these_files(tmp_path: Path):
    made = split(tmp_path)
    assert made.is_new and made.name == "published-seed0" and made.warnings == []
    assert made.folder == tmp_path / "splits" / "published-seed0"
    table = pq.read_table(made.folder / "manifest.parquet")
    expected = {"SHA256SUMS", "manifest.parquet", "manifest.csv", "splits.json"}
    expected |= {f"Codecfake/label/{name}.txt" for name in ("train", "dev", "C4", "C7")}
    for row in table.to_pylist():
        folders = [f"test/{name}" for name in row["conditions"]] or [row["split"]]
        expected |= {f"Codecfake/{folder}/{row['file']}" for folder in folders}
    found = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()}
    assert found == expected
    # 20 utterances: 16 train, 2 dev, 2 eval.
    assert len(found) == 4 + 4 + 16 * 2 + 2 * 2 + (2 + 2) + (2 + 20)
    assert [path.name for path in (tmp_path / "splits").iterdir()] == ["published-seed0"]

    summary = json.loads((made.folder / "splits.json").read_text())
    assert (summary["policy"], summary["seed"], len(summary["input_digest"])) == ("published", 0, 64)
    totals = {name: counts["total"] for name, counts in (summary["splits"] | summary["conditions"]).items()}
    assert totals == {"train": 32, "dev": 4, "eval": 24, "C4": 4, "C7": 22}
    assert summary["in_no_split"] == {} and summary["quarantined"] == {} and summary["copied_files"] == 0


def test_a_second_run_changes_nothing(tmp_path: Path):
    first = split(tmp_path)
    before = snapshot(tmp_path / "splits")
    lines: list[str] = []
    second = split(tmp_path, report=lines.append)
    assert not second.is_new and second.summary == first.summary and lines[-1].endswith("up to date")
    assert snapshot(tmp_path / "splits") == before


def test_a_retry_supersedes_and_moves_no_utterance(tmp_path: Path):
    bad = [IDS[0], IDS[7]]
    split(tmp_path, bad=bad)
    old = tmp_path / "splits" / "published-seed0"
    before = {row["file"]: row["split"] for row in pq.read_table(old / "manifest.parquet").to_pylist()}
    assert json.loads((old / "splits.json").read_text())["quarantined"] == {"real": 2, "F04": 2, "F07": 2}

    made = split(tmp_path)
    assert made.superseded == tmp_path / "splits" / "published-seed0.superseded-1"
    assert len(pq.read_table(made.superseded / "manifest.parquet")) == len(before) == 54
    after = {row["file"]: row["split"] for row in pq.read_table(made.folder / "manifest.parquet").to_pylist()}
    assert before.items() < after.items() and len(after) == 60

    assert split(tmp_path, bad=[IDS[1]]).superseded.name == "published-seed0.superseded-2"


def test_a_killed_split_leaves_nothing_published_and_is_finished_later(tmp_path: Path, monkeypatch):
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(splitting, "write_label_files", die)
    with pytest.raises(KeyboardInterrupt):
        split(tmp_path)
    assert all(path.name.startswith(".tmp-") for path in (tmp_path / "splits").iterdir())
    monkeypatch.undo()
    made = split(tmp_path)
    assert made.is_new and made.tree.kept == 62 and made.tree.linked == 0
    assert [path.name for path in (tmp_path / "splits").iterdir()] == ["published-seed0"]


def test_other_seeds_and_policies_live_side_by_side(tmp_path: Path):
    split(tmp_path)
    split(tmp_path, seed=1)
    made = split(tmp_path, policy="speaker-disjoint", seed=3)
    names = sorted(path.name for path in (tmp_path / "splits").iterdir())
    assert names == ["published-seed0", "published-seed1", "speaker-disjoint-seed3"]
    rows = pq.read_table(made.folder / "manifest.parquet").to_pylist()
    homes: dict[str, set[str]] = {}
    for row in rows:
        homes.setdefault(row["speaker"], set()).add(row["split"])
    assert len(homes) == 4 and all(len(splits) == 1 for splits in homes.values())
    # 4 speakers of 5 utterances: 2 train, 1 dev, 1 eval; F07 of train and dev speakers is in no split.
    assert made.summary["in_no_split"] == {"F07": 15}
    assert made.summary["conditions"]["C7"]["total"] == 10 and len(rows) == 60 - 15


def test_without_a_seen_codec_the_split_is_made_with_a_warning(tmp_path: Path):
    made = split(tmp_path, codecs=("F07", "mimi"))
    assert made.warnings[:2] == ["train has no fake files", "dev has no fake files"]
    assert "F01 to F06" in made.warnings[2]
    assert sorted(path.name for path in (made.folder / "Codecfake/test").iterdir()) == ["C-mimi", "C7"]


def test_label_files_of_another_split_give_it_back(tmp_path: Path):
    ours = split(tmp_path, codecs=("F01", "F07", "mimi"), seed=5)
    labels = ours.folder / "Codecfake" / "label"
    (labels / "A1.txt").write_text("x.wav real L1\n")
    made = split(tmp_path, codecs=("F01", "F07", "mimi"), labels=labels)
    assert made.name == f"labels-{made.summary['labels']['sha256'][:8]}" and made.summary["seed"] is None
    assert made.warnings == [] and made.summary["labels"]["ignored"] == ["A1.txt"]
    tables = [pq.read_table(one.folder / "manifest.parquet") for one in (ours, made)]
    assert tables[0].equals(tables[1])


def test_what_labels_and_files_do_not_share_is_in_the_report(tmp_path: Path):
    labels = tmp_path / "label"
    labels.mkdir()
    (labels / "train.txt").write_text(f"{IDS[0]}.wav real 0\nF04_{IDS[0]}.wav fake 4\np999_001.wav real 0\n")
    (labels / "C4.txt").write_text(f"{IDS[1]}.wav real 0\nF04_{IDS[1]}.wav real 4\n")
    made = split(tmp_path, labels=labels)
    assert made.warnings == [
        *("dev has no real files", "dev has no fake files"),
        "train.txt: 1 labels have no file in this run",
        "C4.txt: 1 labels contradict how the file was made; its true label is kept",
        "56 files of this run are named by no label file",
    ]
    assert made.summary["in_no_split"] == {"real": 18, "F04": 18, "F07": 20}
    assert made.summary["labels"]["files"][0]["without_file_examples"] == ["p999_001.wav"]


def test_labels_that_name_no_file_of_the_run_are_refused(tmp_path: Path):
    (tmp_path / "train.txt").write_text("x.wav real 0\n")
    with pytest.raises(CodecfakeError, match="would be empty"):
        split(tmp_path, labels=tmp_path)


def test_a_run_without_usable_audio_is_refused(tmp_path: Path):
    source = make_source(IDS, bad=IDS)
    items = make_items(source, ["F04"])
    with pytest.raises(CodecfakeError, match="no usable audio"):
        make_split(tmp_path, source, items, RECORDS, policy="published", labels=None, seed=0, report=ignore)
    with pytest.raises(CodecfakeError, match="no usable audio"):
        make_split(
            tmp_path,
            source,
            pa.Table.from_batches([], items.schema),
            RECORDS,
            policy="published",
            labels=None,
            seed=0,
            report=ignore,
        )


def test_a_damaged_split_folder_is_moved_aside(tmp_path: Path):
    folder = tmp_path / "splits" / "published-seed0"
    folder.mkdir(parents=True)
    (folder / "splits.json").write_text('{"input_di')
    made = split(tmp_path)
    assert made.is_new and (made.superseded / "splits.json").read_text() == '{"input_di'
