"""Detection metrics on plain score arrays: no files, no labels, higher score = bona fide."""

from codecfake.detector.metrics.bootstrap import Interval, TrialScores, bootstrap_intervals
from codecfake.detector.metrics.confusion import Confusion, confusion_at
from codecfake.detector.metrics.costs import ASVSPOOF5, CostModel, act_dcf, cllr, min_dcf
from codecfake.detector.metrics.eer import EqualErrorRate, compute_eer, eer_of
from codecfake.detector.metrics.ranking import (
    RankedScores,
    area_under_curve,
    rank_scores,
    tied_share,
    tied_share_of,
)

__all__ = [
    "ASVSPOOF5",
    "Confusion",
    "CostModel",
    "EqualErrorRate",
    "Interval",
    "RankedScores",
    "TrialScores",
    "act_dcf",
    "area_under_curve",
    "bootstrap_intervals",
    "cllr",
    "compute_eer",
    "confusion_at",
    "eer_of",
    "min_dcf",
    "rank_scores",
    "tied_share",
    "tied_share_of",
]
