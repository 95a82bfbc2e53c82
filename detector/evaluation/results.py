"""The results of an evaluation, and how one set of trials is measured."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.detector.metrics import (
    Confusion,
    Interval,
    TrialScores,
    act_dcf,
    area_under_curve,
    bootstrap_intervals,
    cllr,
    confusion_at,
    eer_of,
    min_dcf,
    rank_scores,
    tied_share_of,
)
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

SCORE_DIRECTION = "higher = bona fide; bona fide is the positive class"


@dataclass(frozen=True)
class ConditionResult:
    """Results of one set of trials; intervals are at 95 %, None where there is only one source utterance."""

    condition: str
    """``dev``, a condition such as ``C4``, ``pooled``, or a value such as ``F04``."""
    by: str
    """``condition``, or the column whose value is `condition`."""
    bona_fide: int
    spoof: int
    source_utterances: int
    unreadable: int
    """Trials without audio; no other number counts them."""
    eer_percent: float
    eer_interval_percent: Interval | None
    eer_threshold: float
    inverted: bool
    """Whether spoofs score higher: the AUC is below 0.5. Nothing is flipped."""
    min_dcf: float
    min_dcf_interval: Interval | None
    act_dcf: float | None
    """None, as Cllr, where the scores are no log-likelihood ratios."""
    act_dcf_interval: Interval | None
    cllr: float | None
    """In bits."""
    cllr_interval: Interval | None
    auc: float
    """0 to 1."""
    auc_interval: Interval | None
    tied_percent: float
    """Trials whose score another trial has too."""
    confusion: Confusion
    """At the stated threshold, not at ``eer_threshold``."""
    accuracy_percent: float
    balanced_accuracy_percent: float
    f1_percent: float
    false_positive_percent: float
    """Spoof accepted as bona fide."""
    false_negative_percent: float
    """Bona fide rejected."""


@dataclass(frozen=True)
class Evaluation:
    """Results of a detector."""

    detector: str
    """Name of the detector or of the score files."""
    split: str
    """Name of the split, or where the score files came from."""
    threshold: float
    """A score at or above it is called bona fide in the confusions."""
    threshold_origin: str
    dev: ConditionResult | None
    conditions: list[ConditionResult]
    mean_eer_percent: float
    """Mean of the conditions' EERs (the paper's CAVG when the conditions are C1..C7), without robustness conditions."""
    averaged: list[str]
    """The conditions that the mean is over."""
    averages: dict[str, float]
    """EER averages of the paper whose conditions are all there, by their name, and of the conditions of each
    robustness setting, in percent."""
    pooled: ConditionResult
    """All conditions together, without robustness conditions; a bona fide file that several share counts once."""
    breakdown: list[ConditionResult]
    """The pooled trials by codec, attack, corpus, language, sex and duration, as far as known."""
    notes: list[str]
    """What was assumed, and how the numbers were made."""
    warnings: list[str]
    """What a reader of the numbers must know."""

    @property
    def results(self) -> list[ConditionResult]:
        """Dev, where there is one, every condition, and the pool."""
        return [*([self.dev] if self.dev else []), *self.conditions, self.pooled]

    def to_json(self) -> dict[str, Any]:
        """Content of ``evaluation.json``."""
        return {"score": SCORE_DIRECTION, **asdict(self)}


def require_both_classes(trials: ScoredTrials) -> None:
    """Refuse a set of scored trials in which a class is missing.

    Raises:
        CodecfakeError: If there is no scored bona fide or no scored spoof trial.
    """
    bona_fide, spoof = len(trials.of(Label.BONA_FIDE)), len(trials.of(Label.SPOOF))
    if not (bona_fide and spoof):
        raise CodecfakeError(
            f"{trials.name}: {bona_fide} bona fide and {spoof} spoof files have scores; "
            "an error rate needs both classes",
            cause="too few utterances were built or labelled, or the files of one class could not be read",
            next_step="score files of both classes",
        )


def measure(
    trials: ScoredTrials, llrs: np.ndarray | None, threshold: float, rounds: int, *, by: str = "condition"
) -> ConditionResult:
    """Compute everything that is said about one set of trials.

    Args:
        trials: N trials of both classes.
        llrs: Their natural log-likelihood ratios, shape (N,), or None.
        threshold: The threshold of the confusion.
        rounds: Rounds of the bootstrap; 0 gives no intervals.
        by: What the name of the trials is a value of.

    Raises:
        CodecfakeError: If a class is missing.
    """
    require_both_classes(trials)
    groups = trials.source_utterances()
    classes = []
    for label in Label:
        chosen = trials.labels == label
        ratios = None if llrs is None else llrs[chosen]
        classes.append(TrialScores(trials.scores[chosen], groups[chosen], ratios))
    bona_fide, spoof = classes
    ranked = rank_scores(bona_fide.scores, spoof.scores)
    eer, auc = eer_of(ranked), area_under_curve(ranked)
    intervals = bootstrap_intervals(bona_fide, spoof, rounds=rounds)
    in_parts = intervals.get("eer")
    confusion = confusion_at(threshold, bona_fide.scores, spoof.scores)
    return ConditionResult(
        condition=trials.name,
        by=by,
        bona_fide=ranked.bona_fide,
        spoof=ranked.spoof,
        source_utterances=int(groups.max()) + 1,
        unreadable=trials.unreadable,
        eer_percent=100 * eer.rate,
        eer_interval_percent=in_parts and Interval(100 * in_parts.low, 100 * in_parts.high),
        eer_threshold=eer.threshold,
        inverted=auc < 0.5,
        min_dcf=min_dcf(ranked),
        min_dcf_interval=intervals.get("min_dcf"),
        act_dcf=None if llrs is None else act_dcf(bona_fide.llrs, spoof.llrs),
        act_dcf_interval=intervals.get("act_dcf"),
        cllr=None if llrs is None else cllr(bona_fide.llrs, spoof.llrs),
        cllr_interval=intervals.get("cllr"),
        auc=auc,
        auc_interval=intervals.get("auc"),
        tied_percent=100 * tied_share_of(ranked),
        confusion=confusion,
        accuracy_percent=100 * confusion.accuracy,
        balanced_accuracy_percent=100 * confusion.balanced_accuracy,
        f1_percent=100 * confusion.f1,
        false_positive_percent=100 * confusion.false_positive_rate,
        false_negative_percent=100 * confusion.false_negative_rate,
    )
