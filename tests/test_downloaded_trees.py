from pathlib import Path

import pytest
from dataset_trees import write_asvspoof5, write_asvspoof2019, write_audio, write_codecfake, write_in_the_wild

from codecfake.detector.sources.completeness import CompletenessReport, check_completeness
from codecfake.manifests.errors import CodecfakeError


def check(data: Path) -> CompletenessReport:
    return check_completeness(data, lambda done, total: None)


def by_name(report: CompletenessReport) -> dict:
    return {part.name: part for part in report.lists}


def test_what_is_missing_extra_and_unreadable_is_told_by_name(tmp_path: Path) -> None:
    root = write_codecfake(tmp_path)
    (root / "train" / "F06_SSB00050001.wav").unlink()
    (root / "test" / "C7" / "F07_p225_001.wav").write_text("not audio")
    (root / "dev" / "F04_p226_001.wav").write_bytes(b"")
    write_audio(root / "test" / "C1" / "F01_p999_001.wav")
    report = check(root)
    lists = by_name(report)
    assert lists["train"].missing == ["F06_SSB00050001.wav"]
    assert lists["C7"].unreadable == ["F07_p225_001.wav"]
    assert lists["dev"].unreadable == ["F04_p226_001.wav"]
    assert (lists["C1"].missing, lists["C1"].unreadable) == ([], [])
    # The source of F07_p225_001 in train is no reason to take it for that file.
    assert report.extra == ["test/C1/F01_p999_001.wav"]
    assert lists["train"].rates == {16_000: 1, 24_000: 1, 44_100: 1}
    assert (lists["train"].trials, lists["train"].published) == (4, 740_747)
    assert report.absent == ["C2", "C3", "C4", "C5", "C6", "A2"]
    assert not report.is_whole
    assert {path.name for path in root.iterdir()} == {"label", "train", "dev", "test"}  # nothing is written


def test_reals_of_a3_are_known_not_to_be_distributed(tmp_path: Path) -> None:
    report = check(write_codecfake(tmp_path))
    a3 = by_name(report)["A3"]
    assert (a3.missing, a3.undistributed) == ([], ["Yabc-1_2.wav", "Yx.wav"])
    facts = " ".join(report.facts)
    for known in ("bad CRC", "version 1", "sampling rate", "L1..L3"):
        assert known in facts
    assert any("github.com/cdjkim/audiocaps" in note for note in report.notes)


def test_a_copy_that_no_list_uses_is_extra(tmp_path: Path) -> None:
    """Each condition has its own copy of the bona fide files; A3 has none of VCTK's."""
    root = write_codecfake(tmp_path)
    write_audio(root / "test" / "A3" / "p227_001.wav")
    assert check(root).extra == ["test/A3/p227_001.wav"]


def test_progress_and_other_datasets(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = check_completeness(
        write_asvspoof2019(tmp_path / "LA"), lambda done, total: seen.append((done, total))
    )
    assert seen == [(0, 6), (2, 6), (4, 6), (6, 6)]
    assert (report.dataset, report.absent, report.extra) == ("asvspoof2019-la", [], [])
    # Nothing that its lists name is missing, but the lists are cut short.
    evaluated = by_name(report)["19LA"]
    assert (evaluated.missing, evaluated.trials, evaluated.published) == ([], 2, 71_237)
    assert not report.is_whole
    assert check(write_asvspoof5(tmp_path / "five")).is_whole
    wild = write_in_the_wild(tmp_path / "itw")
    (wild / "release_in_the_wild" / "1.wav").unlink()
    assert by_name(check(wild))["ITW"].missing == ["1.wav"]
    with pytest.raises(CodecfakeError, match="holds no dataset that is known"):
        check(tmp_path / "LA" / "ASVspoof2019_LA_train")
