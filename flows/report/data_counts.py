"""How many files and hours a dataset has, per part and per codec, whatever its layout is."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from codecfake.detector.trials import SplitTrials, TrialList
from codecfake.flows.audit_material import UNKNOWN_CODEC
from codecfake.flows.report.page_tables import PageTable, number
from codecfake.manifests.labels import Label
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import SPLITS, codec_role


@dataclass
class Count:
    """Files, and their seconds where these are known."""

    files: int = 0
    seconds: float = 0.0

    @property
    def hours(self) -> str:
        """For a table."""
        return number(self.seconds / 3600, ",.3f") if self.seconds else number(None)


@dataclass(frozen=True)
class DataCounts:
    """Counts of a dataset; a file that several conditions share counts once."""

    cells: dict[tuple[str, str], Count]
    """By codec and split."""
    speakers: set[str] = field(default_factory=set)
    languages: set[str] = field(default_factory=set)
    corpora: set[str] = field(default_factory=set)
    utterances: set[str] = field(default_factory=set)

    @property
    def codecs(self) -> list[str]:
        """``real`` first, then the codecs in the order of the paper."""
        return sorted({codec for codec, _ in self.cells}, key=lambda name: codec_role(name).order)

    def total(self, *, codec: str | None = None, split: str | None = None, fakes: bool = False) -> Count:
        """Sum over the cells of a codec, a split, or all fakes."""
        chosen = [
            count
            for (name, part), count in self.cells.items()
            if codec in (None, name) and split in (None, part) and not (fakes and name == REAL)
        ]
        return Count(sum(count.files for count in chosen), sum(count.seconds for count in chosen))

    def table(self) -> PageTable:
        """Files and hours of every codec, per split."""
        rows = []
        for codec in self.codecs:
            parts = [self.total(codec=codec, split=split) for split in SPLITS]
            total = self.total(codec=codec)
            rows.append([codec, *(f"{part.files:,}" for part in parts), f"{total.files:,}", total.hours])
        parts = [self.total(split=split) for split in SPLITS]
        total = self.total()
        rows.append(["all", *(f"{part.files:,}" for part in parts), f"{total.files:,}", total.hours])
        return PageTable(
            "Files per codec and split", ["codec", *SPLITS, "files", "hours"], rows
        ).informative()


def count_data(trials: SplitTrials) -> DataCounts:
    """Count the files of a dataset, without those of robustness conditions, which are others once more."""
    counts = DataCounts(defaultdict(Count))
    seen: set[str] = set()
    conditions = [part for part in trials.conditions.values() if not part.processing]
    for split, lists in zip(SPLITS, ([trials.train], [trials.dev], conditions), strict=True):
        for part in lists:
            new = np.array([file not in seen for file in part.files], dtype=bool)
            seen.update(part.files)
            _add(counts, split, part.take(np.flatnonzero(new)))
    return counts


def _add(counts: DataCounts, split: str, part: TrialList) -> None:
    codecs = codecs_of(part)
    seconds = part.columns.get("seconds", np.zeros(len(part)))
    for codec in np.unique(codecs).tolist():
        chosen = codecs == codec
        cell = counts.cells[codec, split]
        cell.files += int(chosen.sum())
        cell.seconds += float(np.nansum(seconds[chosen]))
    for name, into in (
        ("speaker", counts.speakers),
        ("language", counts.languages),
        ("corpus", counts.corpora),
        ("utterance_id", counts.utterances),
    ):
        into.update(_values(part, name))


def _values(part: TrialList, column: str) -> Iterable[str]:
    cells = part.columns.get(column)
    return () if cells is None else set(cells.tolist()) - {"", "-"}


def codecs_of(part: TrialList) -> np.ndarray:
    """The codec of every trial, ``real`` for bona fide ones, shape (N,), str."""
    column = part.columns.get("codec", part.columns.get("attack", np.full(len(part), "", dtype=object)))
    known = np.where((column == "") | (column == "-"), UNKNOWN_CODEC, column)
    return np.where(part.labels == Label.BONA_FIDE, REAL, known).astype(str)


def parts_table(trials: SplitTrials) -> PageTable:
    """Both classes of train, dev and every condition."""
    rows = []
    for part in filter(len, (trials.train, trials.dev, *trials.conditions.values())):
        seconds = part.columns.get("seconds")
        hours = None if seconds is None else float(np.nansum(seconds)) / 3600
        bona_fide, spoof = part.count(Label.BONA_FIDE), part.count(Label.SPOOF)
        rows.append([part.name, f"{bona_fide:,}", f"{spoof:,}", f"{len(part):,}", number(hours, ",.3f")])
    columns = ["part", "bona fide", "spoof", "files", "hours"]
    return PageTable("Bona fide and spoofed files per part", columns, rows).informative()
