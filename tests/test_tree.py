"""The Codecfake tree over the audio store of a run."""

import errno
import os
from pathlib import Path

import pyarrow as pa
import pytest
from split_tables import RECORDS, make_items, make_source, vctk_ids

from codecfake.manifests.dataset import build_dataset_table
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.splits import assign_published, place_items
from codecfake.pipeline.tree import link_tree


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    source = make_source(vctk_ids(1, 10))
    items = make_items(source, ["F04", "F07"], tmp_path)
    placement = place_items(
        items, source, assign_published(source["utterance_id"].to_pylist(), 0), unseen_whole_corpus=True
    )
    return build_dataset_table(source, items, RECORDS, placement)


def expected_files(table: pa.Table) -> dict[str, str]:
    """Path in the tree, and path in the run, of every file, told from the manifest alone."""
    files = {}
    for row in table.to_pylist():
        folders = [f"test/{name}" for name in row["conditions"]] if row["split"] == "eval" else [row["split"]]
        files |= {f"{folder}/{row['file']}": row["path"] for folder in folders}
    return files


def found_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def ignore(line: str) -> None:
    pass


def replace(table: pa.Table, column: str, value: str) -> pa.Table:
    values = [value, *table[column].to_pylist()[1:]]
    return table.set_column(table.column_names.index(column), column, [values])


def test_the_tree_is_exact_and_made_of_links(tmp_path: Path, table: pa.Table):
    lines: list[str] = []
    report = link_tree(tmp_path, table, tmp_path / "Codecfake", lines.append)
    expected = expected_files(table)
    # 10 utterances: 8 train and 1 dev with F04, 1 eval with F04, and F07 of all.
    assert len(expected) == 8 * 2 + 2 + (1 + 1) + (1 + 10)
    assert found_files(tmp_path / "Codecfake") == expected.keys()
    for target, path in expected.items():
        assert (tmp_path / "Codecfake" / target).samefile(tmp_path / path)
    assert (report.linked, report.copied, report.kept, report.strangers) == (31, 0, 0, 0)
    assert lines[0].startswith("Linking 31 files")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Codecfake", "shards"]


def test_a_second_call_adds_what_is_missing_and_keeps_the_rest(tmp_path: Path, table: pa.Table):
    tree = tmp_path / "Codecfake"
    link_tree(tmp_path, table, tree, ignore)
    files = sorted(tree.rglob("*.wav"))
    files[0].unlink()
    copy = files[1].read_bytes()
    files[1].unlink()
    files[1].write_bytes(copy)
    (tree / "train" / "mine.txt").write_text("a note")
    report = link_tree(tmp_path, table, tree, ignore)
    assert (report.linked, report.kept, report.strangers) == (1, 30, 1)
    assert found_files(tree) == {*expected_files(table), "train/mine.txt"}


def test_another_file_in_the_place_of_one_is_not_overwritten(tmp_path: Path, table: pa.Table):
    tree = tmp_path / "Codecfake"
    link_tree(tmp_path, table, tree, ignore)
    victim = next((tree / "train").iterdir())
    victim.unlink()
    victim.write_text("something else")
    with pytest.raises(CodecfakeError, match="none was overwritten"):
        link_tree(tmp_path, table, tree, ignore)
    assert victim.read_text() == "something else"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_files_are_copied_where_links_are_refused(tmp_path: Path, table: pa.Table, monkeypatch, code: int):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    lines: list[str] = []
    tree = tmp_path / "Codecfake"
    report = link_tree(tmp_path, table, tree, lines.append)
    assert (report.linked, report.copied) == (0, 31) and lines[-1].startswith("Copied 31 files")
    for target, path in expected_files(table).items():
        assert (tree / target).read_bytes() == (tmp_path / path).read_bytes()
        assert not (tree / target).samefile(tmp_path / path)
    assert found_files(tree) == expected_files(table).keys()
    assert link_tree(tmp_path, table, tree, lines.append).kept == 31


def test_a_full_disk_is_no_reason_to_copy(tmp_path: Path, table: pa.Table, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="No space"):
        link_tree(tmp_path, table, tmp_path / "Codecfake", ignore)
    assert not (tmp_path / "Codecfake").exists()


def test_a_killed_call_is_taken_up(tmp_path: Path, table: pa.Table, monkeypatch):
    done = []
    link = os.link

    def link_ten(source: str, target: str) -> None:
        if len(done) == 10:
            raise KeyboardInterrupt
        link(source, target)
        done.append(target)

    monkeypatch.setattr(os, "link", link_ten)
    with pytest.raises(KeyboardInterrupt):
        link_tree(tmp_path, table, tmp_path / "Codecfake", ignore)
    assert not (tmp_path / "Codecfake").exists()
    monkeypatch.undo()
    Path(done[0]).with_name(".tmp-half-a-copy").write_text("")
    report = link_tree(tmp_path, table, tmp_path / "Codecfake", ignore)
    assert (report.linked, report.kept) == (21, 10)
    assert found_files(tmp_path / "Codecfake") == expected_files(table).keys()


@pytest.mark.parametrize(
    "path", ["../outside.wav", "/etc/passwd", "shards/../../outside.wav", "", "a//b.wav", "C:/x", "a\\..\\b"]
)
def test_a_path_that_leads_out_of_the_run_is_refused(tmp_path: Path, table: pa.Table, path: str):
    with pytest.raises(CodecfakeError, match="out of the run folder"):
        link_tree(tmp_path, replace(table, "path", path), tmp_path / "Codecfake", ignore)
    assert not (tmp_path / "Codecfake").exists()


@pytest.mark.parametrize("name", ["../outside.wav", "a/b.wav", "..", ""])
def test_a_name_that_leads_out_of_the_tree_is_refused(tmp_path: Path, table: pa.Table, name: str):
    with pytest.raises(CodecfakeError, match="out of the run folder"):
        link_tree(tmp_path, replace(table, "file", name), tmp_path / "Codecfake", ignore)


def test_missing_audio_is_counted_and_nothing_published(tmp_path: Path, table: pa.Table):
    (tmp_path / table["path"][0].as_py()).unlink()
    with pytest.raises(CodecfakeError, match="1 files of the manifest are not in the audio store"):
        link_tree(tmp_path, table, tmp_path / "Codecfake", ignore)
    assert not (tmp_path / "Codecfake").exists()
