"""Evaluate the scores of a detector: error rates per condition, at a threshold fixed on dev."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codecfake.detector.metrics import Confusion, compute_eer, confusion_at, tied_share
from codecfake.detector.model import read_description
from codecfake.detector.score_files import read_scores, read_unreadable
from codecfake.detector.scoring import read_unchanged_trials
from codecfake.detector.trials import DEV, TrialList
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

POOLED = "pooled"


@dataclass(frozen=True)
class ConditionResult:
    """Results of one set of trials."""

    condition: str
    """``dev``, a condition such as ``C4``, or ``pooled``."""
    bona_fide: int
    spoof: int
    unreadable: int
    """Trials without audio; no other number counts them."""
    eer_percent: float
    eer_threshold: float
    confusion: Confusion
    """At the dev threshold, not at ``eer_threshold``."""
    accuracy_percent: float
    false_positive_percent: float
    """Spoof accepted as bona fide."""
    false_negative_percent: float
    """Bona fide rejected."""
    tied_percent: float
    """Trials whose score another trial has too."""


@dataclass(frozen=True)
class Evaluation:
    """Results of a detector on its split."""

    detector: str
    split: str
    threshold: float
    """The threshold of dev's EER: a score at or above it is called bona fide."""
    dev: ConditionResult
    conditions: list[ConditionResult]
    mean_eer_percent: float
    """Mean of the conditions' EERs (the paper's CAVG when C1..C7 are there)."""
    pooled: ConditionResult
    """All conditions together; a bona fide file that several of them share counts once."""

    def to_json(self) -> dict[str, Any]:
        """Content of ``evaluation.json``."""
        return {"score": "higher = bona fide; bona fide is the positive class", **asdict(self)}


def evaluate(run_dir: Path, detector_dir: Path) -> Evaluation:
    """Evaluate a scored detector, and write ``evaluation.{json,csv,md}`` into its folder.

    Args:
        run_dir: The run folder.
        detector_dir: Folder of a detector whose split is scored.

    Returns:
        The results.

    Raises:
        CodecfakeError: If scores are missing, a condition lacks a class, or the split changed.
    """
    from codecfake.detector.evaluation.report import publish_evaluation

    detector_dir = Path(detector_dir)
    description = read_description(detector_dir)
    trials = read_unchanged_trials(run_dir, description)
    if not trials.conditions:
        raise CodecfakeError(
            f"the split {trials.name} has no evaluation files",
            cause="too few utterances were built",
            next_step=f"codecfake status {run_dir}",
        )
    unreadable = read_unreadable(detector_dir / "scores")
    parts = [trials.dev, *trials.conditions.values()]
    tables = {part.name: _join(part, detector_dir / "scores", unreadable) for part in parts}
    everything: dict[str, tuple[float, int]] = {}
    for name in trials.conditions:
        everything |= tables[name]
    missing = {file for part in trials.conditions.values() for file in part.files} & unreadable
    bona_fide, spoof = _classes(tables[DEV], DEV)
    threshold = compute_eer(bona_fide, spoof).threshold
    results = [
        _evaluate_part(part.name, tables[part.name], len(part) - len(tables[part.name]), threshold)
        for part in parts
    ]
    evaluation = Evaluation(
        detector=detector_dir.name,
        split=trials.name,
        threshold=threshold,
        dev=results[0],
        conditions=results[1:],
        mean_eer_percent=float(np.mean([result.eer_percent for result in results[1:]])),
        pooled=_evaluate_part(POOLED, everything, len(missing), threshold),
    )
    publish_evaluation(detector_dir, evaluation)
    return evaluation


def _join(part: TrialList, scores_dir: Path, unreadable: set[str]) -> dict[str, tuple[float, int]]:
    """Score and label of every readable trial by file name; labels come from the manifest."""
    scores = read_scores(scores_dir, part.name)
    unscored = [file for file in part.files if file not in scores and file not in unreadable]
    if unscored:
        raise CodecfakeError(
            f"{part.name}: {len(unscored)} of {len(part)} files have no score (first: {unscored[0]})",
            cause="the scoring was not run or not finished",
            next_step=f"codecfake score {part.run_dir} (it resumes)",
        )
    labels = part.labels.tolist()
    return {
        file: (scores[file], label) for file, label in zip(part.files, labels, strict=True) if file in scores
    }


def _classes(table: dict[str, tuple[float, int]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the bona fide and of the spoof trials."""
    scores = np.array([score for score, _ in table.values()], dtype=np.float64)
    labels = np.array([label for _, label in table.values()], dtype=np.int64)
    bona_fide, spoof = scores[labels == Label.BONA_FIDE], scores[labels == Label.SPOOF]
    if not (bona_fide.size and spoof.size):
        raise CodecfakeError(
            f"{name}: {bona_fide.size} bona fide and {spoof.size} spoof files have scores; "
            "an error rate needs both classes",
            cause="too few utterances were built, or the files of one class could not be read",
            next_step="build more utterances, then split, train and score again",
        )
    return bona_fide, spoof


def _evaluate_part(
    name: str, table: dict[str, tuple[float, int]], unreadable: int, threshold: float
) -> ConditionResult:
    bona_fide, spoof = _classes(table, name)
    eer = compute_eer(bona_fide, spoof)
    confusion = confusion_at(threshold, bona_fide, spoof)
    return ConditionResult(
        condition=name,
        bona_fide=bona_fide.size,
        spoof=spoof.size,
        unreadable=unreadable,
        eer_percent=100 * eer.rate,
        eer_threshold=eer.threshold,
        confusion=confusion,
        accuracy_percent=100 * confusion.accuracy,
        false_positive_percent=100 * confusion.false_positive_rate,
        false_negative_percent=100 * confusion.false_negative_rate,
        tied_percent=100 * tied_share(np.concatenate([bona_fide, spoof])),
    )
