"""Trials with their scores and labels: what every evaluation starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from codecfake.manifests.derived import PROCESSING
from codecfake.manifests.labels import Label


@dataclass(frozen=True)
class ScoredTrials:
    """The scored trials of one condition, N of them."""

    name: str
    files: list[str]
    scores: np.ndarray
    """Higher = bona fide, shape (N,), float64."""
    labels: np.ndarray
    """Class indices (`Label`), shape (N,), int64."""
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """What is known of each trial, shape (N,) each: ``utterance_id``, ``codec``, ``attack``, ``corpus``,
    ``language``, ``sex`` as text, empty where unknown, and ``seconds``."""
    unreadable: int = 0
    """Trials that have no score because their audio could not be read."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def processing(self) -> str:
        """Robustness setting of a condition such as C1-opus16, else empty."""
        return self.columns[PROCESSING][0] if PROCESSING in self.columns and len(self) else ""

    def of(self, label: Label) -> np.ndarray:
        """Scores of one class."""
        return self.scores[self.labels == label]

    def take(self, chosen: np.ndarray, name: str) -> "ScoredTrials":
        """The trials at some positions, or where a mask is true, under another name."""
        positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return ScoredTrials(
            name,
            [self.files[i] for i in positions.tolist()],
            self.scores[positions],
            self.labels[positions],
            {column: values[positions] for column, values in self.columns.items()},
        )

    def source_utterances(self) -> np.ndarray:
        """Number of the source utterance of each trial, from 0 on in the order of names, shape (N,).

        A file whose source is not known stands for itself. The order of the trials does not matter.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        names = self.columns.get("utterance_id", np.full(len(self), "", dtype=object)).tolist()
        sources = [name or f"\0{file}" for name, file in zip(names, self.files, strict=True)]
        encoded = pa.array(sources, pa.string()).dictionary_encode()
        rank = np.empty(len(encoded.dictionary), dtype=np.int64)
        rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(rank))
        return rank[encoded.indices.to_numpy()]


def group_by_setting(parts: Sequence[ScoredTrials]) -> dict[str, list[ScoredTrials]]:
    """Conditions by robustness setting, in the order of their first; the clean ones and dev under an empty name."""
    groups: dict[str, list[ScoredTrials]] = {}
    for part in parts:
        groups.setdefault(part.processing, []).append(part)
    return groups


def pool_trials(parts: Sequence[ScoredTrials], name: str) -> ScoredTrials:
    """All trials of several conditions; a file that several of them share with one score counts once.

    Args:
        parts: The conditions.
        name: Name of the result.

    Returns:
        The trials in order of first appearance, with the columns that any condition has.
    """
    seen: dict[tuple[str, int, float], None] = {}
    kept: list[np.ndarray] = []
    for part in parts:
        keys = list(zip(part.files, part.labels.tolist(), part.scores.tolist(), strict=True))
        kept.append(np.array([key not in seen for key in keys], dtype=bool))
        seen |= dict.fromkeys(keys)
    chosen = [part.take(mask, part.name) for part, mask in zip(parts, kept, strict=True)]
    names = {column for part in chosen for column in part.columns}
    columns = {}
    for column in sorted(names):
        filler = np.nan if column == "seconds" else ""
        cells = [
            part.columns.get(column, np.full(len(part), filler, dtype=type(filler) if filler else object))
            for part in chosen
        ]
        columns[column] = np.concatenate(cells)
    return ScoredTrials(
        name,
        [file for part in chosen for file in part.files],
        np.concatenate([part.scores for part in chosen]),
        np.concatenate([part.labels for part in chosen]),
        columns,
    )
