"""Decisions at one threshold."""

from dataclasses import dataclass

import numpy as np

from codecfake.detector.metrics.ranking import checked_scores


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
    def balanced_accuracy(self) -> float:
        """Mean over both classes of the share that is right, 0 to 1."""
        return 1 - (self.false_positive_rate + self.false_negative_rate) / 2

    @property
    def f1(self) -> float:
        """F1 of the bona fide class, 0 to 1."""
        twice = 2 * self.true_positives
        return twice / (twice + self.false_positives + self.false_negatives)

    @property
    def false_positive_rate(self) -> float:
        """Share of the spoof trials that are accepted, 0 to 1."""
        return self.false_positives / (self.false_positives + self.true_negatives)

    @property
    def false_negative_rate(self) -> float:
        """Share of the bona fide trials that are rejected, 0 to 1."""
        return self.false_negatives / (self.false_negatives + self.true_positives)


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
    bona_fide, spoof = checked_scores(bona_fide_scores, spoof_scores)
    accepted_bona_fide = int(np.count_nonzero(bona_fide >= threshold))
    accepted_spoof = int(np.count_nonzero(spoof >= threshold))
    return Confusion(
        true_positives=accepted_bona_fide,
        false_negatives=bona_fide.size - accepted_bona_fide,
        false_positives=accepted_spoof,
        true_negatives=spoof.size - accepted_spoof,
    )
