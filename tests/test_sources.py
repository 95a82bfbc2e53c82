import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dataset_trees import (
    CODECFAKE15,
    labels_of,
    write_asvspoof5,
    write_asvspoof2019,
    write_asvspoof2021,
    write_audio,
    write_codecfake,
    write_codecfake15,
    write_in_the_wild,
    write_lines,
    write_published_labels,
)
from detector_run import SPLIT, make_run

from codecfake.detector.loading import read_crop
from codecfake.detector.sources import open_trials
from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label


def sizes(trials) -> dict[str, int]:
    parts = {"train": trials.train, "dev": trials.dev} | trials.conditions
    return {name: len(part) for name, part in parts.items()}


def all_are_there(trials) -> bool:
    parts = [trials.train, trials.dev, *trials.conditions.values()]
    return all(part.path(i).is_file() for part in parts for i in range(len(part)))


@pytest.mark.parametrize("nested", ["", "test/"])
def test_codecfake_download(tmp_path: Path, nested: str) -> None:
    root = write_codecfake(tmp_path / "Codecfake", nested=nested)
    trials = open_trials(root)
    assert (trials.name, sizes(trials)) == (
        "codecfake",
        {"train": 4, "dev": 2, "C1": 2, "C7": 3, "A1": 2, "A3": 3},
    )
    assert labels_of(trials.conditions["C7"]) == [
        ("p227_001.wav", 0),
        ("F07_p227_001.wav", 1),
        ("F07_p225_001.wav", 1),
    ]
    # A bona fide file lies in every condition's folder; each condition reads its own copy.
    assert trials.conditions["C1"].relative_paths[0] == f"{nested}C1/p227_001.wav"
    assert trials.conditions["C7"].relative_paths[0] == f"{nested}C7/p227_001.wav"
    train = {name: column.tolist() for name, column in trials.train.columns.items()}
    assert train == {
        "utterance_id": ["p225_001", "p225_001", "SSB00050001", "SSB00050001"],
        "codec": ["real", "F01", "real", "F06"],
        "corpus": ["vctk", "vctk", "aishell3", "aishell3"],
        "language": ["en", "en", "zh", "zh"],
        "speaker": ["p225", "p225", "SSB0005", "SSB0005"],
    }
    assert trials.conditions["A1"].columns["codec"].tolist() == ["real", "A1"]
    assert trials.conditions["A3"].labels.tolist() == [
        0,
        0,
        1,
    ]  # not by the third column, which is L3 for all
    # Mixed rates all give the 16 kHz window.
    assert {read_crop(trials.train.path(i)).shape for i in range(4)} == {(64_600,)}


def test_missing_reals_of_a3_are_told_and_the_rest_is_there(tmp_path: Path) -> None:
    trials = open_trials(write_codecfake(tmp_path))
    assert len(trials.notes) == 1
    assert trials.notes[0].startswith(
        "A3: 2 of 3 files are missing (2 bona fide, 0 spoof), such as Yabc-1_2.wav; the bona fide files of A3 are in "
        "no published copy"
    )
    a3 = trials.conditions["A3"]
    assert [a3.path(i).is_file() for i in range(3)] == [False, False, True]
    assert a3.relative_paths[0] == "A3/Yabc-1_2.wav"


def test_codecfake_in_odd_places(tmp_path: Path) -> None:
    """L1 is A1, FLAC mirrors, reals shipped once, a label folder of its own, bad and repeated lines."""
    root = write_codecfake(tmp_path / "tree")
    (root / "label" / "A1.txt").rename(root / "label" / "L1.txt")
    (root / "test" / "A1").rename(root / "L1")
    (root / "test" / "C7" / "p227_001.wav").unlink()
    (root / "dev" / "p226_001.wav").unlink()
    write_audio(root / "dev" / "p226_001.flac")
    with (root / "label" / "dev.txt").open("a") as handle:
        handle.write("p226_001.wav real 0\nno label\n")
    (root / "label").rename(tmp_path / "tree" / "train" / "label")
    trials = open_trials(root)
    assert trials.conditions["A1"].relative_paths == ["L1/p227_001.wav", "L1/L1_p227_001.wav"]
    assert trials.conditions["C7"].relative_paths[0] in ("test/C1/p227_001.wav", "L1/p227_001.wav")
    assert trials.dev.relative_paths == ["dev/p226_001.flac", "dev/F04_p226_001.wav"]
    assert trials.dev.files[0] == "p226_001.wav"
    assert [note.split(";")[0] for note in trials.notes][:2] == [
        "dev.txt: 1 lines are no labels, such as line 4: 2 columns, expected 3: file, real|fake, method",
        "dev: 1 lines name a file once more and were left out",
    ]


def test_tree_of_our_own_split(tmp_path: Path) -> None:
    """Codecs of other packages have their name as method and as prefix, and a condition of their own."""
    tree = tmp_path / "Codecfake"
    write_lines(tree / "label" / "train.txt", ["p225_001.wav real 0", "F04_p225_001.wav fake 4"])
    write_lines(tree / "label" / "C4.txt", ["p227_001.wav real 0", "F04_p227_001.wav fake 4"])
    write_lines(tree / "label" / "C-mimi.txt", ["p227_001.wav real 0", "mimi_p227_001.wav fake mimi"])
    write_audio(tree / "test" / "C-mimi" / "mimi_p227_001.wav")
    trials = open_trials(tree)
    mimi = trials.conditions["C-mimi"]
    assert list(trials.conditions) == ["C4", "C-mimi"]
    assert mimi.columns["utterance_id"].tolist() == ["p227_001", "p227_001"]
    assert mimi.columns["codec"].tolist() == ["real", "mimi"]
    assert mimi.relative_paths[1] == "test/C-mimi/mimi_p227_001.wav"


def test_a_codec_whose_name_begins_that_of_another(tmp_path: Path) -> None:
    """As two of CodecFake's fifteen; the shorter one may come first in a list of both."""
    tree, short, long = tmp_path / "Codecfake", "hifi_16k_320d", "hifi_16k_320d_large_uni"
    lines = ["p225_001.wav real 0", *(f"{name}_p225_001.wav fake {name}" for name in (short, long))]
    write_lines(tree / "label" / "train.txt", [*lines, f"{long}+p226_001.wav fake {long}"])
    columns = open_trials(tree).train.columns
    assert columns["utterance_id"].tolist() == ["p225_001"] * 3 + ["p226_001"]
    assert columns["speaker"].tolist() == ["p225"] * 3 + ["p226"]
    assert set(columns["corpus"]) == {"vctk"}


def test_a_million_labels_open_in_seconds_and_bounded_memory(tmp_path: Path) -> None:
    """The published counts (arXiv 2405.04880, figure 3), without audio."""
    lines = write_published_labels(tmp_path / "label")
    assert lines == 740_747 + 92_596 + 6 * 26_456 + 145_505
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    trials = open_trials(tmp_path)
    seconds = time.process_time() - started
    growth_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert sizes(trials) == {"train": 740_747, "dev": 92_596, "C7": 145_505} | {
        f"C{i}": 26_456 for i in range(1, 7)
    }
    assert (trials.train.count(Label.BONA_FIDE), trials.train.count(Label.SPOOF)) == (105_821, 634_926)
    assert len(set(trials.conditions["C7"].columns["utterance_id"])) == 132_277
    parts = [trials.train, *trials.evaluated()]
    assert (
        len({file for part in parts for file in part.files}) == 1_058_216
    )  # 132,277 bona fide, 925,939 spoof
    assert trials.notes[0].startswith(
        "train: 740,747 of 740,747 files are missing (105,821 bona fide, 634,926 spoof)"
    )
    assert seconds < 20, seconds
    assert growth_mib < 700, growth_mib


def test_asvspoof2019(tmp_path: Path) -> None:
    root = write_asvspoof2019(tmp_path / "LA")
    for folder in (root, tmp_path):
        trials = open_trials(folder)
        assert (trials.name, sizes(trials)) == ("asvspoof2019-la", {"train": 2, "dev": 2, "19LA": 2})
        assert all_are_there(trials)
    assert labels_of(trials.train) == [("LA_T_1138215", 0), ("LA_T_9332881", 1)]
    assert trials.conditions["19LA"].columns["attack"].tolist() == ["-", "A07"]
    assert trials.notes == []


def test_asvspoof2021_takes_the_evaluation_phase(tmp_path: Path) -> None:
    trials = open_trials(write_asvspoof2021(tmp_path))
    assert (trials.name, sizes(trials)) == ("asvspoof2021", {"train": 0, "dev": 0, "21LA": 2, "21DF": 2})
    assert labels_of(trials.conditions["21LA"]) == [("LA_E_9332881", 1), ("LA_E_7294490", 0)]
    assert trials.conditions["21LA"].columns["codec"].tolist() == ["alaw", "g722"]
    assert labels_of(trials.conditions["21DF"]) == [("DF_E_2000013", 1), ("DF_E_2000053", 0)]
    assert trials.conditions["21DF"].columns["corpus"].tolist() == ["vcc2020", "asvspoof"]
    assert trials.conditions["21DF"].columns["attack"].tolist() == ["Task1-team20", "-"]
    assert all_are_there(trials)
    assert trials.notes == [
        "21LA: 2 trials of the phases progress and hidden were left out",
        "21DF: 1 trials of the phases progress and hidden were left out",
    ]


def test_editions_of_asvspoof_are_not_mixed_up(tmp_path: Path) -> None:
    """Both editions call a file LA_E_9332881; the audio of one must never be scored with the key of the other."""
    write_asvspoof2019(tmp_path / "LA")
    write_asvspoof2021(tmp_path)
    (tmp_path / "ASVspoof2021_LA_eval" / "flac" / "LA_E_9332881.flac").unlink()
    assert open_trials(tmp_path).name == "asvspoof2019-la"
    (tmp_path / "LA" / "ASVspoof2019_LA_cm_protocols").rename(tmp_path / "elsewhere")
    trials = open_trials(tmp_path)
    assert trials.name == "asvspoof2021"
    assert not trials.conditions["21LA"].path(0).exists()
    assert "21LA: 1 of 2 files are missing (0 bona fide, 1 spoof), such as LA_E_9332881" in trials.notes


def test_asvspoof5(tmp_path: Path) -> None:
    trials = open_trials(write_asvspoof5(tmp_path))
    assert (trials.name, sizes(trials)) == ("asvspoof5", {"train": 2, "dev": 2, "ASVspoof5": 3})
    assert all_are_there(trials)
    evaluated = {name: column.tolist() for name, column in trials.conditions["ASVspoof5"].columns.items()}
    assert evaluated["codec"] == ["C05", "none", "none"]
    assert evaluated["utterance_id"] == ["E_0009486171", "E_0009486171", "E_0009249146"]
    assert (evaluated["attack"], evaluated["sex"]) == (["A26", "A26", "-"], ["M", "M", "F"])
    assert trials.conditions["ASVspoof5"].labels.tolist() == [1, 1, 0]


def test_in_the_wild(tmp_path: Path) -> None:
    root = write_in_the_wild(tmp_path)
    write_audio(root / "other" / "0.wav")
    for folder in (root, root / "release_in_the_wild"):
        trials = open_trials(folder)
        assert labels_of(trials.conditions["ITW"]) == [("0.wav", 1), ("1.wav", 0), ("2.wav", 0)]
        assert trials.conditions["ITW"].path(0) == root / "release_in_the_wild" / "0.wav"
    assert trials.conditions["ITW"].columns["speaker"].tolist() == [
        "Alec Guinness",
        "King, Jr.",
        "Alec Guinness",
    ]


@pytest.mark.parametrize("with_list", [True, False])
def test_codecfake_of_fifteen_codecs_is_split_by_speaker(tmp_path: Path, with_list: bool) -> None:
    trials = open_trials(write_codecfake15(tmp_path, with_list=with_list))
    assert (trials.name, list(trials.conditions)) == ("codecfake-15", sorted(CODECFAKE15))
    assert set(trials.train.columns["speaker"]) == {"p225"}
    assert set(trials.dev.columns["speaker"]) == {"p226", "p229"}
    for codec, part in trials.conditions.items():
        assert set(part.columns["speaker"]) == {"p227", "p228"}
        assert set(part.columns["codec"]) == {"real", codec}
        assert (part.count(Label.BONA_FIDE), part.count(Label.SPOOF)) == (2, 2)
    assert all_are_there(trials)


def test_run_folder_and_its_splits(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run", train=1, dev=1, evaluation=1)
    trials = open_trials(run_dir)
    assert (trials.name, sizes(trials)) == (SPLIT, {"train": 2, "dev": 2, "C4": 2, "C7": 4})
    assert trials.train.columns["utterance_id"].tolist() == ["p225_001", "p225_001"]
    assert trials.train.columns["seconds"].tolist() == [0.75, 0.75]
    assert [part.name for part in trials.evaluated()] == ["dev", "C4", "C7"]
    (run_dir / "splits" / SPLIT).rename(run_dir / "splits" / "other")
    make_run(tmp_path / "second", train=1, dev=1, evaluation=1)
    (tmp_path / "second" / "splits" / SPLIT).rename(run_dir / "splits" / SPLIT)
    with pytest.raises(CodecfakeError, match=f"has several splits: other, {SPLIT}"):
        open_trials(run_dir)
    assert open_trials(run_dir, "other").name == "other"


def test_an_unknown_folder_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    with pytest.raises(CodecfakeError) as error:
        open_trials(tmp_path)
    for word in (
        "splits/NAME",
        "label/train.txt",
        "ASVspoof 2019",
        "trial_metadata",
        "ASVspoof5",
        "meta.csv",
        "datalist",
    ):
        assert word in error.value.what
    with pytest.raises(CodecfakeError, match="is no folder"):
        open_trials(tmp_path / "absent")
    with pytest.raises(CodecfakeError, match="is no run folder, so it has no split"):
        open_trials(write_in_the_wild(tmp_path), "published-seed0")


def test_digest_tells_other_labels_but_not_other_places(tmp_path: Path) -> None:
    first = open_trials(write_codecfake(tmp_path / "a"))
    second = open_trials(write_codecfake(tmp_path / "b", nested=""))
    assert first.digest == second.digest
    label_file = tmp_path / "b" / "label" / "C1.txt"
    label_file.write_text(
        label_file.read_text().replace("F01_p227_001.wav fake 1", "F01_p227_001.wav real 0")
    )
    assert open_trials(tmp_path / "b").digest != first.digest
    assert first.train.take([1, 0]).digest() != first.train.digest()
    assert np.array_equal(first.train.take([3]).columns["codec"], ["F06"])


def test_audio_index_follows_links_and_skips_what_is_hidden(tmp_path: Path) -> None:
    write_audio(tmp_path / "disk" / "b.wav")
    write_audio(tmp_path / "data" / "train" / "a.wav")
    write_audio(tmp_path / "data" / ".cache" / "hidden.wav")
    (tmp_path / "data" / "train" / "notes.txt").write_text("not audio")
    (tmp_path / "data" / "dev").symlink_to(tmp_path / "disk")
    (tmp_path / "data" / "train" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "train" / "c.wav").symlink_to(tmp_path / "disk" / "b.wav")
    index = AudioIndex.scan(tmp_path / "data")
    assert sorted(index.paths()) == ["dev/b.wav", "train/a.wav", "train/c.wav"]
    paths, missing = index.locate(pa.array(["a.flac", "c.wav", "d.wav"]), ["dev"])
    assert paths == ["train/a.wav", "train/c.wav", "dev/d.wav"]
    assert missing.tolist() == [False, False, True]
    paths, missing = index.locate(pa.array(["a", "b.FLAC"]), ["dev"], elsewhere=False)
    assert (paths[1], missing.tolist()) == ("dev/b.wav", [True, False])


def test_names_in_a_list_cannot_lead_out_of_the_folder_or_break_a_score_file(tmp_path: Path) -> None:
    write_audio(tmp_path / "0.wav")
    lines = ["file,speaker,label", "a/b/0.wav,X,spoof", "../../secret.wav,X,bona-fide"]
    write_lines(
        tmp_path / "wild" / "meta.csv", [*lines, '"two\tcolumns.wav",X,spoof', ",X,spoof", "1.wav,X,maybe"]
    )
    write_audio(tmp_path / "wild" / "0.wav")
    trials = open_trials(tmp_path / "wild")
    assert trials.conditions["ITW"].files == ["a/b/0.wav", "../../secret.wav"]
    assert trials.conditions["ITW"].relative_paths == ["0.wav", "secret.wav"]
    assert trials.notes[0] == "ITW: 3 lines have no known label or file name and were left out"
