"""Label files, score files, keys, protocols and settings: bad lines are counted, bad files are refused in words."""

import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from codecfake.detector.evaluation.label_keys import read_keys
from codecfake.detector.evaluation.score_formats import FORMATS, read_score_file
from codecfake.detector.score_files import read_scores, read_unreadable
from codecfake.detector.sources.protocols import read_header_csv, read_words
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.label_files import read_label_file
from codecfake.pipeline.config import RunConfig, make_config, read_settings
from codecfake.pipeline.corpora.folders import read_lines

WORDS = ["F01_p225_001.wav", "bonafide", "spoof", "real", "fake", "1", "0.5", "-1e999", "nan", "1_0", "[1,2]",
         "filename\tcm-score", "ID,Score,Label", "filename,cm-label", "[" * 5_000, "1" * 5_000, "A" * 5_000, "..",
         "\t", " ", ",", '"', "\n", "\r\n", "\r", "\0", "\ufeff", "\x1e", "\x85", "\u2028", "é"]  # fmt: skip
TEXTS = st.lists(st.sampled_from([word.encode() for word in WORDS]) | st.binary(max_size=8), max_size=12).map(
    b"".join
)
SLOW = pytest.mark.timeout(60)


@given(content=TEXTS)
@example(content=b'ID,Score,Label\na,"' + b"x" * 200_000 + b'",1\n')
@example(content=b"ID,Score,Label\na,[" + b"[" * 5_000 + b",1\n")
@example(content=b"filename\tcm-score\n\xff\t0.5\n")
@example(content=b"\x1f\x8b" + b"\0" * 30)
def test_any_text_is_read_or_refused(tmp_path, content):
    path = tmp_path / "dev.tsv"
    path.write_bytes(content)
    readers = [
        lambda: read_score_file(path),
        *(lambda name=name: read_score_file(path, name) for name in FORMATS),
    ]
    readers += [lambda: read_keys([path]), lambda: read_scores(tmp_path, "dev"), lambda: read_settings(path)]
    readers += [lambda: read_header_csv(path, ["ID", "Score"], [])]
    for read in readers:
        try:
            read()
        except CodecfakeError as error:
            assert len(str(error)) < 20_000
    notes: list[str] = []
    read_words(path, ["file", "label"], notes)
    labels = read_label_file(path)
    lines = [
        line for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b" \t\r\n\v\f")
    ]
    assert labels.entries.num_rows + labels.bad_line_count == len(lines)
    read_lines(path)


def test_a_protocol_loses_its_bad_lines_alone(tmp_path):
    path = tmp_path / "protocol.txt"
    path.write_bytes(b"a.wav spoof\n\xff\xfe\nb.wav bonafide\x1e\nonly\n\nc.wav spoof")
    notes: list[str] = []
    table = read_words(path, ["file", "label"], notes)
    assert table["file"].to_pylist() == ["a.wav", "b.wav", "c.wav"]
    assert notes == ["protocol.txt: 2 lines have fewer than 2 columns and were left out"]
    path.write_bytes(b'file,label\n"a,1.wav",spoof\nb\xff.wav,spoof,odd\n\nc\xff.wav,spoof\n')
    table, notes = read_header_csv(path, ["label", "file"], notes := []), notes
    assert table["file"].to_pylist() == ["a,1.wav", "c\\xff.wav"]
    assert notes == ["protocol.txt: 1 lines have not 2 cells and were left out"]


def test_scores_with_bytes_of_another_encoding_keep_their_lines(tmp_path):
    (tmp_path / "dev.tsv").write_bytes(b"filename\tcm-score\na\x85b\t1\nc\xff\t2\n")
    assert read_scores(tmp_path, "dev") == {"a\\x85b": 1.0, "c\\xff": 2.0}
    (tmp_path / "unreadable.tsv").write_bytes(b"filename\treason\tmessage\nx\xff\tempty\t\n")
    assert read_unreadable(tmp_path) == {"x\\xff"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["F04", "~nobody/x", "s3://", "a\0b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SETTINGS = st.dictionaries(
    st.sampled_from([*RunConfig.model_fields, "preset", "vtck"]) | st.integers(), JSON, max_size=5
)


@given(given_settings=SETTINGS)
@example(given_settings={"vctk": "v", "codecs": 5})
@example(given_settings={"vctk": "v", "codecs": [["F04"]]})
@example(given_settings={"vctk": "v", "input_peak": [1]})
@example(given_settings={"vctk": "v", "input_peak": {1: 1.0}})
@example(given_settings={"vctk": "~nobody/x"})
def test_any_value_of_a_setting_is_taken_or_named(tmp_path, given_settings):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(given_settings))
    try:
        make_config(read_settings(path) | {"out": tmp_path / "run"}, str(path))
    except CodecfakeError as error:
        assert len(str(error)) < 5_000


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
HOSTILE = {
    "a billion aliases": LAUGHS + "codecs: *j\n",
    "flow nesting": "vctk: " + "[" * 60_000,
    "map nesting": "{a: " * 15_000,
    "block nesting": "\n".join(" " * depth + "a:" for depth in range(300)),
    "a number of 5,000 digits": "limit: " + "9" * 5_000,
    "a day that is none": "limit: 2001-99-99",
    "a tag of Python": "vctk: !!python/object/apply:os.system [id]",
    "a list as a key": "? [a]\n: b",
    "a key without an end": "? " + "a" * 60_000,
    "20,000 unknown settings": "".join(f"k{number}: v\n" for number in range(5_000)),
    "a megabyte": "vctk: " + "x" * 1_000_000,
    "pairs": "vctk: v\ncodecs: !!omap [a: 1]",
}


@SLOW
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_refused_at_once(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(CodecfakeError) as refused:
        make_config(read_settings(path) | {"out": tmp_path / "run"})
    assert time.process_time() - began < 5
    assert len(str(refused.value)) < 5_000


@SLOW
@pytest.mark.parametrize("text", ["x = " + "[" * 60_000, "x = " + "{a = " * 10_000, "a." * 30_000 + "b = 1",
                                  "limit = " + "9" * 5_000, "x = 2001-99-99", b"\xed\xa0\x80"])  # fmt: skip
def test_hostile_toml_is_refused_at_once(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CodecfakeError):
        make_config(read_settings(path) | {"out": tmp_path / "run"})


def test_settings_may_still_use_what_yaml_offers(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("vctk: 'corpora/a [b] *c &d'\ncodecs:\n- F04\n- F07\ninput_peak: {F04: 0.5}\n")
    config = make_config(read_settings(path) | {"out": tmp_path / "run"})
    assert (config.vctk.name, config.codecs, config.input_peak) == (
        "a [b] *c &d",
        ("F04", "F07"),
        {"F04": 0.5},
    )


def test_json_that_is_no_object_is_no_setting(tmp_path):
    for content in (json.dumps([1]), "null", "5", ""):
        path = Path(tmp_path / "run.yaml")
        path.write_text(content)
        with pytest.raises(CodecfakeError):
            read_settings(path)
