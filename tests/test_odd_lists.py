"""Label files with odd lines, and lists that contradict themselves: nothing of a dataset disappears without a word."""

import csv
import os
from pathlib import Path

import pytest
from dataset_trees import labels_of, write_asvspoof2021, write_audio, write_codecfake, write_lines

from codecfake.detector.sources import codecfake, find_source, open_trials
from codecfake.flows.import_listing import list_dataset
from codecfake.pipeline.imports.importing import import_dataset
from codecfake.pipeline.monitor import Monitor


def problems_of(data: Path, run: Path) -> list[dict[str, str]]:
    import_dataset(run, list_dataset(data), Monitor())
    with (run / "import-problems.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def put_first(path: Path, line: str) -> None:
    path.write_text(line + path.read_text(encoding="utf-8"), encoding="utf-8")


def test_an_odd_first_line_costs_that_line_alone(tmp_path: Path) -> None:
    data = write_codecfake(tmp_path / "data")
    expected = open_trials(data)
    put_first(data / "label" / "C7.txt", "file label method id\n")
    put_first(data / "label" / "A1.txt", "\n  \n")
    put_first(data / "label" / "dev.txt", "sp ace.wav real 0\n")
    trials = open_trials(data)
    assert labels_of(trials.dev) == labels_of(expected.dev)
    assert list(trials.conditions) == list(expected.conditions)
    for name, part in expected.conditions.items():
        assert labels_of(trials.conditions[name]) == labels_of(part)
    found = {(row["where"], row["what"], row["reason"]) for row in problems_of(data, tmp_path / "run")}
    assert {
        ("C7.txt", "file label method id", "bad-line"),
        ("dev.txt", "sp ace.wav real 0", "bad-line"),
    } <= found
    assert not any(where == "A1.txt" for where, _, _ in found)


@pytest.mark.parametrize("kind", ["utf-16", "empty", "pipe", "folder"])
def test_a_list_without_a_label_is_told_and_absent(tmp_path: Path, kind: str) -> None:
    data = write_codecfake(tmp_path / "data")
    path = data / "label" / "C1.txt"
    text = path.read_text(encoding="utf-8")
    path.unlink()
    if kind == "utf-16":
        path.write_text(text, encoding="utf-16")
    elif kind == "empty":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    trials = open_trials(data)
    assert list(trials.conditions) == ["C7", "A1", "A3"]
    assert any(note.startswith("C1 is left out") and "C1.txt" in note for note in trials.notes)
    told = {row["where"] for row in problems_of(data, tmp_path / "run")}
    assert ("C1.txt" in told) == (
        kind != "empty"
    )  # an export writes an empty list where a split has no such files
    assert "F07_p227_001.wav" in (tmp_path / "run/splits/imported-codecfake/manifest.csv").read_text()


def test_lists_of_something_else_are_no_labels(tmp_path: Path) -> None:
    write_lines(tmp_path / "label" / "train.txt", ["get real help", "once upon a time", "a fox", "the end"])
    write_lines(tmp_path / "train.txt", ["path/a.wav|a transcript", "path/b.wav|another"])
    write_audio(tmp_path / "a.wav")
    assert not codecfake.recognise(tmp_path)


def test_a_file_that_is_real_and_fake_in_one_list_is_listed(tmp_path: Path) -> None:
    data = write_codecfake(tmp_path / "data")
    with (data / "label" / "C1.txt").open("a", encoding="utf-8") as labels:
        labels.write("p227_001.wav real 0\np227_001.wav fake 1\n")
    trials = open_trials(data)
    assert labels_of(trials.conditions["C1"]) == [("p227_001.wav", 0), ("F01_p227_001.wav", 1)]
    assert "C1: 1 of these lines give a file another label; the first counts" in trials.notes
    rows = [row for row in problems_of(data, tmp_path / "run") if row["reason"] == "contradiction"]
    assert [(row["where"], row["what"]) for row in rows] == [("C1", "p227_001.wav")]
    assert rows[0]["message"] == "fake here and real before; it stays real"


def test_a_key_file_with_a_header_still_has_its_track(tmp_path: Path) -> None:
    data = write_asvspoof2021(tmp_path)
    expected = {name: labels_of(part) for name, part in open_trials(data).conditions.items()}
    put_first(data / "keys" / "DF" / "CM" / "trial_metadata.txt", "speaker file codec\n\n")
    assert find_source(data).name == "asvspoof2021"
    assert {name: labels_of(part) for name, part in open_trials(data).conditions.items()} == expected
