"""Codecfake's label files: reading, writing, and hostile content."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from split_tables import RECORDS, make_items, make_source, vctk_ids

from codecfake.manifests.dataset import build_dataset_table
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.label_files import read_label_file, write_label_files
from codecfake.manifests.splits import assign_published, place_items


def read_text(folder: Path, content: bytes):
    path = folder / "train.txt"
    path.write_bytes(content)
    return read_label_file(path)


def rows(label_file) -> list[tuple[str, str, str]]:
    return [tuple(row.values()) for row in label_file.entries.to_pylist()]


def small_table():
    source = make_source([*vctk_ids(2, 10), "SSB00050001"])
    items = make_items(source, ["F04", "F07", "mimi"])
    assigned = assign_published(source["utterance_id"].to_pylist(), 0)
    placement = place_items(items, source, assigned, unseen_whole_corpus=True)
    return build_dataset_table(source, items, RECORDS, placement)


def test_reads_the_published_form(tmp_path: Path):
    read = read_text(tmp_path, b"SSB13650058.wav real 0\nF01_SSB13650058.wav fake 1\n")
    assert rows(read) == [("SSB13650058.wav", "real", "0"), ("F01_SSB13650058.wav", "fake", "1")]
    assert read.bad_lines == () and read.bad_line_count == 0


def test_byte_order_mark_windows_line_ends_blank_lines_and_a_missing_last_newline(tmp_path: Path):
    read = read_text(tmp_path, b"\xef\xbb\xbfa.wav real 0\r\n\r\n  \nb.wav  fake\t3 \r\nc.wav fake 4")
    assert rows(read) == [("a.wav", "real", "0"), ("b.wav", "fake", "3"), ("c.wav", "fake", "4")]
    assert read.bad_line_count == 0


def test_unicode_names_are_names(tmp_path: Path):
    assert rows(read_text(tmp_path, "你好.wav real 0\n".encode())) == [("你好.wav", "real", "0")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"filename label method", "label 'label' is neither real nor fake"),
        (b"a.wav REAL 0", "label 'REAL' is neither real nor fake"),
        (b"a.wav real", "2 columns, expected 3: file, real|fake, method"),
        (b"my file.wav real 0", "4 columns, expected 3: file, real|fake, method"),
        (b"../../etc/passwd fake 1", "the file name is a path; expected a name alone"),
        (b"/abs.wav fake 1", "the file name is a path; expected a name alone"),
        (b"..\\up.wav fake 1", "the file name is a path; expected a name alone"),
        (b".. fake 1", "the file name is a path; expected a name alone"),
        (b"\xff\xfe.wav fake 1", "not UTF-8 text"),
        (b"a\x00b.wav fake 1", "the file name has characters that cannot be seen"),
        ("a\u3000b.wav fake 1".encode(), "the file name has characters that cannot be seen"),
        (b"x" * 5_000 + b" fake 1", "longer than 1,024 bytes"),
    ],
)
def test_a_bad_line_is_reported_and_its_neighbours_are_read(tmp_path: Path, line: bytes, reason: str):
    read = read_text(tmp_path, b"a.wav real 0\n" + line + b"\nb.wav fake 2\n")
    assert [row[0] for row in rows(read)] == ["a.wav", "b.wav"]
    assert [(bad.number, bad.reason) for bad in read.bad_lines] == [(2, reason)]


def test_many_bad_lines_are_counted_and_the_first_kept_with_their_numbers(tmp_path: Path):
    content = b"".join(b"good%d.wav real 0\nbad\n" % number for number in range(100_000))
    read = read_text(tmp_path, content)
    assert read.entries.num_rows == 100_000 and read.bad_line_count == 100_000
    assert [bad.number for bad in read.bad_lines] == list(range(2, 2_002, 2))


def test_an_empty_file_has_no_labels(tmp_path: Path):
    read = read_text(tmp_path, b"")
    assert read.entries.num_rows == 0 and read.bad_line_count == 0


def test_what_is_written_reads_back(tmp_path: Path):
    table = small_table()
    lines = write_label_files(table, tmp_path)
    assert lines == {"train": 32, "dev": 4, "C4": 6, "C7": 24, "C-mimi": 24}
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(lines)
    expected = {"train": [], "dev": [], "C4": [], "C7": [], "C-mimi": []}
    for row in table.to_pylist():
        for name in row["conditions"] or [row["split"]]:
            expected[name].append((row["file"], row["label"], row["method"]))
    for name in lines:
        read = read_label_file(tmp_path / f"{name}.txt")
        assert rows(read) == expected[name] and read.bad_line_count == 0


def test_a_reader_that_knows_the_files_have_no_header_loses_no_row(tmp_path: Path):
    # The public AntiDeepfake protocol script reads these files with header=0 and loses the first row of each.
    lines = write_label_files(small_table(), tmp_path)
    for name, count in lines.items():
        with (tmp_path / f"{name}.txt").open(encoding="utf-8") as handle:
            found = list(csv.reader(handle, delimiter=" "))
        assert len(found) == count and all(len(row) == 3 and row[0].endswith(".wav") for row in found)
    assert (tmp_path / "C4.txt").read_bytes().startswith(b"p2") and b"\r" not in (
        tmp_path / "C4.txt"
    ).read_bytes()


def test_a_name_with_a_space_is_not_written(tmp_path: Path):
    table = small_table()
    names = table["file"].to_pylist()
    spoilt = table.set_column(0, "file", [["two words.wav", *names[1:]]])
    with pytest.raises(CodecfakeError, match=r"two words\.wav"):
        write_label_files(spoilt, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_published_eval_list_reads_whole(tmp_path: Path, shared: Path):
    with gzip.open(shared / "published/codec_w2v2aasist/C1_result.txt.gz", "rt") as handle:
        scored = [line.split() for line in handle]
    text = "".join(f"{name} {label} {'1' if label == 'fake' else '0'}\n" for name, _, label in scored)
    read = read_text(tmp_path, text.encode())
    assert read.entries.num_rows == 26_456 and read.bad_line_count == 0
    assert np.unique(read.entries["label"].to_numpy(), return_counts=True)[1].tolist() == [13_228, 13_228]
