"""From scored trials to an evaluation, for run folders and score files alike."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from codecfake.detector.evaluation.breakdown import breakdown_masks
from codecfake.detector.evaluation.results import ConditionResult, Evaluation, measure, require_both_classes
from codecfake.detector.evaluation.score_scales import Scale, ratios_of
from codecfake.detector.evaluation.scored_trials import ScoredTrials, pool_trials
from codecfake.detector.metrics import compute_eer
from codecfake.detector.metrics.bootstrap import ROUNDS, SEED
from codecfake.manifests.labels import Label
from codecfake.manifests.splits import condition_order

POOLED = "pooled"
CODEC_CONDITIONS = tuple(f"C{number}" for number in range(1, 8))
AVERAGES = {
    "CAVG": CODEC_CONDITIONS,
    "AVG": ("19LA", "ITW", *CODEC_CONDITIONS),
    "LAVG": ("A1", "A2", "A3"),
    "bit-rate AVG": ("C3-1", "C3-2", "C3-3", "C3-4", "C4-1", "C4-2", "C4-3"),
}
"""Averages of the paper (arXiv 2405.04880, Tables III, IV, VI, VII, VIII) and the conditions they are over."""


def published_condition(name: str) -> str:
    """The paper's name of a condition: the authors' files call A1..A3 L1..L3."""
    return f"A{name[1]}" if name in ("L1", "L2", "L3") else name


def paper_order(name: str) -> tuple[int, tuple[int, int, str]]:
    """Sort key of conditions: those of the paper as its tables have them, then the others."""
    known = [condition for name in ("AVG", "bit-rate AVG", "LAVG") for condition in AVERAGES[name]]
    published = published_condition(name)
    return known.index(published) if published in known else len(known), condition_order(name)


def average_eers(eers: Mapping[str, float]) -> dict[str, float]:
    """The averages of the paper whose conditions are all among ``eers``."""
    renamed = {published_condition(name): value for name, value in eers.items()}
    return {
        name: fmean(renamed[condition] for condition in conditions)
        for name, conditions in AVERAGES.items()
        if all(condition in renamed for condition in conditions)
    }


def choose_threshold(
    given: float | None, dev: ScoredTrials | None, *, are_softmax: bool
) -> tuple[float, str]:
    """Choose the threshold of the confusions, and say in words where it comes from.

    Args:
        given: What the user wants.
        dev: Trials to fix it on.
        are_softmax: Whether the scores are probabilities of bona fide.

    Raises:
        CodecfakeError: If dev lacks a class.
    """
    if given is not None:
        return given, "given with --threshold"
    if dev is not None:
        require_both_classes(dev)
        eer = compute_eer(dev.of(Label.BONA_FIDE), dev.of(Label.SPOOF))
        return eer.threshold, "fixed on dev (its EER threshold)"
    if are_softmax:
        return 0.5, "the authors' choice for softmax scores, as all scores lie within 0 and 1"
    return 0.0, "where a difference of logits calls both classes equally likely"


def assemble(
    *,
    detector: str,
    split: str,
    dev: ScoredTrials | None,
    conditions: Sequence[ScoredTrials],
    threshold: float,
    threshold_origin: str,
    scale: Scale | None = None,
    log_prior_odds: float = 0.0,
    rounds: int = ROUNDS,
    pooled_unreadable: int = 0,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Evaluation:
    """Measure dev, every condition, all of them pooled, and the pool by what is known of its trials.

    Robustness conditions are measured and averaged by their setting, and stay out of the mean and the pool, so that
    these say the same whether or not a run has any.

    Args:
        detector: Name of the detector or score files.
        split: Name of the split or source.
        dev: The trials that fix the threshold, if there are such.
        conditions: The evaluated conditions, one at least.
        threshold: Threshold of the confusions.
        threshold_origin: Where it comes from, in words.
        scale: What the scores are, where it is stated.
        log_prior_odds: Log odds of bona fide in training, which the scores contain.
        rounds: Rounds of the bootstrap.
        pooled_unreadable: Files without a score in any condition, each counted once.
        notes: Notes that come first.
        warnings: Warnings that come first.

    Raises:
        CodecfakeError: If no condition has both classes.
    """
    conditions, lacking = _with_both_classes(conditions)
    clean = [part for part in conditions if not part.processing] or conditions
    pooled = replace(pool_trials(clean, POOLED), unreadable=pooled_unreadable)
    known = [*([dev] if dev else []), pooled]
    ratios = ratios_of(np.concatenate([part.scores for part in known]), scale, log_prior_odds)

    def measured(part: ScoredTrials, by: str = "condition") -> ConditionResult:
        return measure(part, ratios.of(part.scores), threshold, rounds, by=by)

    results = [measured(part) for part in [*([dev] if dev else []), *conditions]]
    by_name = {result.condition: result for result in results}
    is_one = len(clean) == 1
    results.append(_renamed(by_name[clean[0].name], POOLED) if is_one else measured(pooled))
    breakdown: list[ConditionResult] = []
    # What has the same trials has the same results: corpus and language mostly do.
    done = {np.ones(len(pooled), dtype=bool).tobytes(): results[-1]}
    for column, value, mask in breakdown_masks(pooled):
        found = done.get(mask.tobytes())
        row = _renamed(found, value, column) if found else measured(pooled.take(mask, value), column)
        done[mask.tobytes()] = row
        breakdown.append(row)
    evaluated = results[1:-1] if dev else results[:-1]
    eers = {part.name: by_name[part.name].eer_percent for part in clean}
    return Evaluation(
        detector=detector,
        split=split,
        threshold=threshold,
        threshold_origin=threshold_origin,
        dev=results[0] if dev else None,
        conditions=evaluated,
        mean_eer_percent=float(np.mean(list(eers.values()))),
        averaged=list(eers),
        averages=average_eers(eers) | _average_by_setting(conditions, clean, by_name),
        pooled=results[-1],
        breakdown=breakdown,
        notes=[*notes, *_method(rounds), ratios.note],
        warnings=[*warnings, *lacking, *_inverted(results + breakdown)],
    )


def _average_by_setting(
    conditions: Sequence[ScoredTrials], clean: Sequence[ScoredTrials], by_name: Mapping[str, ConditionResult]
) -> dict[str, float]:
    """Mean EER in percent over the conditions of each robustness setting, where there are clean ones beside.

    A setting that lacks some of them says so in its name: its mean is not to be held against that of another.
    """
    eers: dict[str, list[float]] = {}
    for part in conditions:
        if not any(part is other for other in clean):
            eers.setdefault(part.processing, []).append(by_name[part.name].eer_percent)
    part = {
        setting: f" ({len(values)} of {len(clean)} conditions)" if len(values) < len(clean) else ""
        for setting, values in eers.items()
    }
    return {f"mean under {setting}{part[setting]}": fmean(values) for setting, values in eers.items()}


def _with_both_classes(conditions: Sequence[ScoredTrials]) -> tuple[list[ScoredTrials], list[str]]:
    """The conditions that can be measured, and a sentence about each of the others."""
    kept, sentences = [], []
    for part in conditions:
        counts = [len(part.of(label)) for label in Label]
        if all(counts):
            kept.append(part)
        else:
            sentences.append(
                f"{part.name} is left out: {counts[0]:,} bona fide and {counts[1]:,} spoof files have scores, and an "
                "error rate needs both classes"
            )
    if not kept:
        require_both_classes(conditions[0])
    return kept, sentences


def _renamed(result: ConditionResult, name: str, by: str = "condition") -> ConditionResult:
    """The same results of the same trials under another name; unreadable files are not told apart by value."""
    return replace(result, condition=name, by=by, unreadable=result.unreadable if by == "condition" else 0)


def _method(rounds: int) -> list[str]:
    costs = (
        "EER is at each set's own threshold, by the nearest step, ties between both classes by a straight line. "
        "minDCF, actDCF and Cllr (bits) have the constants of ASVspoof 5: spoof prior 0.05, cost 1 of a bona fide "
        "trial rejected, 10 of a spoof accepted, 1 = the better decision without scores."
    )
    if not rounds:
        return [costs]
    return [
        costs,
        f"Intervals hold 95 % of {rounds:,} bootstrap rounds that draw source utterances, with all their trials, "
        f"anew (percentiles, seed {SEED}). Where no error was seen they are 0 to 0 and say nothing about unseen ones.",
    ]


def _inverted(results: Sequence[ConditionResult]) -> list[str]:
    sentences = []
    for result in results:
        if result.inverted:
            name = result.condition if result.by == "condition" else f"{result.by} {result.condition}"
            sentences.append(
                f"{name}: inverted scores: AUC {result.auc:.4f} is below 0.5, so spoofs score higher than bona fide "
                f"trials. EER {result.eer_percent:.3f} % is reported as it is; nothing was flipped."
            )
    return sentences
