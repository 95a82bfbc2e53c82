"""Detection costs and calibration as ASVspoof 5 defines them.

Facts from the evaluation plan and package of ASVspoof 5 (github.com/asvspoof-challenge/asvspoof5): a miss is a
bona fide trial that is rejected, a false alarm a spoof that is accepted.
"""

import math
from dataclasses import dataclass

import numpy as np

from codecfake.detector.metrics.ranking import RankedScores


@dataclass(frozen=True)
class CostModel:
    """What wrong decisions cost, and how often spoofs come; the values are those of ASVspoof 5."""

    spoof_prior: float = 0.05
    miss_cost: float = 1.0
    false_alarm_cost: float = 10.0

    @property
    def miss_weight(self) -> float:
        """Cost of missing every bona fide trial."""
        return self.miss_cost * (1 - self.spoof_prior)

    @property
    def false_alarm_weight(self) -> float:
        """Cost of accepting every spoof."""
        return self.false_alarm_cost * self.spoof_prior

    @property
    def trivial_cost(self) -> float:
        """Cost of the better of the two decisions that look at no score; it normalises the costs."""
        return min(self.miss_weight, self.false_alarm_weight)

    @property
    def bayes_threshold(self) -> float:
        """The log-likelihood ratio from which accepting costs less than rejecting."""
        return math.log(self.false_alarm_weight / self.miss_weight)

    def cost(self, miss_rate: np.ndarray, false_alarm_rate: np.ndarray) -> np.ndarray:
        """Normalised detection cost; 1 is as good as not looking at the scores."""
        weighted = self.miss_weight * miss_rate + self.false_alarm_weight * false_alarm_rate
        return weighted / self.trivial_cost


ASVSPOOF5 = CostModel()


def min_dcf(ranked: RankedScores, costs: CostModel = ASVSPOOF5) -> float:
    """Lowest normalised detection cost over all thresholds, tied scores moved together; 0 to 1."""
    return float(costs.cost(ranked.miss_rates, ranked.false_alarm_rates).min())


def act_dcf(bona_fide_llrs: np.ndarray, spoof_llrs: np.ndarray, costs: CostModel = ASVSPOOF5) -> float:
    """Normalised detection cost at the Bayes threshold.

    Args:
        bona_fide_llrs: Natural log-likelihood ratios of the bona fide trials, shape (N,).
        spoof_llrs: Those of the spoof trials, shape (M,).
        costs: The cost model.
    """
    miss_rate = np.mean(bona_fide_llrs < costs.bayes_threshold)
    false_alarm_rate = np.mean(spoof_llrs >= costs.bayes_threshold)
    return float(costs.cost(miss_rate, false_alarm_rate))


def cllr(bona_fide_llrs: np.ndarray, spoof_llrs: np.ndarray) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 is as good as always saying 0.

    Args:
        bona_fide_llrs: Natural log-likelihood ratios of the bona fide trials, shape (N,).
        spoof_llrs: Those of the spoof trials, shape (M,).
    """
    return float((bits_lost(bona_fide_llrs).mean() + bits_lost(-np.asarray(spoof_llrs)).mean()) / 2)


def bits_lost(llrs: np.ndarray) -> np.ndarray:
    """Bits that each log-likelihood ratio in favour of the true class loses; finite for every finite ratio."""
    return np.logaddexp(0.0, -np.asarray(llrs, dtype=np.float64)) / math.log(2)
