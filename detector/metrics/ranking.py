"""Scores of both classes ranked once; every measure that looks at thresholds is read from the ranking."""

from dataclasses import dataclass

import numpy as np

from codecfake.manifests.errors import CodecfakeError


@dataclass(frozen=True)
class RankedScores:
    """How many trials of each class lie below every distinct score.

    Operating point i, from 0 to K, accepts as bona fide everything from the i-th distinct score on: point 0
    accepts all, point K nothing. Tied scores are always on the same side.
    """

    values: np.ndarray
    """The distinct scores, ascending, shape (K,)."""
    bona_fide_below: np.ndarray
    """Bona fide trials that each point rejects, shape (K + 1,), int64."""
    spoof_below: np.ndarray
    """Spoof trials that each point rejects, shape (K + 1,), int64."""

    @property
    def bona_fide(self) -> int:
        """Number of bona fide trials."""
        return int(self.bona_fide_below[-1])

    @property
    def spoof(self) -> int:
        """Number of spoof trials."""
        return int(self.spoof_below[-1])

    @property
    def miss_rates(self) -> np.ndarray:
        """Share of bona fide that each point rejects, 0 to 1, shape (K + 1,)."""
        return self.bona_fide_below / self.bona_fide

    @property
    def false_alarm_rates(self) -> np.ndarray:
        """Share of spoof that each point accepts, 0 to 1, shape (K + 1,)."""
        return (self.spoof - self.spoof_below) / self.spoof

    def threshold(self, point: int) -> float:
        """A threshold, half way between two scores where it can be, that gives this operating point."""
        if point == 0:
            return float(self.values[0])
        if point == self.values.size:
            return float(np.nextafter(self.values[-1], np.inf))
        below, above = self.values[point - 1], self.values[point]
        middle = below / 2 + above / 2
        return float(middle if below < middle <= above else above)


def rank_scores(bona_fide_scores: np.ndarray, spoof_scores: np.ndarray) -> RankedScores:
    """Rank the scores of both classes in O(n log n).

    Args:
        bona_fide_scores: Scores of the bona fide trials, shape (N,).
        spoof_scores: Scores of the spoof trials, shape (M,).

    Raises:
        CodecfakeError: If a class is empty or a score is not finite.
    """
    bona_fide, spoof = checked_scores(bona_fide_scores, spoof_scores)
    scores = np.concatenate([bona_fide, spoof])
    order = np.argsort(scores)
    ranked = scores[order]
    lasts = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
    bona_fide_up_to = np.cumsum(order < bona_fide.size)[lasts]
    bona_fide_below = np.concatenate([[0], bona_fide_up_to])
    below = np.concatenate([[0], lasts + 1])
    return RankedScores(ranked[lasts], bona_fide_below, below - bona_fide_below)


def checked_scores(bona_fide_scores: np.ndarray, spoof_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both classes as float64.

    Raises:
        CodecfakeError: If a class is empty or a score is not finite.
    """
    classes = []
    for name, scores in (("bona fide", bona_fide_scores), ("spoof", spoof_scores)):
        scores = np.asarray(scores, dtype=np.float64)
        if not scores.size:
            raise CodecfakeError(f"no {name} trial: an error rate needs both classes")
        finite = np.isfinite(scores)
        if not finite.all():
            bad = int(np.flatnonzero(~finite)[0])
            raise CodecfakeError(
                f"{scores.size - int(finite.sum())} of {scores.size} {name} scores are not finite "
                f"(first: {scores[bad]} at position {bad})",
                cause="the network diverged, or the score file is damaged",
            )
        classes.append(scores)
    return classes[0], classes[1]


def area_under_curve(ranked: RankedScores) -> float:
    """Chance that a bona fide trial scores higher than a spoof trial, ties counted half; 0 to 1.

    Below 0.5 the scores are inverted.
    """
    bona_fide_here = np.diff(ranked.bona_fide_below)
    spoof_lower_twice = ranked.spoof_below[:-1] + ranked.spoof_below[1:]
    return float(bona_fide_here @ spoof_lower_twice / (2 * ranked.bona_fide * ranked.spoof))


def tied_share(scores: np.ndarray) -> float:
    """Share of the scores, 0 to 1, that occur more than once: a sign of saturated or rounded scores."""
    if not len(scores):
        return 0.0
    return _share_of_twins(np.unique(scores, return_counts=True)[1])


def tied_share_of(ranked: RankedScores) -> float:
    """`tied_share` of scores that are ranked already."""
    return _share_of_twins(np.diff(ranked.bona_fide_below) + np.diff(ranked.spoof_below))


def _share_of_twins(counts: np.ndarray) -> float:
    return float(counts[counts > 1].sum() / counts.sum())
