"""The authors' own label files, met with the files of a run."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.label_files import read_label_file
from codecfake.manifests.labels import Label
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import NOWHERE, SPLITS, Placement, condition_order

if TYPE_CHECKING:
    import pyarrow as pa

KEPT_EXAMPLES = 5
CONDITION_NAME = re.compile(r"C(\d+|-.+)")


@dataclass(frozen=True)
class LabelMatch:
    """How one label file met the files of a run; every list holds the first few examples."""

    name: str
    labels: int
    matched: int
    without_file: int
    """Labels that name no file of this run."""
    without_file_examples: list[str]
    contradictions: int
    """Labels that call a bona fide file fake, or a fake one real; the run's own label is kept."""
    contradiction_examples: list[str]
    repeated: int
    """Lines that name a file once more."""
    elsewhere: int
    """Labels of files that an earlier label file put into another split; those stay there."""
    elsewhere_examples: list[str]
    bad_lines: int
    bad_line_examples: list[str]


@dataclass(frozen=True)
class LabelAssignment:
    """The splits that a folder of label files gives the files of a run."""

    split: np.ndarray
    """Split code per known file, or ``NOWHERE``."""
    condition_set: np.ndarray
    """Index into ``condition_sets`` per known file."""
    condition_sets: tuple[tuple[str, ...], ...]
    matches: list[LabelMatch] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Text files that were not read: A1-A3 and L1-L3 (no resynthesis), bit-rate variants, others."""
    unnamed: int = 0
    """Files of the run that no label names."""
    unnamed_examples: list[str] = field(default_factory=list)


def find_label_files(folder: Path) -> tuple[list[Path], list[str]]:
    """List ``train.txt``, ``dev.txt`` and the condition files of a folder, and its other text files by name.

    Raises:
        CodecfakeError: If the folder has none of them.
    """
    texts = [path for path in sorted(folder.glob("*.txt")) if path.is_file()] if folder.is_dir() else []
    used = [path for path in texts if path.stem in SPLITS[:2] or CONDITION_NAME.fullmatch(path.stem)]
    if not used:
        raise CodecfakeError(
            f"{folder} has no label files",
            cause="expected train.txt, dev.txt, C1.txt ... C7.txt, as in label/ of the published dataset",
        )
    known = {name: (rank, 0, "") for rank, name in enumerate(SPLITS[:2], start=-2)}
    used.sort(key=lambda path: known.get(path.stem) or condition_order(path.stem))
    return used, sorted(path.name for path in set(texts) - set(used))


def assign_from_labels(folder: Path, known_files: "pa.Table") -> LabelAssignment:
    """Assign the files of a run as the authors' own label files do.

    Args:
        folder: The folder with ``train.txt``, ``dev.txt``, ``C1.txt`` ... ``C7.txt``.
        known_files: The usable files of the run: string columns file and label (real|fake).

    Returns:
        The split and the conditions of every known file, and what could not be matched, both ways.

    Raises:
        CodecfakeError: If the folder has no label files.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    paths, ignored = find_label_files(folder)
    known, labels = (known_files[name].combine_chunks() for name in ("file", "label"))
    split = np.full(len(known), NOWHERE, dtype=np.int8)
    conditions = [path.stem for path in paths if path.stem not in SPLITS]
    is_in = np.zeros((len(known), len(conditions)), dtype=bool)
    matches = []
    for path in paths:
        label_file = read_label_file(path)
        names = label_file.entries["file"].combine_chunks()
        found = pc.index_in(names, value_set=known)
        index = np.asarray(pc.fill_null(found, NOWHERE))
        entry_rows = np.flatnonzero(index != NOWHERE)
        index = index[entry_rows]
        code = SPLITS.index(path.stem if path.stem in SPLITS else "eval")
        elsewhere = (split[index] != NOWHERE) & (split[index] != code)
        here = index[~elsewhere]
        split[here] = code
        if path.stem in conditions:
            is_in[here, conditions.index(path.stem)] = True
        said = label_file.entries["label"].combine_chunks().take(pa.array(entry_rows))
        contradicted = np.asarray(pc.not_equal(said, labels.take(pa.array(index))))
        missing = names.filter(pc.is_null(found))
        matches.append(
            LabelMatch(
                name=path.stem,
                labels=len(names),
                matched=len(index),
                without_file=len(missing),
                without_file_examples=missing[:KEPT_EXAMPLES].to_pylist(),
                contradictions=int(contradicted.sum()),
                contradiction_examples=known.take(pa.array(index[contradicted][:KEPT_EXAMPLES])).to_pylist(),
                repeated=len(index) - len(np.unique(index)),
                elsewhere=int(elsewhere.sum()),
                elsewhere_examples=known.take(pa.array(index[elsewhere][:KEPT_EXAMPLES])).to_pylist(),
                bad_lines=label_file.bad_line_count,
                bad_line_examples=[
                    f"line {bad.number}: {bad.reason}" for bad in label_file.bad_lines[:KEPT_EXAMPLES]
                ],
            )
        )
    sets, condition_set = np.unique(is_in, axis=0, return_inverse=True)
    unnamed = known.filter(pa.array(split == NOWHERE))
    return LabelAssignment(
        split=split,
        condition_set=condition_set.reshape(-1),
        condition_sets=tuple(tuple(np.array(conditions)[row].tolist()) if conditions else () for row in sets),
        matches=matches,
        ignored=ignored,
        unnamed=len(unnamed),
        unnamed_examples=unnamed[:KEPT_EXAMPLES].to_pylist(),
    )


def name_files(usable: "pa.Table") -> "pa.Table":
    """Give the file and label columns of usable items, as ``assign_from_labels`` takes them."""
    import pyarrow.compute as pc

    names = (Label.BONA_FIDE.published_name, Label.SPOOF.published_name)
    label = pc.if_else(pc.equal(usable["codec"], REAL), *names)
    return usable.select(["file"]).append_column("label", label)


def place_by_labels(assignment: LabelAssignment, utterances: np.ndarray) -> Placement:
    """Keep the split of each file; an utterance belongs to the earliest split (train first) of its files.

    Args:
        assignment: What the label files say.
        utterances: The row of the source manifest behind each file.

    Returns:
        The placement of every file.
    """
    last = len(SPLITS) - 1
    per_utterance = np.full(utterances.max() + 1, last, dtype=np.int8)
    named = assignment.split != NOWHERE
    np.minimum.at(per_utterance, utterances[named], assignment.split[named])
    return Placement(
        assignment.split, per_utterance[utterances], assignment.condition_set, assignment.condition_sets
    )
