"""Evaluate score files, whoever wrote them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from codecfake.detector.evaluation.assembling import assemble, choose_threshold, paper_order
from codecfake.detector.evaluation.codecfake_names import columns_of_names
from codecfake.detector.evaluation.label_keys import LabelKey, plain_name, read_keys
from codecfake.detector.evaluation.report import publish_evaluation
from codecfake.detector.evaluation.results import Evaluation
from codecfake.detector.evaluation.score_formats import ScoreFile, read_score_file
from codecfake.detector.evaluation.score_scales import Scale, are_probabilities
from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.detector.metrics.bootstrap import ROUNDS
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import read_json

DEV = "dev"
SUFFIXES = (".txt", ".tsv", ".csv", ".score", ".scores")
FOLDERS_WITHOUT_A_NAME = ("scores", "result", "results")
UNREADABLE_FILE, ABOUT_FILE = "unreadable.tsv", "scores.json"
"""What `codecfake score` writes beside the scores."""


def evaluate_files(
    paths: Sequence[Path],
    *,
    keys: Sequence[Path] = (),
    split: str | None = None,
    format_name: str | None = None,
    scale: Scale | None = None,
    threshold: float | None = None,
    rounds: int = ROUNDS,
    out: Path | None = None,
) -> Evaluation:
    """Evaluate score files; each is a condition, named after its file.

    Args:
        paths: Score files, plain or gzipped, and folders of such.
        keys: Keys that label the trials of files without labels.
        split: Name of the split, for a key that is a run folder with several.
        format_name: Format of all files; recognised one by one when not given.
        scale: What the scores are, for actDCF and Cllr.
        threshold: Threshold of the confusions. Without it: that of the EER of a file called dev, else 0.5 where all
            scores lie within 0 and 1, as the authors decide, else 0.
        rounds: Rounds of the bootstrap; 0 gives no intervals.
        out: Folder to write ``evaluation.*`` into.

    Returns:
        The results.

    Raises:
        CodecfakeError: If a file is no score file, trials lack their label, a condition lacks a class, or
            two files are of one condition.
    """
    notes: list[str] = []
    warnings: list[str] = []
    read = _read_all(paths, format_name, warnings)
    if not read:
        raise CodecfakeError(
            f"{', '.join(map(str, paths))}: no score file there", next_step="name the files themselves"
        )
    notes += _formats(read)
    for name, file in read.items():
        if file.bad.first:
            warnings.append(f"{name}: {file.bad.summary(file.path)}")
    key = read_keys(keys, split)
    notes += key.notes
    parts = [_labelled(name, file, key, notes) for name, file in read.items()]
    unscored = len(key.labels.keys() - key.unscored_phases.keys() - _scored_names(read))
    if unscored:
        warnings.append(
            f"the keys hold {unscored:,} trials that no score file names: the numbers are about the others only"
        )
    dev = next((part for part in parts if part.name == DEV), None)
    conditions = [part for part in parts if part is not dev] or parts
    dev = dev if conditions is not parts else None
    are_softmax = are_probabilities(np.concatenate([part.scores for part in parts]))
    value, origin = choose_threshold(threshold, dev, are_softmax=are_softmax)
    evaluation = assemble(
        detector=_detector_name(paths),
        split="score files",
        dev=dev,
        conditions=conditions,
        threshold=value,
        threshold_origin=origin,
        scale=scale,
        rounds=rounds,
        notes=notes,
        warnings=warnings,
    )
    if out is not None:
        publish_evaluation(out, evaluation, parts)
    return evaluation


def condition_name(path: Path) -> str:
    """Name of the condition of a score file: ``C1`` for ``C1_result.txt.gz``."""
    name = path.name.removesuffix(".gz")
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name.removesuffix("_result") or path.name


def _read_all(paths: Sequence[Path], format_name: str | None, warnings: list[str]) -> dict[str, ScoreFile]:
    """All score files by condition; what is none is skipped, with a warning, in folders only."""
    read: dict[str, ScoreFile] = {}
    for given in paths:
        for path in _files(given, warnings):
            name = condition_name(path)
            if name in read:
                raise CodecfakeError(
                    f"{read[name].path} and {path} are both of the condition {name}",
                    cause="score files of two detectors, or one file plain and gzipped",
                    next_step="evaluate one detector at a time",
                )
            try:
                read[name] = read_score_file(path, format_name)
            except CodecfakeError as error:
                if path == given:
                    raise
                warnings.append(f"{path.name} was skipped: {error.what}")
    return read


def _files(path: Path, warnings: list[str]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = [
        file
        for file in sorted(path.iterdir())
        if file.is_file()
        and file.name.removesuffix(".gz").endswith(SUFFIXES)
        and not file.name.startswith((".", "evaluation."))
        and file.name != UNREADABLE_FILE
    ]
    about = path / ABOUT_FILE
    if about.is_file() and (warning := read_json(about, {}).get("warning")):
        warnings.append(warning)
    if (path / UNREADABLE_FILE).is_file():
        count = len((path / UNREADABLE_FILE).read_text(encoding="utf-8").splitlines()) - 1
        if count:
            warnings.append(
                f"{count:,} files have no score, as their audio could not be read: {UNREADABLE_FILE}"
            )
    yield from sorted(found, key=lambda file: paper_order(condition_name(file)))


def _labelled(name: str, file: ScoreFile, key: LabelKey, notes: list[str]) -> ScoredTrials:
    """The trials of a file with their labels and all that its names and the keys tell."""
    columns = columns_of_names(file.files)
    if file.attacks is not None:
        columns["attack"] = file.attacks
    if file.labels is not None:
        return ScoredTrials(name, file.files, file.scores, file.labels, columns)
    plain = [plain_name(entry) for entry in file.files]
    without = [entry for entry, bare in zip(file.files, plain, strict=True) if bare not in key.labels]
    if without:
        raise CodecfakeError(
            f"{name}: {len(without):,} of {len(plain):,} trials have no label, such as {', '.join(without[:3])}",
            cause="the key is of another dataset" if key.labels else f"{file.path.name} holds no labels",
            next_step="give the key, protocol or folder of the dataset with --key",
        )
    labels = np.array([key.labels[bare] for bare in plain], dtype=np.int64)
    trials = ScoredTrials(name, file.files, file.scores, labels, columns | key.columns(plain))
    is_scored = np.array([bare not in key.unscored_phases for bare in plain], dtype=bool)
    if is_scored.all():
        return trials
    notes.append(
        f"{name}: {np.count_nonzero(~is_scored):,} trials of the phases progress and hidden were left out, as in the "
        "results of ASVspoof 2021"
    )
    return trials.take(is_scored, name)


def _scored_names(read: dict[str, ScoreFile]) -> set[str]:
    return {plain_name(entry) for file in read.values() for entry in file.files}


def _formats(read: dict[str, ScoreFile]) -> list[str]:
    by_layout: dict[str, list[str]] = {}
    for name, file in read.items():
        by_layout.setdefault(file.format.layout, []).append(name)
    return [f"Format of {', '.join(names)}: {layout}." for layout, names in by_layout.items()]


def _detector_name(paths: Sequence[Path]) -> str:
    first = paths[0].absolute()
    folder = first if first.is_dir() else first.parent
    return folder.parent.name if folder.name in FOLDERS_WITHOUT_A_NAME else folder.name
