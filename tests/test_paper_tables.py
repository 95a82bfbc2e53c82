from statistics import fmean

import pytest

from codecfake.detector.evaluation.against_paper import row_of
from codecfake.detector.evaluation.assembling import AVERAGES
from codecfake.detector.evaluation.paper_tables import (
    CORRECTIONS,
    TABLES,
    published_eers,
    published_rows,
)


def cells(row: str) -> dict[tuple[str, str], object]:
    return {(cell.table, cell.condition): cell for cell in published_eers(row)}


@pytest.mark.parametrize("table", TABLES)
def test_printed_averages_are_the_means_of_what_is_printed(table: str) -> None:
    """Every digit that was typed in is checked by the paper's own sums, which it rounds or cuts."""
    conditions, averages, rows = TABLES[table]
    for name, row in rows.items():
        if row[0] is None:
            continue
        printed = dict(zip((*conditions, *averages), row, strict=True))
        for average in averages:
            mean = fmean(printed[condition] for condition in AVERAGES[average])
            assert printed[average] == pytest.approx(mean, abs=0.0015), (name, average)


def test_numbers_that_readers_quote() -> None:
    csam = cells("co-trained/w2v2-aasist+csam")
    assert csam["VIII", "AVG"].best_known == 0.616
    assert csam["VIII", "ITW"].best_known == 4.689
    assert csam["VIII", "C7"].best_known == 0.431
    assert cells("vocoder/w2v2-aasist")["III", "CAVG"].printed == 41.583
    assert cells("codec/mel-lcnn")["VI", "C4-3"].printed == 16.836
    assert len(published_rows()) == 12


def test_shifted_row_is_given_as_printed_and_as_it_should_be() -> None:
    row = cells("codec/w2v2-aasist")
    for condition, printed, corrected in (("C1", 0.167, 0.008), ("C2", 0.008, 0.023), ("C3", 0.023, 0.015)):
        cell = row["IV", condition]
        assert (cell.printed, cell.corrected, cell.best_known) == (printed, corrected, corrected)
        assert "shifted by one column" in cell.note
    assert (row["IV", "CAVG"].printed, row["IV", "CAVG"].corrected) == (0.177, 0.156)
    assert row["IV", "AVG"].corrected == pytest.approx(1.611)
    assert (row["IV", "C4"].corrected, row["IV", "C4"].note) == (None, "")
    assert row["VII", "LAVG"].corrected is None


def test_folded_rates_are_unfolded() -> None:
    folded = {key: value for key, (value, note) in CORRECTIONS.items() if "inverted" in note}
    assert folded == {
        ("III", "vocoder/w2v2-aasist", "C2"): 57.091,
        ("III", "vocoder/mel-lcnn", "C5"): 53.009,
        ("III", "vocoder/mel-lcnn", "ITW"): 52.979,
    }
    for (table, row, condition), value in folded.items():
        assert cells(row)[table, condition].printed == pytest.approx(100 - value, abs=0.001)
    assert cells("vocoder/mel-lcnn")["III", "CAVG"].corrected == pytest.approx(44.769)


@pytest.mark.parametrize(
    ("data", "optimizer", "row"),
    [
        (["asvspoof2019-la"], "adam", "vocoder/w2v2-aasist"),
        (["published-seed0"], "adam", "codec/w2v2-aasist"),
        (["codecfake"], "adam", "codec/w2v2-aasist"),
        (["codecfake", "asvspoof2019-la"], "csam", "co-trained/w2v2-aasist+csam"),
        (["asvspoof5"], "adam", None),
        (["codecfake-15"], "adam", None),
        (["imported-codecfake-15"], "adam", None),
        (["imported-codecfake"], "adam", "codec/w2v2-aasist"),
        (["imported-codecfake-rebuilt", "asvspoof2019-la"], "csam", "co-trained/w2v2-aasist+csam"),
    ],
)
def test_row_is_told_by_the_training(data: list[str], optimizer: str, row: str | None) -> None:
    description = {"model": "w2v2-aasist", "training": {"optimizer": optimizer}}
    description["data"] = [{"name": name, "digest": ""} for name in data]
    assert row_of(description) == row
    assert row is None or row in published_rows()


def test_an_imported_detector_tells_no_row() -> None:
    assert row_of({"model": "w2v2-aasist", "imported": True}) is None
