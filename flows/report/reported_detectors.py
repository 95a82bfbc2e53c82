"""The detectors that a report is about: their training, their evaluation, and why one has none."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.detector.evaluation.against_paper import Comparison, compare_with_paper
from codecfake.detector.evaluation.described import checked, read_checked_description
from codecfake.detector.evaluation.results import Evaluation
from codecfake.detector.evaluation.run_evaluation import evaluate_scores
from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.detector.model import DESCRIPTION_FILE
from codecfake.detector.training.folder import STATE_FILE, EpochRecord
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import read_json
from codecfake.manifests.showing import one_line

if TYPE_CHECKING:
    from codecfake.pipeline.monitor import Monitor

DETECTORS = "detectors"


@dataclass(frozen=True)
class ReportedDetector:
    """A detector, as far as it is trained, scored and evaluated."""

    name: str
    description: dict[str, Any]
    """``model.json``; empty while it is trained."""
    history: list[EpochRecord]
    evaluation: Evaluation | None
    parts: list[ScoredTrials]
    comparison: Comparison | None
    problem: str
    """Why there is no evaluation, and what to type."""


def find_detectors(data: Path, given: Sequence[Path]) -> list[Path]:
    """Folders of the detectors of a run that were at least begun, and of those named by the user."""
    own = sorted(path for path in (data / DETECTORS).glob("[!.]*") if path.is_dir())
    begun = [path for path in own if any((path / name).is_file() for name in (DESCRIPTION_FILE, STATE_FILE))]
    return list(dict.fromkeys([*begun, *(path.absolute() for path in given)]))


def detector_names(folders: Sequence[Path]) -> dict[Path, str]:
    """A name for each folder of a detector; by default a detector is called as its model, so many are called alike."""
    names: dict[Path, str] = {}
    for folder in folders:
        others = sum(other.name == folder.name for other in names)
        name = one_line(folder.name)  # a name of the file system need not be text
        names[folder] = f"{name} #{others + 1}" if others else name
    return names


def read_detectors(
    data: Path, folders: Sequence[Path], split: str | None, rounds: int, monitor: "Monitor"
) -> list[ReportedDetector]:
    """Evaluate every scored detector, those first; what is wrong with one does not stop the others."""
    if not folders:
        return []
    monitor.begin("Evaluating", len(folders), "detectors")
    found = []
    for folder, name in detector_names(folders).items():
        monitor.raise_if_stopped()
        found.append(_read_detector(data, folder, name, split, rounds))
        monitor.advance(1)
    monitor.end()
    return sorted(found, key=lambda detector: detector.evaluation is None)


def _read_detector(data: Path, folder: Path, name: str, split: str | None, rounds: int) -> ReportedDetector:
    description, evaluation, parts, comparison, problem = {}, None, [], None, ""
    history: list[EpochRecord] = []
    try:
        history = _read_history(folder)
        description = read_checked_description(folder)
        evaluation, scored, _ = evaluate_scores(data, folder, split=split, rounds=rounds)
        evaluation = replace(evaluation, detector=name)
        measured = {result.condition for result in evaluation.results}
        parts = [part for part in scored if part.name in measured]
    except CodecfakeError as error:
        problem = str(error).replace(f"{data.parent}{os.sep}", "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{folder.name} cannot be read: {error!r}"
    if evaluation:
        try:
            comparison = compare_with_paper(evaluation, None, description)
        except CodecfakeError:
            comparison = None  # it is in no row of the paper
    return ReportedDetector(name, description, history, evaluation, parts, comparison, problem)


def _read_history(folder: Path) -> list[EpochRecord]:
    """The epochs so far; what an older version did not write is not a number."""
    path = folder / STATE_FILE
    if not path.is_file():
        return []
    names = [field.name for field in fields(EpochRecord)]
    rows = checked(list[dict[str, Any]], read_json(path, {"history": list})["history"], path)
    known = [{name: row.get(name, math.nan) for name in names} for row in rows]
    return checked(list[EpochRecord], known, path)
