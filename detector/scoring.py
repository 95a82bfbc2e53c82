"""Score a split with a trained detector; what is scored already is not scored again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from codecfake.detector.loading import CropLoader, Unreadable
from codecfake.detector.model import Detector, detection_scores, load_detector
from codecfake.detector.score_files import (
    UNREADABLE_FILE,
    publish_scores,
    publish_unreadable,
    read_scores,
    score_path,
    start_scores,
)
from codecfake.detector.trials import SplitTrials, TrialList, read_trials
from codecfake.manifests.errors import CodecfakeError

BATCH_SIZE = 32
REPORT_SECONDS = 10.0


@dataclass(frozen=True)
class ScoreResult:
    """What a scoring did."""

    scores_dir: Path
    scored: int
    """Files the network was run on by this call."""
    reused: int
    """Files whose scores were there already."""
    unreadable: list[Unreadable]


def score(
    run_dir: Path, detector_dir: Path, device: str | torch.device, report: Callable[[str], None]
) -> ScoreResult:
    """Score dev and every condition of the split that the detector was trained on.

    Writes ``scores/dev.tsv``, ``scores/C1.tsv``, ... and ``scores/unreadable.tsv``. A file is scored once
    even when several conditions hold it. Stopped and run again, it goes on after the last finished
    condition; files that were unreadable are tried again.

    Args:
        run_dir: The run folder.
        detector_dir: Folder of a trained detector.
        device: Where to compute.
        report: Receives one line of progress at a time.

    Returns:
        Counts, and the files that could not be read.

    Raises:
        CodecfakeError: If the detector is absent or damaged, or the split changed since it was trained.
    """
    detector_dir = Path(detector_dir)
    detector, description = load_detector(detector_dir, device)
    trials = read_unchanged_trials(run_dir, description)
    scores_dir = detector_dir / "scores"
    start_scores(scores_dir, description["weights_sha256"])

    parts = [trials.dev, *trials.conditions.values()]
    written = {part.name: read_scores(scores_dir, part.name) for part in parts}
    known = {file: value for values in written.values() for file, value in values.items()}
    reused, scored = len(known), 0
    unreadable: dict[str, Unreadable] = {}
    for part in parts:
        left = [
            position
            for position, file in enumerate(part.files)
            if file not in known and file not in unreadable
        ]
        new = _score_part(detector, part, left, unreadable, device, report)
        scored += len(new)
        known |= new
        scores = {file: known[file] for file in part.files if file in known}
        if scores != written[part.name] or not score_path(scores_dir, part.name).is_file():
            publish_scores(scores_dir, part.name, scores)
        report(f"{part.name}: {len(scores)} of {len(part)} files scored, {len(new)} of them now")
    publish_unreadable(scores_dir, list(unreadable.values()))
    if unreadable:
        report(f"{len(unreadable)} files could not be read: {scores_dir / UNREADABLE_FILE}")
    return ScoreResult(scores_dir, scored, reused, list(unreadable.values()))


def read_unchanged_trials(run_dir: Path, description: dict) -> SplitTrials:
    """Read the split of a detector, and refuse it when it is not the one the detector was trained on.

    Args:
        run_dir: The run folder.
        description: Content of the detector's ``model.json``.

    Returns:
        The trials.

    Raises:
        CodecfakeError: If the split is absent or was made anew with other content.
    """
    trials = read_trials(run_dir, description["split"])
    if trials.manifest_sha256 != description["manifest_sha256"]:
        raise CodecfakeError(
            f"the split {trials.name} changed since the detector was trained on it, so its evaluation "
            "files may have been trained on",
            cause="more audio was built, or the split was made anew with another seed",
            next_step="train a detector under another name",
        )
    return trials


@torch.inference_mode()
def _score_part(
    detector: Detector,
    part: TrialList,
    positions: list[int],
    unreadable: dict[str, Unreadable],
    device: str | torch.device,
    report: Callable[[str], None],
) -> dict[str, float]:
    """Scores of the trials at ``positions``; those without audio are added to ``unreadable``."""
    scores: dict[str, float] = {}
    started = reported = time.perf_counter()
    for batch in CropLoader(part, keep=False).batches(positions, BATCH_SIZE):
        unreadable |= {bad.file: bad for bad in batch.unreadable}
        if not batch.positions:
            continue
        values = detection_scores(detector(batch.waves.to(device))).numpy()
        if not np.isfinite(values).all():
            raise CodecfakeError(f"{part.name}: the detector gives scores that are not finite")
        scores |= {part.files[i]: float(value) for i, value in zip(batch.positions, values, strict=True)}
        now = time.perf_counter()
        if now - reported > REPORT_SECONDS:
            reported = now
            speed = len(scores) / (now - started)
            report(f"{part.name}: {len(scores)}/{len(positions)} files, {speed:.1f} utterances/s")
    return scores
