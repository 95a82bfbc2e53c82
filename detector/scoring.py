"""Score a dataset with a detector; what is scored already is not scored again."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

from codecfake.detector.loading import Batch, CropLoader, Unreadable
from codecfake.detector.model import Detector, detection_scores, load_detector
from codecfake.detector.score_board import ScoreBoard
from codecfake.detector.score_files import (
    UNREADABLE_FILE,
    publish_scores,
    publish_unreadable,
    read_scores,
    score_path,
    unreadable_lines,
)
from codecfake.detector.score_journal import ScoreJournal
from codecfake.detector.score_provenance import start_scores
from codecfake.detector.scored_data import default_scores_dir, find_trials, remarks
from codecfake.detector.staging import fetched, staged, upload
from codecfake.detector.trials import SplitTrials, TrialList
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason

BATCH_SIZE = 32
REPORT_SECONDS = 10.0
GIVE_UP_AFTER = 32
"""Scores that are not finite, with none that is, before the detector is to blame and not the audio."""


@dataclass(frozen=True)
class ScoreResult:
    """What a scoring did."""

    scores_dir: Path
    parts: list[TrialList]
    """The lists whose scores are in the folder now."""
    scored: int
    """Files the network was run on by this call."""
    reused: int
    """Files whose scores were there already."""
    unreadable: list[Unreadable]


def score(
    data: Path,
    detector_dir: Path,
    device: str | torch.device,
    report: Callable[[str], None],
    *,
    scores_dir: Path | None = None,
    conditions: Sequence[str] | None = None,
    split: str | None = None,
    batch_size: int = BATCH_SIZE,
    front_end_weights: str | None = None,
) -> ScoreResult:
    """Score dev and every condition of a dataset.

    Writes ``dev.tsv``, ``C1.tsv``, ..., ``unreadable.tsv`` and ``scores.json``, which says what the scores were
    made with. A file is scored once even when several conditions hold it. Stopped or killed and run again, it
    goes on after the last batch; files that were unreadable are tried again.

    Args:
        data: A run folder, or a downloaded dataset (see `open_trials`).
        detector_dir: Folder of a trained or imported detector.
        device: Where to compute.
        report: Receives one line of progress at a time.
        scores_dir: Where the scores go; by default see `default_scores_dir`.
        conditions: Names of the lists to score, by default all.
        split: Name of the split, for a run folder; by default the one the detector was trained on.
        batch_size: Files per network run. It changes scores by float rounding only.
        front_end_weights: Where the weights of the front end are, if not where the detector says.

    Returns:
        Counts, and the files that could not be read.

    Raises:
        CodecfakeError: If the detector is absent or damaged, the data or a condition is unknown, the split of the
            detector's own run changed since it was trained, or the folder holds scores of something else.
    """
    data, detector_dir = Path(data).resolve(), Path(detector_dir).resolve()
    detector, description = load_detector(detector_dir, device, front_end_weights=front_end_weights)
    trials = find_trials(data, detector_dir, description, split)
    parts = _choose_parts(trials, conditions)
    scores_dir = scores_dir or default_scores_dir(data, detector_dir, trials)
    start_scores(scores_dir, description, trials, parts)
    for line in [*trials.notes, *remarks(data, detector_dir, description, trials)]:
        report(line)

    board = ScoreBoard(parts)
    written = {part.name: read_scores(scores_dir, part.name) for part in parts}
    for scores in written.values():
        board.fill(scores)
    counts = {name: len(scores) for name, scores in written.items()}
    del written
    with ScoreJournal(scores_dir) as journal:
        board.fill(journal.scores)
        belongs_here = board.holds(list(journal.scores)).all()
        reused = board.scored()
        for part in parts:
            before = board.scored()
            _score_part(detector, part, board, journal, torch.device(device), batch_size, report)
            scores = board.scores_of(part)
            if len(scores) != counts[part.name] or not score_path(scores_dir, part.name).is_file():
                publish_scores(scores_dir, part.name, scores)
            report(
                f"{part.name}: {len(scores)} of {len(part)} files scored, {board.scored() - before} of them now"
            )
        if belongs_here:  # else it holds scores of conditions that were not asked for now
            journal.remove()
    _publish_unreadable(scores_dir, board)
    if board.failed:
        report(f"{len(board.failed)} files could not be read: {scores_dir / UNREADABLE_FILE}")
    return ScoreResult(scores_dir, parts, board.scored() - reused, reused, board.failed)


def _choose_parts(trials: SplitTrials, conditions: Sequence[str] | None) -> list[TrialList]:
    parts = trials.evaluated()
    known = [part.name for part in parts]
    if unknown := [name for name in conditions or () if name not in known]:
        raise CodecfakeError(
            f"{trials.name} has no condition {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )
    if not parts:
        raise CodecfakeError(f"{trials.name} has nothing to score: neither dev nor a condition")
    return [part for part in parts if conditions is None or part.name in conditions]


def _publish_unreadable(scores_dir: Path, board: ScoreBoard) -> None:
    """Renew the list of unreadable files; what it says of conditions that were not scored now is kept."""
    lines = unreadable_lines(scores_dir)
    is_renewed = board.holds([line.partition("\t")[0] for line in lines])
    kept = [line for line, renewed in zip(lines, is_renewed, strict=True) if not renewed]
    publish_unreadable(scores_dir, board.failed, kept)


@torch.inference_mode()
def _score_part(
    detector: Detector,
    part: TrialList,
    board: ScoreBoard,
    journal: ScoreJournal,
    device: torch.device,
    batch_size: int,
    report: Callable[[str], None],
) -> None:
    """Score what is left of one list, batch by batch into the journal."""
    positions = board.left(part)
    unreadable: list[Unreadable] = []
    finite = 0
    started = reported = time.perf_counter()
    batches = _readable(CropLoader(part, keep=False).batches(positions, batch_size), unreadable)
    inputs = staged(batches, lambda batch: detector.features(upload(batch.waves, device)), device)
    for batch, logits in fetched((batch, detector.network(features)) for batch, features in inputs):
        values = detection_scores(logits).numpy()
        places = np.asarray(batch.positions)
        good = np.isfinite(values)
        unreadable += [_not_finite(part.files[place]) for place in places[~good]]
        finite += int(good.sum())
        if not finite and len(unreadable) >= GIVE_UP_AFTER and unreadable[-1].reason is Reason.NON_FINITE:
            raise CodecfakeError(f"{part.name}: the detector gives scores that are not finite")
        board.record(part, places[good], values[good])
        journal.append([part.files[place] for place in places[good]], values[good].tolist())
        now = time.perf_counter()
        if now - reported > REPORT_SECONDS:
            done = finite + len(unreadable)
            reported, speed = now, done / (now - started)
            left = timedelta(seconds=round((len(positions) - done) / speed))
            report(f"{part.name}: {done}/{len(positions)} files, {speed:.1f} utterances/s, {left} left")
    board.record_failures(unreadable)


def _readable(batches: Iterable[Batch], unreadable: list[Unreadable]) -> Iterator[Batch]:
    """The batches that hold anything to score; what cannot be read is noted."""
    for batch in batches:
        unreadable += batch.unreadable
        if batch.positions:
            yield batch


def _not_finite(file: str) -> Unreadable:
    return Unreadable(file, Reason.NON_FINITE, "the score of the detector is not finite")
