"""Tables as the pages show them: a caption, and cells as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codecfake.detector.evaluation.table import Table

EMPTY = "–"
UNKNOWN = "not known"
UNITS = ("%", "dB", "dBFS", "Hz", "ms", "s")


@dataclass(frozen=True)
class PageTable:
    """A table of texts; the first column holds the names of the rows."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, and are aligned to the right."""
        cells = [[row[at] for row in self.rows if row[at] != EMPTY] for at in range(len(self.columns))]
        return [bool(column) and all(map(_is_number, column)) for column in cells]

    def informative(self) -> "PageTable":
        """The same without columns in which nothing is known."""
        unknown = {EMPTY, UNKNOWN}
        kept = [at for at in range(len(self.columns)) if not at or {row[at] for row in self.rows} - unknown]
        rows = [[row[at] for at in kept] for row in self.rows]
        return PageTable(self.caption, [self.columns[at] for at in kept], rows)


def page_table(table: "Table", caption: str | None = None) -> PageTable:
    """A table of an evaluation or an audit, with its own title unless a caption is given."""
    return PageTable(caption or table.title, [column.title for column in table.columns], table.texts())


def number(value: float | None, form: str = ",") -> str:
    """A number as text; a dash for None."""
    return EMPTY if value is None else format(value, form)


def _is_number(text: str) -> bool:
    """Whether a text is a number, with a unit or without, or an interval of such."""
    value, _, unit = text.rpartition(" ")
    try:
        for part in (value if unit in UNITS else text).split(" to "):
            float(part.replace(",", ""))
    except ValueError:
        return False
    return True
