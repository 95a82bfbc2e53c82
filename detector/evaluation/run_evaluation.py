"""Evaluate the scores of our detectors on a run folder or a downloaded dataset."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codecfake.detector.evaluation.assembling import assemble, choose_threshold
from codecfake.detector.evaluation.described import read_checked_description
from codecfake.detector.evaluation.report import publish_evaluation
from codecfake.detector.evaluation.results import Evaluation
from codecfake.detector.evaluation.score_scales import Scale
from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.detector.metrics.bootstrap import ROUNDS
from codecfake.detector.trials import TrialList
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label


def evaluate(run_dir: Path, detector_dir: Path) -> Evaluation:
    """Evaluate a scored detector of a run, and write ``evaluation.*`` into its folder; see `evaluate_scored`."""
    return evaluate_scored(run_dir, detector_dir)[0]


def evaluate_scored(
    data: Path, detector_dir: Path, *, split: str | None = None, rounds: int = ROUNDS
) -> tuple[Evaluation, Path]:
    """Evaluate a scored detector as `evaluate_scores` does, and write ``evaluation.*``.

    The files go into the detector's folder when it lies in the run that was scored, and else beside the scores.

    Returns:
        The results, and the folder with the files.
    """
    evaluation, parts, scores_dir = evaluate_scores(data, detector_dir, split=split, rounds=rounds)
    folder = detector_dir if scores_dir == detector_dir / "scores" else scores_dir
    publish_evaluation(folder, evaluation, parts)
    return evaluation, folder


def evaluate_scores(
    data: Path, detector_dir: Path, *, split: str | None = None, rounds: int = ROUNDS
) -> tuple[Evaluation, list[ScoredTrials], Path]:
    """Evaluate a scored detector, and write nothing.

    Args:
        data: The run folder, or a downloaded dataset that was scored.
        detector_dir: Folder of the detector.
        split: Name of the split, for a run folder that has several.
        rounds: Rounds of the bootstrap; 0 gives no intervals.

    Returns:
        The results, the scored trials of dev and every condition, and the folder of the scores.

    Raises:
        CodecfakeError: If scores are missing, no condition has both classes, or the split changed.
    """
    from codecfake.detector.score_files import read_unreadable, score_path
    from codecfake.detector.scored_data import default_scores_dir, find_trials

    detector_dir = Path(detector_dir)
    description = read_checked_description(detector_dir)
    trials = find_trials(data, detector_dir, description, split)
    if not trials.conditions:
        raise CodecfakeError(
            f"the split {trials.name} has no evaluation files",
            cause="too few utterances were built",
            next_step=f"codecfake status {data}",
        )
    scores_dir = default_scores_dir(data, detector_dir, trials)
    unreadable = read_unreadable(scores_dir)
    is_scored = {part.name: score_path(scores_dir, part.name).is_file() for part in trials.evaluated()}
    if not any(is_scored[name] for name in trials.conditions):
        raise CodecfakeError(
            f"{scores_dir} holds no scores of {trials.name}",
            cause="the detector was not scored on this data",
            next_step=f"codecfake score {data} --detector {detector_dir}",
        )
    parts = [
        _scored(part, scores_dir, unreadable, data, detector_dir)
        for part in trials.evaluated()
        if is_scored[part.name]
    ]
    dev = next((part for part in parts if part.name == trials.dev.name), None)
    threshold, origin = choose_threshold(None, dev, are_softmax=False)
    evaluation = assemble(
        detector=detector_dir.name,
        split=trials.name,
        dev=dev,
        conditions=[part for part in parts if part is not dev],
        threshold=threshold,
        threshold_origin=origin,
        scale=Scale.LLR,
        log_prior_odds=training_log_odds(description),
        rounds=rounds,
        pooled_unreadable=len(
            {file for part in trials.conditions.values() if not part.processing for file in part.files}
            & unreadable
        ),
        notes=trials.notes,
        warnings=[
            *([description["warning"]] if "warning" in description else []),
            *_left_out([part for part in trials.evaluated() if not is_scored[part.name]]),
        ],
    )
    return evaluation, parts, scores_dir


def _left_out(unscored: Sequence[TrialList]) -> list[str]:
    """What to say of conditions without scores: one sentence each, and one for all under a robustness setting."""
    under = Counter(part.processing for part in unscored if part.processing)
    return [
        *(f"{part.name} is not scored and is left out" for part in unscored if not part.processing),
        *(
            f"{count} conditions under {setting} are not scored and are left out"
            for setting, count in under.items()
        ),
    ]


def training_log_odds(description: Mapping[str, Any]) -> float:
    """Log odds of bona fide, by count and loss weight, in the training of a detector; 0 when not known."""
    weight = description.get("training", {}).get("bona_fide_weight")
    counts = [entry.get("train", {}) for entry in description.get("data", ())]
    if not all(counts):
        return 0.0
    bona_fide, spoof = (
        sum(one[label.published_name] for one in counts) for label in (Label.BONA_FIDE, Label.SPOOF)
    )
    return math.log(weight * bona_fide / spoof) if weight and bona_fide and spoof else 0.0


def _scored(
    part: TrialList, scores_dir: Path, unreadable: set[str], data: Path, detector_dir: Path
) -> ScoredTrials:
    """The readable trials of a part with their scores; labels come from the manifest."""
    from codecfake.detector.score_files import read_scores

    scores = read_scores(scores_dir, part.name)
    unscored = [file for file in part.files if file not in scores and file not in unreadable]
    if unscored:
        raise CodecfakeError(
            f"{part.name}: {len(unscored)} of {len(part)} files have no score (first: {unscored[0]})",
            cause="the scoring was not run or not finished",
            next_step=f"codecfake score {data} --detector {detector_dir} (it resumes)",
        )
    kept = np.array([file in scores for file in part.files], dtype=bool)
    files = [file for file in part.files if file in scores]
    return ScoredTrials(
        part.name,
        files,
        np.array([scores[file] for file in files], dtype=np.float64),
        part.labels[kept],
        {column: cells[kept] for column, cells in part.columns.items()},
        len(part) - len(files),
    )
