"""Results by codec, attack, corpus, language, sex and duration."""

from collections.abc import Iterator

import numpy as np

from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.manifests.labels import Label
from codecfake.manifests.splits import codec_role

COLUMNS = ("codec", "attack", "corpus", "language", "sex")
DURATIONS = ((0, 2), (2, 4), (4, 6), (6, np.inf))
"""Bins in seconds; a detector sees 4.04 s."""
NOT_A_VALUE = ("", "-")


def breakdown_masks(trials: ScoredTrials) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield column, value and which trials to measure, as a mask of shape (N,), for what is known.

    A codec or an attack that only spoofs have is measured against the bona fide trials of the same datasets,
    all of them; anything else against those that share it. Values without trials of both classes are left out.
    """
    is_real = trials.labels == Label.BONA_FIDE
    for column in COLUMNS:
        if column not in trials.columns:
            continue
        cells = trials.columns[column]
        known = np.array([cell not in NOT_A_VALUE for cell in cells.tolist()], dtype=bool)
        marks = set(cells[is_real].tolist()) - {""}
        of_spoofs_only = column in ("codec", "attack") and marks <= {"real", "-", "bonafide"}
        if of_spoofs_only:
            shared = is_real & (cells != "")
            values = set(cells[known & ~is_real].tolist())
        else:
            shared = np.zeros(len(trials), dtype=bool)
            values = set(cells[known].tolist())
        for value in sorted(values, key=lambda value: codec_role(value).order):
            yield from _both_classes(trials, column, value, (cells == value) | shared)
    if "seconds" in trials.columns:
        seconds = trials.columns["seconds"]
        for low, high in DURATIONS:
            name = f"{low} to {high:g} s" if np.isfinite(high) else f"{low} s and more"
            yield from _both_classes(trials, "duration", name, (seconds >= low) & (seconds < high))


def _both_classes(
    trials: ScoredTrials, column: str, value: str, mask: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray]]:
    if len(set(trials.labels[mask].tolist())) == len(Label):
        yield column, value, mask
