"""What each detector says of single files."""

from collections.abc import Sequence
from pathlib import Path

from codecfake.detector.evaluation.described import read_checked_description
from codecfake.detector.score_files import read_scores
from codecfake.detector.scored_data import default_scores_dir, find_trials
from codecfake.detector.trials import SplitTrials
from codecfake.flows.report.reported_detectors import detector_names
from codecfake.manifests.errors import CodecfakeError


def scores_by_detector(
    data: Path, folders: Sequence[Path], split: str | None, trials: SplitTrials
) -> dict[str, dict[str, float]]:
    """Read the scores that detectors gave the files of a split.

    Args:
        data: The run folder, or a downloaded dataset.
        folders: Of the detectors.
        split: Name of the split, for a run that has several.
        trials: Those of the page; scores of other trials are left out.

    Returns:
        Score by file name, by name of the detector; higher = bona fide. The page about detectors tells what is
        wrong with one that is left out.
    """
    found: dict[str, dict[str, float]] = {}
    for folder, name in detector_names(folders).items():
        try:
            scored = find_trials(data, folder, read_checked_description(folder), split)
            if scored.digest != trials.digest:
                continue
            scores_dir = default_scores_dir(data, folder, scored)
            scores: dict[str, float] = {}
            for part in scored.evaluated():
                scores |= read_scores(scores_dir, part.name)
        except (CodecfakeError, OSError, ValueError, KeyError):
            continue
        if scores:
            found[name] = scores
    return found
