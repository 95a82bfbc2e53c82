"""The scores of several lists that share files: every file once, however many lists name it."""

from collections.abc import Mapping, Sequence

import numpy as np

from codecfake.detector.loading import Unreadable
from codecfake.detector.trials import TrialList


class ScoreBoard:
    """One score per distinct file name, in arrays beside the names.

    Args:
        parts: The lists.
    """

    def __init__(self, parts: Sequence[TrialList]) -> None:
        import pyarrow as pa

        chunks = [pa.array(part.files, pa.string()) for part in parts]
        joined = pa.concat_arrays([pa.array([], pa.string()), *chunks]).dictionary_encode()
        ids = joined.indices.to_numpy()
        ends = np.cumsum([len(part) for part in parts])
        self._names = joined.dictionary
        self._ids = {
            part.name: ids[end - len(part) : end] for part, end in zip(parts, ends.tolist(), strict=True)
        }
        self._scores = np.full(len(self._names), np.nan)
        self._has_failed = np.zeros(len(self._names), dtype=bool)
        self.failed: list[Unreadable] = []
        """Files that have no score because they could not be read."""

    def fill(self, scores: Mapping[str, float]) -> None:
        """Take over scores by file name; files of no list are ignored."""
        found = self._find(list(scores))
        values = np.fromiter(scores.values(), dtype=np.float64, count=len(scores))
        self._scores[found[found >= 0]] = values[found >= 0]

    def holds(self, files: Sequence[str]) -> np.ndarray:
        """Which of the files are in a list, shape (N,), bool."""
        return self._find(files) >= 0

    def left(self, part: TrialList) -> np.ndarray:
        """Positions of the trials that are neither scored nor known to be unreadable."""
        ids = self._ids[part.name]
        return np.flatnonzero(np.isnan(self._scores[ids]) & ~self._has_failed[ids])

    def record(self, part: TrialList, positions: Sequence[int], scores: np.ndarray) -> None:
        """Set the scores of trials."""
        self._scores[self._ids[part.name][positions]] = scores

    def record_failures(self, files: Sequence[Unreadable]) -> None:
        """Note files that could not be read; none of the lists tries them again."""
        self._has_failed[self._find([bad.file for bad in files])] = True
        self.failed += files

    def scored(self) -> int:
        """Number of distinct files that have a score."""
        return int(np.count_nonzero(~np.isnan(self._scores)))

    def scores_of(self, part: TrialList) -> dict[str, float]:
        """Score by file name of one list, in its order, of the files that have one."""
        values = self._scores[self._ids[part.name]]
        known = np.flatnonzero(~np.isnan(values))
        return dict(zip([part.files[i] for i in known.tolist()], values[known].tolist(), strict=True))

    def _find(self, files: Sequence[str]) -> np.ndarray:
        """Index of each file, or -1."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pc.index_in(pa.array(files, pa.string()), value_set=self._names)
        return np.asarray(pc.fill_null(found, -1))
