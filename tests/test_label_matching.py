"""The authors' label files met with the files of a run."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.label_matching import assign_from_labels, place_by_labels
from codecfake.manifests.splits import SPLITS


def known(*names: str) -> pa.Table:
    labels = ["fake" if name.startswith("F0") else "real" for name in names]
    return pa.table({"file": list(names), "label": labels})


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name.replace('_', '-')}.txt").write_text(text)
    return folder


def test_files_go_where_their_labels_say(tmp_path: Path):
    write(
        tmp_path,
        train="a.wav real 0\nF04_a.wav fake 4\n",
        dev="b.wav real 0\nF04_b.wav fake 4\n",
        C4="c.wav real 0\nF04_c.wav fake 4\n",
        C7="c.wav real 0\nF07_a.wav fake 7\nF07_c.wav fake 7\n",
    )
    names = (
        "a.wav",
        "b.wav",
        "c.wav",
        "F04_a.wav",
        "F04_b.wav",
        "F04_c.wav",
        "F07_a.wav",
        "F07_c.wav",
        "d.wav",
    )
    found = assign_from_labels(tmp_path, known(*names))
    splits = dict(zip(names, (found.split + 1).tolist(), strict=True))
    assert [splits[name] for name in names] == [1, 2, 3, 1, 2, 3, 3, 3, 0]
    conditions = dict(zip(names, (found.condition_sets[i] for i in found.condition_set), strict=True))
    assert conditions["c.wav"] == ("C4", "C7") and conditions["F07_a.wav"] == ("C7",)
    assert conditions["F04_c.wav"] == ("C4",) and conditions["a.wav"] == () and conditions["d.wav"] == ()
    assert found.unnamed == 1 and found.unnamed_examples == ["d.wav"]
    assert all(match.without_file == match.contradictions == match.bad_lines == 0 for match in found.matches)

    utterances = pa.array([0, 1, 2, 0, 1, 2, 0, 2, 3]).to_numpy()
    placement = place_by_labels(found, utterances)
    origin = [SPLITS[code] for code in placement.source_split]
    assert origin[6] == "train" and origin[2] == origin[7] == "eval"


def test_everything_that_does_not_match_is_reported(tmp_path: Path):
    write(
        tmp_path,
        train="a.wav real 0\na.wav real 0\nb.wav fake 4\ngone.wav real 0\nbroken line\n",
        dev="a.wav real 0\n",
        C4="",
        A1="x.wav real L1\n",
        L2="x.wav real L2\n",
        C3_1="x.wav real 0\n",
        readme="not a label\n",
    )
    found = assign_from_labels(tmp_path, known("a.wav", "b.wav"))
    assert [match.name for match in found.matches] == ["train", "dev", "C4"]
    train, dev, _ = found.matches
    assert (train.labels, train.matched, train.without_file, train.without_file_examples) == (
        4,
        3,
        1,
        ["gone.wav"],
    )
    assert (train.contradictions, train.contradiction_examples, train.repeated) == (1, ["b.wav"], 1)
    assert train.bad_lines == 1 and train.bad_line_examples[0].startswith("line 5: 2 columns")
    assert (dev.elsewhere, dev.elsewhere_examples) == (1, ["a.wav"])
    assert [SPLITS[code] for code in found.split] == ["train", "train"]
    assert found.ignored == ["A1.txt", "C3-1.txt", "L2.txt", "readme.txt"]


def test_a_folder_without_label_files_is_refused(tmp_path: Path):
    write(tmp_path, A1="x.wav real L1\n")
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CodecfakeError, match="no label files"):
            assign_from_labels(folder, known("a.wav"))


def test_the_published_eval_list_against_a_tiny_run(tmp_path: Path, shared: Path):
    with gzip.open(shared / "published/codec_w2v2aasist/C1_result.txt.gz", "rt") as handle:
        scored = [line.split() for line in handle]
    text = "".join(f"{name} {label} {int(label == 'fake')}\n" for name, _, label in scored)
    write(tmp_path, C1=text)
    run = known(
        "SSB05440084.wav", "F01_SSB05440084.wav", "F01_p276_290.wav", "p225_999.wav", "F04_p276_290.wav"
    )
    found = assign_from_labels(tmp_path, run)
    (match,) = found.matches
    assert (match.labels, match.matched, match.without_file) == (26_456, 3, 26_453)
    assert match.without_file_examples[0] == "F01_SSB10200396.wav" and match.bad_lines == 0
    assert match.contradictions == match.repeated == match.elsewhere == 0
    assert found.unnamed_examples == ["p225_999.wav", "F04_p276_290.wav"]
