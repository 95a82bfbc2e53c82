"""The equal error rate, by the rule of the ASVspoof packages wherever that rule is defined."""

from dataclasses import dataclass

import numpy as np

from codecfake.detector.metrics.ranking import RankedScores, rank_scores


@dataclass(frozen=True)
class EqualErrorRate:
    """The operating point where both classes are wrong equally often."""

    rate: float
    """Share of each class that is wrong, 0 to 1; above 0.5 the scores are inverted."""
    threshold: float
    """Accepting every ``score >= threshold`` as bona fide comes nearest to this point."""


def compute_eer(bona_fide_scores: np.ndarray, spoof_scores: np.ndarray) -> EqualErrorRate:
    """Compute the equal error rate in O(n log n).

    Trials are rejected one by one from the lowest score on; the rate is the mean of miss and false alarm rate
    where the two are nearest. That is the rule of the ASVspoof 2019, 2021 and 5 packages, and it gives every
    EER of the Codecfake paper (arXiv 2405.04880) to 0.001 from the authors' score files, where interpolating
    between steps misses ten of them. Only where a tie between both classes lies on that point, so that the
    order of equal scores would decide the result, the straight line across the tie is taken instead: scores
    that are all equal give 0.5, not the 1.0 of the packages. Inverted scores give one minus the rate: the
    better direction is never picked silently.

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
    return eer_of(rank_scores(bona_fide_scores, spoof_scores))


def eer_of(ranked: RankedScores) -> EqualErrorRate:
    """`compute_eer` of scores that are ranked already."""
    missed, rejected = ranked.bona_fide_below, ranked.spoof_below
    # (miss rate - false alarm rate) * N * M, exact; it rises from point to point.
    excess = missed * ranked.spoof - (ranked.spoof - rejected) * ranked.bona_fide
    right = int(np.searchsorted(excess, 0))
    left = right - 1
    rate = rate_between(
        missed[left], missed[right], rejected[left], rejected[right], ranked.bona_fide, ranked.spoof
    )
    nearest = left if -excess[left] < excess[right] else right
    return EqualErrorRate(float(rate), ranked.threshold(nearest))


def rate_between(
    missed_left: np.ndarray,
    missed_right: np.ndarray,
    rejected_left: np.ndarray,
    rejected_right: np.ndarray,
    bona_fide: np.ndarray,
    spoof: np.ndarray,
) -> np.ndarray:
    """The equal error rate between two neighbouring operating points, for one or for R sets of trials.

    Args:
        missed_left: Bona fide rejected where misses are still rarer than false alarms, shape () or (R,).
        missed_right: Bona fide rejected at the next point, where they are not, same shape.
        rejected_left: Spoof rejected at the left point, same shape.
        rejected_right: Spoof rejected at the right point, same shape.
        bona_fide: Number N of bona fide trials, same shape.
        spoof: Number M of spoof trials, same shape.

    Returns:
        Rates from 0 to 1, same shape.
    """
    false_alarm = (spoof - rejected_left) / spoof
    miss = missed_left / bona_fide

    # Only bona fide trials lie between: as many are rejected as comes nearest to the false alarm rate.
    few = (spoof - rejected_left) * bona_fide // spoof
    many = few + ((spoof - rejected_left) * bona_fide % spoof > 0)
    is_few = np.abs(few / bona_fide - false_alarm) <= np.abs(many / bona_fide - false_alarm)
    by_bona_fide = (np.where(is_few, few, many) / bona_fide + false_alarm) / 2

    # Only spoof trials lie between: likewise, the higher false alarm rate comes first.
    low = missed_left * spoof // bona_fide
    high = low + (missed_left * spoof % bona_fide > 0)
    is_high = np.abs(miss - high / spoof) <= np.abs(miss - low / spoof)
    by_spoof = (miss + np.where(is_high, high, low) / spoof) / 2

    missed_here, rejected_here = missed_right - missed_left, rejected_right - rejected_left
    gap_left = (spoof - rejected_left) * bona_fide - missed_left * spoof
    share = gap_left / (missed_here * spoof + rejected_here * bona_fide)
    by_line = (missed_left + share * missed_here) / bona_fide
    return np.where(rejected_here == 0, by_bona_fide, np.where(missed_here == 0, by_spoof, by_line))
