"""The parts that a split is exported in: train, dev, and evaluation files that are trials of the same conditions."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from codecfake.manifests.derived import derived_name
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import SPLITS, condition_order
from codecfake.pipeline.exports.contents import Contents

MANY_SETS = 64
"""With more sets of conditions than these, files that belong to different ones share a group."""
LONGEST_NAME = 60


@dataclass(frozen=True)
class Group:
    """Rows of a split that lie together; every row is in one group."""

    name: str
    """``train``, ``dev``, ``test-real``, ``test-C4``, ``test-real-C1+C4``, or one of test with ``-opus16``."""
    rows: np.ndarray
    """Ascending, shape (N,)."""
    setting: str
    """Robustness condition that they are under; empty for files as they were built."""
    conditions: tuple[str, ...]
    """Conditions of any of them."""
    is_alike: bool
    """Whether each of them belongs to all of these conditions."""


class _Kind(NamedTuple):
    """What files of the evaluation have in common."""

    setting: str
    label: str
    conditions: tuple[str, ...]

    @property
    def clean_conditions(self) -> list[str]:
        """The conditions without their setting: C4 for C4-opus16."""
        suffix = derived_name("", self.setting) if self.setting else ""
        return sorted((name.removesuffix(suffix) for name in self.conditions), key=condition_order)


def group_rows(contents: Contents) -> list[Group]:
    """Group the files of a split; unless their sets of conditions are too many, a condition is a few whole groups."""
    import pyarrow.compute as pc

    split = contents.table["split"]
    groups = [Group(name, np.flatnonzero(pc.equal(split, name)), "", (), True) for name in SPLITS[:2]]
    rows = np.flatnonzero(pc.equal(split, SPLITS[2]))
    kinds, kind_of = _kinds(contents, rows)
    counts = Counter(kind[:2] for kind in kinds)
    named: dict[str, list[int]] = {}
    order = sorted(range(len(kinds)), key=lambda index: _order(kinds[index]))
    for index in order:
        named.setdefault(_name(kinds[index], counts[kinds[index][:2]]), []).append(index)
    for name, members in named.items():
        sets = {kinds[index].conditions for index in members}
        conditions = tuple(dict.fromkeys(condition for one in sorted(sets) for condition in one))
        mine = rows[np.isin(kind_of, members)]
        groups.append(Group(name, mine, kinds[members[0]].setting, conditions, len(sets) == 1))
    return [group for group in groups if len(group.rows)]


def _kinds(contents: Contents, rows: np.ndarray) -> tuple[list[_Kind], np.ndarray]:
    """The kinds of some rows, and the index of its kind for each row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = contents.table.select(["label", "conditions"]).take(pa.array(rows))
    setting = contents.setting.take(pa.array(rows))
    joined = pc.binary_join_element_wise(
        setting, table["label"], pc.binary_join(table["conditions"], "/"), "/"
    )
    encoded = joined.combine_chunks().dictionary_encode()
    kinds = []
    for value in encoded.dictionary.to_pylist():
        setting, label, *conditions = value.split("/")
        kinds.append(_Kind(setting, label, tuple(filter(None, conditions))))
    return kinds, encoded.indices.to_numpy()


def _name(kind: _Kind, sets: int) -> str:
    """Name of the group of a kind, when its label has so many sets of conditions under its setting."""
    joined = "+".join(kind.clean_conditions)
    if len(joined) > LONGEST_NAME:
        joined = f"{len(kind.conditions)}-conditions-{hashlib.sha256(joined.encode()).hexdigest()[:8]}"
    if kind.label == REAL:
        name = REAL if sets == 1 or sets > MANY_SETS else f"{REAL}-{joined}"
    else:
        name = joined if sets <= MANY_SETS else kind.label
    return f"test-{derived_name(name, kind.setting) if kind.setting else name}"


def _order(kind: _Kind) -> tuple:
    """Bona fide files before fakes, and those as they were built before any under a setting."""
    return kind.setting, kind.label != REAL, [condition_order(name) for name in kind.clean_conditions]
