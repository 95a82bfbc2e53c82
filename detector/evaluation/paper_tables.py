"""The result tables of the Codecfake paper as data, with what is wrong in them.

EER in percent, from Tables III, IV, VI, VII and VIII of arXiv 2405.04880 v1 (IEEE/ACM TASLP 33, 2025, has the same
numbers as its Tables V, VI and X). Corrections are what the score files that the authors released give
(github.com/xieyuankun/Codecfake, ``pretrained_model/*/result``).
"""

from dataclasses import dataclass
from statistics import fmean

from codecfake.detector.evaluation.assembling import AVERAGES

MAIN = AVERAGES["AVG"]
BIT_RATES = AVERAGES["bit-rate AVG"]
LANGUAGE_MODELS = AVERAGES["LAVG"]

Row = tuple[float | None, ...]

TABLE_III: dict[str, Row] = {
    "vocoder/mel-lcnn": (
        5.084,
        47.021,
        36.127,
        49.304,
        39.234,
        49.160,
        46.991,
        36.967,
        49.584,
        43.910,
        39.941,
    ),
    "vocoder/w2v2-lcnn": (
        0.625,
        41.385,
        19.481,
        45.260,
        45.010,
        20.683,
        34.321,
        44.390,
        43.717,
        36.123,
        32.764,
    ),
    "vocoder/w2v2-aasist": (
        0.122,
        23.713,
        40.142,
        42.908,
        44.564,
        33.580,
        39.197,
        44.889,
        45.804,
        41.583,
        34.991,
    ),
}
"""Trained on ASVspoof 2019 LA. 19LA, ITW, C1 to C7, CAVG, AVG; as in Tables IV and VIII."""

TABLE_IV: dict[str, Row] = {
    "codec/mel-lcnn": (26.826, 42.635, 2.147, 9.563, 8.618, 12.239, 20.033, 8.951, 30.867, 13.203, 17.987),
    "codec/w2v2-lcnn": (4.433, 4.975, 0.030, 0.151, 0.144, 0.113, 0.635, 2.185, 5.178, 1.205, 1.983),
    "codec/w2v2-aasist": (3.806, 9.606, 0.167, 0.008, 0.023, 0.015, 0.038, 0.106, 0.884, 0.177, 1.628),
}
"""Trained on Codecfake."""

TABLE_VI: dict[str, Row] = {
    "codec/mel-lcnn": (8.180, 8.497, 8.618, 8.618, 13.252, 13.056, 16.836, 11.008),
    "codec/w2v2-lcnn": (0.083, 0.144, 0.144, 0.144, 0.038, 0.786, 2.192, 0.504),
    "codec/w2v2-aasist": (0.015, 0.015, 0.015, 0.015, 0.008, 0.166, 0.650, 0.126),
}
"""Trained on Codecfake, other bit rates: C3-1 to C3-4, C4-1 to C4-3, their mean."""

TABLE_VII: dict[str, Row] = {
    "vocoder/mel-lcnn": (21.233, 3.241, 31.847, 18.774),
    "vocoder/w2v2-lcnn": (0.608, 2.093, 49.284, 17.328),
    "vocoder/w2v2-aasist": (0.225, 0.833, 45.674, 15.577),
    "codec/mel-lcnn": (7.393, 9.553, 27.254, 14.733),
    "codec/w2v2-lcnn": (0.450, 1.080, 37.076, 12.869),
    "codec/w2v2-aasist": (0.225, 0.135, 33.803, 11.388),
    "co-trained/w2v2-aasist+csam": (None, None, None, None),
}
"""Audio language models: A1 to A3, LAVG."""

TABLE_VIII: dict[str, Row] = {
    "co-trained/mel-lcnn": (
        10.214,
        36.757,
        6.675,
        22.052,
        7.310,
        10.410,
        15.906,
        7.620,
        30.307,
        14.326,
        16.361,
    ),
    "co-trained/w2v2-lcnn": (
        1.008,
        5.847,
        0.295,
        2.480,
        2.540,
        4.203,
        19.965,
        23.949,
        34.563,
        12.571,
        10.539,
    ),
    "co-trained/w2v2-aasist": (0.625, 7.184, 0.015, 0.030, 0.023, 0.023, 0.038, 0.098, 0.627, 0.122, 0.963),
    "co-trained/w2v2-aasist+sam": (
        0.231,
        7.483,
        0.008,
        0.008,
        0.000,
        0.000,
        0.015,
        0.038,
        0.696,
        0.109,
        0.942,
    ),
    "co-trained/w2v2-aasist+asam": (
        0.314,
        9.994,
        0.015,
        0.030,
        0.015,
        0.008,
        0.023,
        0.060,
        0.711,
        0.123,
        1.241,
    ),
    "co-trained/w2v2-aasist+csam": (
        0.313,
        4.689,
        0.008,
        0.023,
        0.008,
        0.008,
        0.030,
        0.030,
        0.431,
        0.077,
        0.616,
    ),
}
"""Trained on ASVspoof 2019 LA and Codecfake."""

TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...], dict[str, Row]]] = {
    "III": (MAIN, ("CAVG", "AVG"), TABLE_III),
    "IV": (MAIN, ("CAVG", "AVG"), TABLE_IV),
    "VI": (BIT_RATES, ("bit-rate AVG",), TABLE_VI),
    "VII": (LANGUAGE_MODELS, ("LAVG",), TABLE_VII),
    "VIII": (MAIN, ("CAVG", "AVG"), TABLE_VIII),
}
"""Conditions, averages and rows of each table."""

SHIFTED = "the printed row is shifted by one column from C1 on; its C1 is that of C4-2. Score files give"
FOLDED = (
    "the authors report the smaller of the EER and 100 minus it; the scores are inverted. Score files give"
)
UNPRINTED = "not in the table; score files give"
ASAM_RHO = "trained with rho 0.05, where 2.0 is usual for ASAM: no fair baseline"

CORRECTIONS: dict[tuple[str, str, str], tuple[float, str]] = {
    ("IV", "codec/w2v2-aasist", "C1"): (0.008, SHIFTED),
    ("IV", "codec/w2v2-aasist", "C2"): (0.023, SHIFTED),
    ("IV", "codec/w2v2-aasist", "C3"): (0.015, SHIFTED),
    ("III", "vocoder/w2v2-aasist", "C2"): (57.091, FOLDED),
    ("III", "vocoder/mel-lcnn", "C5"): (53.009, FOLDED),
    ("III", "vocoder/mel-lcnn", "ITW"): (52.979, FOLDED),
    ("VII", "co-trained/w2v2-aasist+csam", "A1"): (0.158, UNPRINTED),
    ("VII", "co-trained/w2v2-aasist+csam", "A2"): (0.000, UNPRINTED),
    ("VII", "co-trained/w2v2-aasist+csam", "A3"): (32.351, UNPRINTED),
}
"""Corrected value and reason, by table, row and condition."""

NOTES: dict[tuple[str, str], str] = {
    ("VI", f"C3-{number}"): "12, 16 and 24 kbps of FunCodec are the same audio: all 32 quantizers"
    for number in (3, 4)
}
"""What else is to be known, by table and condition."""


@dataclass(frozen=True)
class PublishedEer:
    """One cell of a table, in percent."""

    table: str
    row: str
    condition: str
    """A condition, or the name of an average."""
    printed: float | None
    """None where the paper prints nothing."""
    corrected: float | None
    """None where what is printed is right."""
    note: str

    @property
    def best_known(self) -> float:
        """The corrected value, or else the printed one."""
        value = self.printed if self.corrected is None else self.corrected
        assert value is not None
        return value


def published_rows() -> list[str]:
    """Names of all rows: training data, model, and sharpness-aware optimiser."""
    return list(dict.fromkeys(row for _, _, rows in TABLES.values() for row in rows))


def published_eers(row: str) -> list[PublishedEer]:
    """All cells of one row, from every table that has it; the averages of corrected cells are corrected too."""
    cells = []
    for table, (conditions, averages, rows) in TABLES.items():
        if row not in rows:
            continue
        printed = dict(zip((*conditions, *averages), rows[row], strict=True))
        of_table = {condition: _cell(table, row, condition, printed[condition]) for condition in conditions}
        for average in averages:
            members = [of_table[condition] for condition in AVERAGES[average]]
            if any(member.corrected is not None for member in members):
                mean = round(fmean(member.best_known for member in members), 3)
                of_table[average] = PublishedEer(
                    table, row, average, printed[average], mean, "mean of the corrected values"
                )
            else:
                of_table[average] = PublishedEer(
                    table, row, average, printed[average], None, _note(table, row, average)
                )
        cells += of_table.values()
    return cells


def _cell(table: str, row: str, condition: str, printed: float | None) -> PublishedEer:
    if (table, row, condition) in CORRECTIONS:
        corrected, reason = CORRECTIONS[table, row, condition]
        return PublishedEer(table, row, condition, printed, corrected, f"{reason} {corrected:.3f}")
    return PublishedEer(table, row, condition, printed, None, _note(table, row, condition))


def _note(table: str, row: str, condition: str) -> str:
    return NOTES.get((table, condition), ASAM_RHO if row.endswith("+asam") else "")
