"""Confidence intervals by resampling source utterances: a real and all its fakes are drawn together.

Shape legend: R rounds, G source utterances, N bona fide trials, M spoof trials, K distinct scores.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from codecfake.detector.metrics.costs import ASVSPOOF5, bits_lost
from codecfake.detector.metrics.eer import rate_between
from codecfake.detector.metrics.ranking import rank_scores

ROUNDS = 1_000
SEED = 688
LEVEL_PERCENT = 95.0
TRIALS_AT_ONCE = 2**17
"""Rounds of small sets are computed together, up to so many resampled trials."""


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of what a measure gives when the source utterances are drawn anew."""

    low: float
    high: float


@dataclass(frozen=True)
class TrialScores:
    """One class of trials, as arrays of the same length."""

    scores: np.ndarray
    groups: np.ndarray
    """Number of the source utterance, from 0 on; both classes share the numbering."""
    llrs: np.ndarray | None = None
    """Natural log-likelihood ratios, where the scores can be read as such."""


def bootstrap_intervals(
    bona_fide: TrialScores, spoof: TrialScores, *, rounds: int = ROUNDS, seed: int = SEED
) -> dict[str, Interval]:
    """Percentile intervals of the EER, minDCF and AUC, and of actDCF and Cllr where there are ratios.

    Each round draws as many source utterances as there are, with replacement; all trials of an utterance
    count as often as it was drawn. A round that leaves a class empty is drawn again. The result depends on
    the trials and the seed only, not on the number of cores.

    Args:
        bona_fide: The bona fide trials.
        spoof: The spoof trials.
        rounds: How often to draw.
        seed: Seed of the draws.

    Returns:
        Intervals by ``eer``, ``min_dcf``, ``auc``, ``act_dcf`` and ``cllr``; empty when all trials come from
        one source utterance or there are no rounds.
    """
    group_count = 1 + max(int(bona_fide.groups.max()), int(spoof.groups.max()))
    if not rounds or group_count < 2:
        return {}
    resampler = _Resampler(bona_fide, spoof, group_count, seed)
    workers = min(os.cpu_count() or 1, 8)
    shares = [range(rounds * i // workers, rounds * (i + 1) // workers) for i in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        parts = [part for done in pool.map(resampler.run, shares) for part in done]
    tails = [(100 - LEVEL_PERCENT) / 2, (100 + LEVEL_PERCENT) / 2]
    intervals = {}
    for name in parts[0]:
        low, high = np.percentile(np.concatenate([part[name] for part in parts]), tails)
        intervals[name] = Interval(float(low), float(high))
    return intervals


def draws(group_count: int, seed: int, number: int) -> Iterator[np.ndarray]:
    """How often each source utterance is drawn in a round, shape (G,); the next one is a second attempt."""
    generator = np.random.default_rng([seed, number])
    while True:
        drawn = generator.integers(0, group_count, group_count, dtype=np.int32)
        yield np.bincount(drawn, minlength=group_count).astype(np.int32)


class _Resampler:
    """Everything that stays the same from round to round."""

    def __init__(self, bona_fide: TrialScores, spoof: TrialScores, group_count: int, seed: int) -> None:
        self.group_count, self.seed = group_count, seed
        ranked = rank_scores(bona_fide.scores, spoof.scores)
        self.bona_fide_below, self.spoof_below = ranked.bona_fide_below, ranked.spoof_below
        self.bona_fide_groups = bona_fide.groups[np.argsort(bona_fide.scores)]
        self.spoof_groups = spoof.groups[np.argsort(spoof.scores)]
        # The lowest cost is reached just below a bona fide score, or where nothing is accepted.
        here = np.flatnonzero(np.diff(ranked.bona_fide_below))
        self.missed_at = np.append(ranked.bona_fide_below[here], ranked.bona_fide)
        self.rejected_at = ranked.spoof_below[here]
        spoof_here = np.flatnonzero(np.diff(ranked.spoof_below)[here])
        self.tied_at = spoof_here, ranked.spoof_below[here + 1][spoof_here]
        self.sums = self._sums_per_group(bona_fide, spoof)

    def _sums_per_group(self, bona_fide: TrialScores, spoof: TrialScores) -> np.ndarray:
        """What adds up over trials, per source utterance, shape (2, G) or (6, G)."""

        def per_group(trials: TrialScores, values: np.ndarray | None = None) -> np.ndarray:
            return np.bincount(trials.groups, values, self.group_count)

        columns = [per_group(bona_fide), per_group(spoof)]
        if bona_fide.llrs is not None and spoof.llrs is not None:
            threshold = ASVSPOOF5.bayes_threshold
            columns += [
                per_group(bona_fide, bona_fide.llrs < threshold),
                per_group(spoof, spoof.llrs >= threshold),
                per_group(bona_fide, bits_lost(bona_fide.llrs)),
                per_group(spoof, bits_lost(-spoof.llrs)),
            ]
        return np.stack(columns).astype(np.float64)

    def _draw(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """How often each source utterance counts in a round, and the sums over trials that follow."""
        for counts in draws(self.group_count, self.seed, number):
            # Not by BLAS, whose threads would stand in the way of ours.
            sums = np.einsum("ij,j->i", self.sums, counts.astype(np.float64))
            if sums[:2].all():
                return counts, sums
        raise AssertionError("the draws never end")

    def run(self, numbers: range) -> list[dict[str, np.ndarray]]:
        """All measures of some rounds, a few rounds at a time, in memory that is used again."""
        trials = len(self.bona_fide_groups) + len(self.spoof_groups)
        at_once = max(1, min(TRIALS_AT_ONCE // trials, len(numbers)))
        missed = _RunningTotal(self.bona_fide_groups, at_once)
        rejected = _RunningTotal(self.spoof_groups, at_once)
        results = []
        for start in range(0, len(numbers), at_once):
            drawn = [self._draw(number) for number in numbers[start : start + at_once]]
            counts, sums = np.stack([counts for counts, _ in drawn]), np.stack([sums for _, sums in drawn], 1)
            results.append(self._measures(missed.of(counts), rejected.of(counts), sums))
        return results

    def _measures(self, missed: np.ndarray, rejected: np.ndarray, sums: np.ndarray) -> dict[str, np.ndarray]:
        """All measures, shape (R,) each, from trials drawn up to each rank and sums over trials."""
        bona_fide, spoof = sums[0].astype(np.int64), sums[1].astype(np.int64)
        missed_here = np.take(missed, self.missed_at, axis=1)
        rejected_here = np.take(rejected, self.rejected_at, axis=1)
        costs = missed_here[:, :-1] * (ASVSPOOF5.miss_weight / bona_fide)[:, None]
        costs -= rejected_here * (ASVSPOOF5.false_alarm_weight / spoof)[:, None]
        lowest = (costs.min(axis=1) + ASVSPOOF5.false_alarm_weight) / ASVSPOOF5.trivial_cost

        # Each bona fide trial beats the spoofs below it, and half of those it is tied with.
        tied, up_to = self.tied_at
        drawn_here = np.diff(missed_here, axis=1)
        pairs = (drawn_here * rejected_here).sum(axis=1)
        tied_spoofs = np.take(rejected, up_to, axis=1) - rejected_here[:, tied]
        tied_pairs = (drawn_here[:, tied] * tied_spoofs).sum(axis=1)
        result = {
            "eer": self._eer(missed, rejected, bona_fide, spoof),
            "min_dcf": np.minimum(lowest, ASVSPOOF5.cost(1.0, 0.0)),
            "auc": (pairs + tied_pairs / 2) / (bona_fide * spoof),
        }
        if len(sums) > 2:
            result["act_dcf"] = ASVSPOOF5.cost(sums[2] / bona_fide, sums[3] / spoof)
            result["cllr"] = (sums[4] / bona_fide + sums[5] / spoof) / 2
        return result

    def _eer(
        self, missed: np.ndarray, rejected: np.ndarray, bona_fide: np.ndarray, spoof: np.ndarray
    ) -> np.ndarray:
        """Find, in every round by bisection, the first point at which misses are as common as false alarms."""
        rows = np.arange(len(missed))

        def at(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return missed[rows, self.bona_fide_below[points]], rejected[rows, self.spoof_below[points]]

        left = np.zeros(len(rows), dtype=np.int64)
        right = np.full(len(rows), self.spoof_below.size - 1)
        while (right - left > 1).any():
            middle = (left + right) // 2
            missed_here, rejected_here = at(middle)
            is_right = missed_here * spoof >= (spoof - rejected_here) * bona_fide
            left, right = np.where(is_right, left, middle), np.where(is_right, middle, right)
        missed_left, rejected_left = at(left)
        missed_right, rejected_right = at(right)
        return rate_between(missed_left, missed_right, rejected_left, rejected_right, bona_fide, spoof)


class _RunningTotal:
    """Trials drawn up to each position of a ranking.

    The arrays are kept: giving fresh memory to every round would take longer than the sums.
    """

    def __init__(self, groups: np.ndarray, rounds: int) -> None:
        self.groups = groups
        self.drawn = np.empty((rounds, len(groups)), dtype=np.int32)
        self.totals = np.zeros((rounds, len(groups) + 1), dtype=np.int64)

    def of(self, counts: np.ndarray) -> np.ndarray:
        """Running totals from 0 on, shape (R, N + 1), of counts (R, G); overwritten by the next call."""
        drawn, totals = self.drawn[: len(counts)], self.totals[: len(counts)]
        np.take(counts, self.groups, axis=1, out=drawn, mode="clip")
        np.cumsum(drawn, axis=1, out=totals[:, 1:])
        return totals
