import gzip
from pathlib import Path

import numpy as np
import pytest

from codecfake.detector.evaluation.label_keys import read_keys
from codecfake.detector.evaluation.score_formats import FORMATS, read_score_file
from codecfake.detector.score_files import publish_scores
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.label_files import write_label_files
from codecfake.manifests.labels import Label

SCORES = {"LA_E_1": 2.5, "LA_E_2": -0.125, "LA_E_3": 1e-21, "LA_E_4": -7.0}
REAL = ("LA_E_1", "LA_E_3")
LABELS = [Label.BONA_FIDE, Label.SPOOF, Label.BONA_FIDE, Label.SPOOF]


def word(name: str, real: str, fake: str) -> str:
    return real if name in REAL else fake


LAYOUTS = {
    "tsv": "filename\tcm-score\n" + "".join(f"{n}\t{s!r}\n" for n, s in SCORES.items()),
    "authors": "".join(f"{n} {s!r} {word(n, 'real', 'fake')}\n" for n, s in SCORES.items()),
    "asvspoof2019": "".join(
        f"{n} {word(n, '-', 'A07')} {word(n, 'bonafide', 'spoof')} {s!r}\n" for n, s in SCORES.items()
    ),
    "asvspoof2021": "".join(f"{n} {s!r}\n" for n, s in SCORES.items()),
    "antideepfake": "ID,Score,Label\n"
    + "".join(f'{n},"[{1 - s!r}, {1.0!r}]",{word(n, "1", "0")}\n' for n, s in SCORES.items()),
}


def write(path: Path, text: str, *, zipped: bool = False) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_recognised_and_read(tmp_path: Path, name: str, zipped: bool) -> None:
    assert LAYOUTS.keys() == FORMATS.keys()
    read = read_score_file(write(tmp_path / "C1_result.txt", LAYOUTS[name], zipped=zipped))
    assert (read.format.name, read.files) == (name, list(SCORES))
    assert read.scores.tolist() == pytest.approx(list(SCORES.values()))
    assert not read.bad.first
    assert (read.labels is None) == (name in ("tsv", "asvspoof2021"))
    if read.labels is not None:
        assert read.labels.tolist() == LABELS
    if name == "asvspoof2019":
        assert read.attacks.tolist() == ["-", "A07", "-", "A07"]
    elif name == "authors":
        assert read.scores.tolist() == list(SCORES.values())


def test_what_we_write_is_what_we_read(tmp_path: Path) -> None:
    scores = {"a.wav": 0.1 + 0.2, "b.wav": -1e300, "c.wav": 5e-324}
    publish_scores(tmp_path, "C4", scores)
    read = read_score_file(tmp_path / "C4.tsv")
    assert dict(zip(read.files, read.scores.tolist(), strict=True)) == scores


@pytest.mark.parametrize("name", ["authors", "asvspoof2019", "asvspoof2021"])
def test_first_row_of_a_file_without_header_is_read(tmp_path: Path, name: str) -> None:
    """Trap: AntiDeepfake reads such files with a header and loses their first row."""
    read = read_score_file(write(tmp_path / "scores.txt", LAYOUTS[name]))
    assert read.files[0] == "LA_E_1"


def test_header_of_a_file_that_should_have_none_is_set_aside_and_said(tmp_path: Path) -> None:
    read = read_score_file(write(tmp_path / "scores.txt", "name score label\n" + LAYOUTS["authors"]))
    assert read.files == list(SCORES)
    assert read.bad.counts == {"score that is no number (a header?)": 1}
    assert "first in line 1: 'name score label'" in read.bad.summary(read.path)


def test_tsv_without_its_header_loses_no_row(tmp_path: Path) -> None:
    headless = LAYOUTS["tsv"].partition("\n")[2]
    read = read_score_file(write(tmp_path / "scores.tsv", headless))
    assert (read.format.name, read.files) == ("asvspoof2021", list(SCORES))
    with pytest.raises(CodecfakeError, match="not with the header of filename<TAB>cm-score"):
        read_score_file(tmp_path / "scores.tsv", "tsv")


def test_bad_lines_are_counted_and_named(tmp_path: Path) -> None:
    odd = "\ufeffgood.wav 0.5 real\r\n\r\nnan.wav nan fake\nbig.wav 1e999 real\nwhat.wav 0.5 maybe\n"
    odd += "good.wav 0.7 real\nshort 0.5\nother.wav 0.25 fake\nlast.wav 0.1 fake\n"
    read = read_score_file(write(tmp_path / "scores.txt", odd))
    assert (read.files, read.scores.tolist()) == (["good.wav", "other.wav", "last.wav"], [0.5, 0.25, 0.1])
    assert read.bad.counts == {
        "score that is not finite": 2,
        "unknown label": 1,
        "name that occurred before; the first line of it counts": 1,
        "2 columns instead of 3": 1,
    }
    assert [line.number for line in read.bad.first] == [3, 4, 5, 6, 7]


def test_names_may_hold_spaces_when_the_format_is_plain(tmp_path: Path) -> None:
    read = read_score_file(write(tmp_path / "scores.txt", "my file.wav 0.5 real\nother one.wav 0.2 fake\n"))
    assert read.files == ["my file.wav", "other one.wav"]
    paths = write(tmp_path / "arena.txt", "/data/my file.wav 0.5\n/data/b c.wav 0.2\n")
    with pytest.raises(CodecfakeError, match=r"3 columns without a label(.|\n)*--format asvspoof2021"):
        read_score_file(paths)
    assert read_score_file(paths, "asvspoof2021").files == ["/data/my file.wav", "/data/b c.wav"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F01_a.wav fake 1\nb.wav real 0\n", "it is a list of labels"),
        ("LA_0069 LA_D_1047731 - - bonafide\n", "it is a list of labels"),
        ("a 0.5 0.25\nb 0.5 0.5\n", "3 columns without a label"),
        (
            "a.wav 0.5 real\nb.wav A07 spoof 0.5\n",
            "its lines are of several formats: authors 1, asvspoof2019 1",
        ),
        ("{}\n", "no score file, or is damaged"),
        ("", "is empty"),
        ("\n\n", "is empty"),
    ],
)
def test_what_is_not_recognised_says_how_to_name_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CodecfakeError, match=message):
        read_score_file(write(tmp_path / "scores.txt", text))


def test_damaged_and_unknown_files(tmp_path: Path) -> None:
    cut = tmp_path / "C1_result.txt.gz"
    cut.write_bytes(gzip.compress((LAYOUTS["authors"] * 500).encode())[:-40])
    with pytest.raises(CodecfakeError, match="cannot be unpacked"):
        read_score_file(cut)
    with pytest.raises(CodecfakeError, match=r"no score format 'asv'(.|\n)*antideepfake: ID,Score,Label"):
        read_score_file(cut, "asv")
    with pytest.raises(CodecfakeError, match=r"holds no score: .*2 x score that is no number"):
        read_score_file(write(tmp_path / "words.txt", "a x real\nb y fake\n"), "authors")
    with pytest.raises(CodecfakeError, match="there is no file"):
        read_score_file(tmp_path / "absent.txt")


KEYS = {
    "codecfake label file": "LA_E_1.wav real 0\nLA_E_2.wav fake 1\n",
    "asvspoof 2019": "LA_0001 LA_E_1 - - bonafide\nLA_0001 LA_E_2 - A07 spoof\n",
    "asvspoof 2021 LA": (
        "LA_0009 LA_E_1 alaw ita_tx - bonafide notrim eval\nLA_0009 LA_E_2 alaw ita_tx A07 spoof notrim eval\n"
    ),
    "asvspoof 2021 DF": (
        "LA_0023 LA_E_1 nocodec asvspoof - bonafide notrim eval - - - - -\n"
        "LA_0023 LA_E_2 nocodec asvspoof A07 spoof notrim eval traditional_vocoder - - - -\n"
    ),
    "asvspoof 5": "E_1 LA_E_1 F C05 2 - - bonafide bonafide -\nE_1 LA_E_2 F - 0 - AC1 A07 spoof -\n",
    "asvspoof 5 key": "filename\tcm-label\nLA_E_1\tbonafide\nLA_E_2\tspoof\n",
    "in the wild": "file,speaker,label\nLA_E_1.wav,Alec Guinness,bona-fide\nLA_E_2.wav,Alec Guinness,spoof\n",
    "arena": "file_name,label\nLA_E_1,bonafide\nLA_E_2,spoof\n",
    "two columns": "LA_E_1 bonafide\nLA_E_2 spoof\n",
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_the_field(tmp_path: Path, name: str) -> None:
    key = read_keys([write(tmp_path / "key.txt", KEYS[name])])
    assert key.labels == {"LA_E_1": Label.BONA_FIDE, "LA_E_2": Label.SPOOF}
    if name.startswith("asvspoof 2"):
        assert key.about["attack"]["LA_E_2"] == "A07"
    if name == "asvspoof 5":
        assert key.columns(["LA_E_2", "LA_E_1", "other"])["codec"].tolist() == ["-", "C05", ""]


def test_phases_of_asvspoof_2021_that_are_not_reported_are_known(tmp_path: Path) -> None:
    text = KEYS["asvspoof 2021 LA"] + "LA_0009 LA_E_9 alaw ita_tx A07 spoof notrim progress\n"
    key = read_keys([write(tmp_path / "trial_metadata.txt", text)])
    assert key.unscored_phases == {"LA_E_9": "progress"}


def test_keys_that_disagree_or_are_none(tmp_path: Path) -> None:
    one = write(tmp_path / "one.txt", "a.wav real 0\nodd\nb.wav perhaps 1\n")
    assert "2 x line without a known label" in read_keys([one]).notes[0]
    with pytest.raises(CodecfakeError, match="says that a is fake"):
        read_keys([one, write(tmp_path / "two.txt", "a.wav fake 1\n")])
    with pytest.raises(CodecfakeError, match="is no key that is known"):
        read_keys([write(tmp_path / "three.txt", "a b c d\n")])
    with pytest.raises(CodecfakeError, match="is empty"):
        read_keys([write(tmp_path / "four.txt", "")])


def test_our_label_files_are_keys(tmp_path: Path) -> None:
    import pyarrow as pa

    table = pa.table(
        {
            "file": ["p225_001.wav", "F04_p225_001.wav"],
            "label": ["real", "fake"],
            "method": ["0", "4"],
            "split": ["eval", "eval"],
            "conditions": [["C4"], ["C4"]],
        }
    )
    write_label_files(table, tmp_path)
    assert read_keys([tmp_path / "C4.txt"]).labels == {
        "p225_001": Label.BONA_FIDE,
        "F04_p225_001": Label.SPOOF,
    }


def test_published_file_is_read_whole(shared: Path) -> None:
    read = read_score_file(shared / "published" / "codec_w2v2aasist" / "L3_result.txt.gz")
    assert (read.format.name, len(read.files), read.bad.first) == ("authors", 99_112, [])
    assert np.bincount(read.labels).tolist() == [49_274, 49_838]
