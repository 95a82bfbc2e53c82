"""Detection metrics on plain score arrays: no files, no labels, higher score = bona fide."""

from dataclasses import dataclass

import numpy as np

from codecfake.manifests.errors import CodecfakeError


@dataclass(frozen=True)
class EqualErrorRate:
    """The operating point where both classes are wrong equally often."""

    rate: float
    """Share of each class that is wrong, 0 to 1; above 0.5 the scores are inverted."""
    threshold: float
    """Accepting every ``score >= threshold`` as bona fide comes nearest to this point."""


@dataclass(frozen=True)
class Confusion:
    """Counts of the four outcomes; bona fide is the positive class."""

    true_positives: int
    """Bona fide accepted."""
    false_negatives: int
    """Bona fide rejected."""
    false_positives: int
    """Spoof accepted."""
    true_negatives: int
    """Spoof rejected."""

    @property
    def accuracy(self) -> float:
        """Share of all trials that are right, 0 to 1."""
        right = self.true_positives + self.true_negatives
        return right / (right + self.false_negatives + self.false_positives)

    @property
    def false_positive_rate(self) -> float:
        """Share of the spoof trials that are accepted, 0 to 1."""
        return self.false_positives / (self.false_positives + self.true_negatives)

    @property
    def false_negative_rate(self) -> float:
        """Share of the bona fide trials that are rejected, 0 to 1."""
        return self.false_negatives / (self.false_negatives + self.true_positives)


def compute_eer(bona_fide_scores: np.ndarray, spoof_scores: np.ndarray) -> EqualErrorRate:
    """Compute the equal error rate in O(n log n), with tied scores moved together.

    Miss and false alarm rates are taken at every distinct score; the rate is where the straight line between
    two neighbouring points has both equal. Scores that are all the same therefore give 0.5, and inverted
    scores give one minus the rate: the better direction is never picked silently.

    Args:
        bona_fide_scores: Scores of the bona fide trials, shape (N,).
        spoof_scores: Scores of the spoof trials, shape (M,).

    Returns:
        The rate and its threshold. The threshold lies half way between two neighbouring scores.

    Raises:
        CodecfakeError: If a class is empty or a score is not finite.

    Example:
        >>> compute_eer(np.array([2.0, 3.0]), np.array([0.0, 1.0]))
        EqualErrorRate(rate=0.0, threshold=1.5)
    """
    bona_fide, spoof = _checked(bona_fide_scores, spoof_scores)
    bona_fide, spoof = np.sort(bona_fide), np.sort(spoof)
    distinct = np.unique(np.concatenate([bona_fide, spoof]))
    # Operating point i accepts everything from distinct[i] on; the last one accepts nothing.
    miss = np.append(np.searchsorted(bona_fide, distinct), bona_fide.size) / bona_fide.size
    false_alarm = 1 - np.append(np.searchsorted(spoof, distinct), spoof.size) / spoof.size
    excess = miss - false_alarm  # strictly increasing from -1 to 1
    right = int(np.searchsorted(excess, 0.0))
    left = right - 1
    share = -excess[left] / (excess[right] - excess[left])
    rate = miss[left] + share * (miss[right] - miss[left])
    nearest = left if -excess[left] < excess[right] else right
    return EqualErrorRate(float(rate), _threshold_before(distinct, nearest))


def confusion_at(threshold: float, bona_fide_scores: np.ndarray, spoof_scores: np.ndarray) -> Confusion:
    """Count the outcomes when every ``score >= threshold`` is accepted as bona fide.

    Args:
        threshold: The decision threshold.
        bona_fide_scores: Scores of the bona fide trials, shape (N,).
        spoof_scores: Scores of the spoof trials, shape (M,).

    Returns:
        The four counts.

    Raises:
        CodecfakeError: If a class is empty or a score is not finite.
    """
    bona_fide, spoof = _checked(bona_fide_scores, spoof_scores)
    accepted_bona_fide = int(np.count_nonzero(bona_fide >= threshold))
    accepted_spoof = int(np.count_nonzero(spoof >= threshold))
    return Confusion(
        true_positives=accepted_bona_fide,
        false_negatives=bona_fide.size - accepted_bona_fide,
        false_positives=accepted_spoof,
        true_negatives=spoof.size - accepted_spoof,
    )


def tied_share(scores: np.ndarray) -> float:
    """Share of the scores, 0 to 1, that occur more than once: a sign of saturated or rounded scores."""
    if not len(scores):
        return 0.0
    counts = np.unique(scores, return_counts=True)[1]
    return float(counts[counts > 1].sum() / len(scores))


def _checked(bona_fide_scores: np.ndarray, spoof_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both classes as float64, refused when empty or not finite."""
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


def _threshold_before(distinct: np.ndarray, point: int) -> float:
    """A threshold that accepts exactly ``distinct[point:]``."""
    if point == 0:
        return float(distinct[0])
    if point == distinct.size:
        return float(np.nextafter(distinct[-1], np.inf))
    below, above = distinct[point - 1], distinct[point]
    middle = below / 2 + above / 2
    return float(middle if below < middle <= above else above)
