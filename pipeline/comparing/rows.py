"""Two tables with the same key: rows that only one has, and rows that differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES = 3
"""Rows of each kind that are named."""


@dataclass(frozen=True)
class RowDifferences:
    """How the rows of two tables differ."""

    what: str
    """The table: "source.parquet", a codec, or a split."""
    equal: int
    changed: dict[str, int]
    """Rows that differ, by column; only columns in which some do."""
    only_first: int
    only_second: int
    examples: tuple[str, ...]

    @property
    def are_same(self) -> bool:
        """Whether both tables have the same rows."""
        return not (self.changed or self.only_first or self.only_second)


@dataclass(frozen=True)
class Aligned:
    """Positions of the rows that two tables share, and of those that only one has; int64, shape (rows,)."""

    first: np.ndarray
    second: np.ndarray
    only_first: np.ndarray
    only_second: np.ndarray


def align(first: "pa.Table", second: "pa.Table", key: str) -> Aligned:
    """Find the rows of two tables by a column that names each once."""
    import pyarrow.compute as pc

    names, wanted = (table[key].combine_chunks() for table in (first, second))
    found = pc.index_in(wanted, value_set=names)
    is_shared = np.asarray(found.is_valid())
    at_first = np.asarray(found.drop_null(), dtype=np.int64)
    is_taken = np.zeros(len(names), dtype=bool)
    is_taken[at_first] = True
    return Aligned(at_first, np.flatnonzero(is_shared), np.flatnonzero(~is_taken), np.flatnonzero(~is_shared))


def compare_rows(
    what: str, first: "pa.Table", second: "pa.Table", key: str, columns: Sequence[str]
) -> tuple[RowDifferences, Aligned]:
    """Compare two tables, in whatever order their rows are.

    Args:
        what: What the tables are, for the reader.
        first: A table.
        second: Another one with the same columns.
        key: Column that names each row once.
        columns: Columns to compare, of text or numbers.

    Returns:
        The differences, and which row is which.
    """
    import pyarrow as pa

    rows = align(first, second, key)
    shared = [
        table.select([key, *columns]).take(pa.array(positions))
        for table, positions in ((first, rows.first), (second, rows.second))
    ]
    differs = {column: _differs(shared[0][column], shared[1][column]) for column in columns}
    changed = np.zeros(len(rows.first), dtype=bool)
    examples: list[str] = []
    for column, mask in differs.items():
        changed |= mask
        for row in np.flatnonzero(mask)[:EXAMPLES]:
            was, now = (table[column][int(row)].as_py() for table in shared)
            examples.append(f"{shared[0][key][int(row)].as_py()}: {column} {_shown(was)} -> {_shown(now)}")
    for table, positions, where in ((first, rows.only_first, "first"), (second, rows.only_second, "second")):
        examples += [
            f"{table[key][int(row)].as_py()}: only in the {where} run" for row in positions[:EXAMPLES]
        ]
    differences = RowDifferences(
        what=what,
        equal=int((~changed).sum()),
        changed={column: count for column, mask in differs.items() if (count := int(mask.sum()))},
        only_first=len(rows.only_first),
        only_second=len(rows.only_second),
        examples=tuple(examples),
    )
    return differences, rows


def _differs(first: "pa.ChunkedArray", second: "pa.ChunkedArray") -> np.ndarray:
    """Where two columns differ; a null differs from all but a null."""
    import pyarrow.compute as pc

    unequal = pc.fill_null(pc.not_equal(first, second), False)
    return np.asarray(pc.or_(unequal, pc.xor(first.is_null(), second.is_null())))


def _shown(value: object) -> str:
    return "none" if value in (None, "") else str(value)
