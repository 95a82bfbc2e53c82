from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from detector_run import SPLIT, make_run

from codecfake.detector.trials import as_objects, digest_lists, empty_trials, read_trials
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("trials") / "run", train=2, dev=1, evaluation=2)


def test_columns_of_a_run_pair_a_bona_fide_file_with_its_fakes(run_dir: Path) -> None:
    trials = read_trials(run_dir, SPLIT).conditions["C7"]
    assert trials.files[-2:] == ["p225_005.wav", "F07_p225_005.wav"]
    assert sorted(trials.columns) == [
        "codec",
        "corpus",
        "language",
        "seconds",
        "sex",
        "speaker",
        "utterance_id",
    ]
    assert trials.columns["utterance_id"][-2:].tolist() == ["p225_005", "p225_005"]
    assert trials.columns["codec"][-2:].tolist() == ["real", "F07"]
    assert (trials.columns["seconds"].dtype, trials.columns["seconds"][0]) == (np.float64, 0.75)
    assert {len(column) for column in trials.columns.values()} == {len(trials)}


def test_part_of_a_list(run_dir: Path) -> None:
    train = read_trials(run_dir, SPLIT).train
    some = train.take([3, 0])
    assert (some.files, some.labels.tolist(), some.name) == (
        ["F04_p225_002.wav", "p225_001.wav"],
        [1, 0],
        "train",
    )
    assert some.path(1) == train.path(0)
    assert some.columns["codec"].tolist() == ["F04", "real"]
    assert (some.count(Label.BONA_FIDE), some.count(Label.SPOOF)) == (1, 1)
    assert some.digest() != train.digest() == train.take(range(len(train))).digest()
    assert digest_lists([some, train]) != digest_lists([train, some])
    with pytest.raises(CodecfakeError, match="train: 0 bona fide and 1 spoof files; both classes are needed"):
        train.take([1]).require_both_classes()
    assert len(empty_trials("dev", run_dir)) == 0


def test_manifest_of_another_version_or_with_a_repeated_name_is_refused(
    run_dir: Path, tmp_path: Path
) -> None:
    table = pq.read_table(run_dir / "splits" / SPLIT / "manifest.parquet")
    path = tmp_path / "splits" / SPLIT / "manifest.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table.drop_columns(["conditions"]), path)
    with pytest.raises(CodecfakeError, match="has no column 'conditions'"):
        read_trials(tmp_path, SPLIT)
    pq.write_table(table.take([0, 0]), path)
    with pytest.raises(CodecfakeError, match="a file name occurs twice"):
        read_trials(tmp_path, SPLIT)
    pq.write_table(table.slice(0, 0), path)
    assert read_trials(tmp_path, SPLIT).conditions == {}


def test_equal_strings_are_one_object() -> None:
    import pyarrow as pa

    column = as_objects(pa.chunked_array([["a", "b"], ["a", None]]))
    assert column.tolist() == ["a", "b", "a", ""]
    assert column[0] is column[2]


@pytest.mark.parametrize(
    ("word", "label"),
    [
        *[(word, Label.BONA_FIDE) for word in ("real", "bonafide", "bona-fide", "genuine")],
        *[(word, Label.SPOOF) for word in ("fake", "spoof", "spoofing")],
    ],
)
def test_words_for_labels(word: str, label: Label) -> None:
    assert Label.parse(word) is label


def test_other_words_are_no_labels() -> None:
    for word in ("", "Real", "1", "target", "L1"):
        with pytest.raises(ValueError, match="is no label"):
            Label.parse(word)
