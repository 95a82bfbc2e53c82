"""Labels for score files that have none: keys and protocols of the field, or a whole dataset."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from codecfake.detector.evaluation.text_files import LABEL_WORDS, BadLines, numbered_lines
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

SAMPLED_LINES = 200
AUDIO_SUFFIXES = (".wav", ".flac")
SCORED_PHASE = "eval"

LAYOUTS: dict[int, dict[str, int]] = {
    2: {"name": 0, "label": 1},
    3: {"name": 0, "label": 1},  # Codecfake: file, real|fake, method
    5: {"name": 1, "attack": 3, "label": 4},  # ASVspoof 2019
    8: {"name": 1, "codec": 2, "attack": 4, "label": 5, "phase": 7},  # ASVspoof 2021 LA
    10: {"name": 1, "sex": 2, "codec": 3, "attack": 7, "label": 8},  # ASVspoof 5
    13: {"name": 1, "codec": 2, "corpus": 3, "attack": 4, "label": 5, "phase": 7},  # ASVspoof 2021 DF
}
"""Positions in keys without a header, by the number of columns."""

HEADERS = {
    "name": ("filename", "file_name", "file", "id", "utterance"),
    "label": ("cm-label", "label", "key"),
    "codec": ("codec",),
    "attack": ("attack",),
    "corpus": ("corpus",),
    "language": ("language",),
    "sex": ("sex", "gender"),
}
"""Column names of keys with a header: ASVspoof 5's, In-the-Wild's ``meta.csv``, Speech DF Arena's."""


@dataclass
class LabelKey:
    """Labels, and whatever else the keys tell, by file name."""

    labels: dict[str, Label] = field(default_factory=dict)
    about: dict[str, dict[str, object]] = field(default_factory=dict)
    """Column name, then file name, to the cell."""
    unscored_phases: dict[str, str] = field(default_factory=dict)
    """Trials of ASVspoof 2021 that its results leave out, with their phase."""
    notes: list[str] = field(default_factory=list)

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns beside some file names; text is empty and seconds are NaN where not known."""
        filled = {}
        for column, cells in self.about.items():
            unknown, kind = (np.nan, np.float64) if column == "seconds" else ("", object)
            values = [cells.get(plain_name(name), unknown) for name in names]
            filled[column] = np.array(values, dtype=kind)
        return filled


def plain_name(file: str) -> str:
    """A file name as keys have it: some write ``LA_E_1``, some ``LA_E_1.flac``."""
    for suffix in AUDIO_SUFFIXES:
        file = file.removesuffix(suffix)
    return file


def read_keys(paths: Sequence[Path], split: str | None = None) -> LabelKey:
    """Read keys: label files, ASVspoof protocols, CSV files with a header, or folders of whole datasets.

    Args:
        paths: Files, or dataset folders that `open_trials` knows.
        split: Name of the split, for a run folder that has several.

    Returns:
        Their labels together.

    Raises:
        CodecfakeError: If one is no key, or two of them disagree about a file.
    """
    key = LabelKey()
    for path in paths:
        if path.is_dir():
            _add_dataset(key, path, split)
        else:
            _add_file(key, path)
    return key


def _add_dataset(key: LabelKey, path: Path, split: str | None) -> None:
    from codecfake.detector.sources import open_trials, run_folder

    trials = open_trials(path, split if run_folder.recognise(path) else None)
    key.notes += trials.notes
    for part in trials.evaluated():
        names = [plain_name(file) for file in part.files]
        for name, label in zip(names, part.labels.tolist(), strict=True):
            _add(key, path, name, Label(label))
        for column, cells in part.columns.items():
            key.about.setdefault(column, {}).update(zip(names, cells.tolist(), strict=True))


def _add_file(key: LabelKey, path: Path) -> None:
    lines = numbered_lines(path)
    sample = list(islice(numbered_lines(path), SAMPLED_LINES))
    if not sample:
        raise CodecfakeError(f"the key {path} is empty")
    separator, places = _header_layout(sample[0][1])
    if places:
        next(lines)
    else:
        places = _layout(path, [line for _, line in sample])
    bad = BadLines()
    for number, line in lines:
        fields = [cell.strip() for cell in line.split(separator)]
        label = (
            LABEL_WORDS.get(fields[places["label"]].lower()) if len(fields) > max(places.values()) else None
        )
        if label is None:
            bad.add(number, "line without a known label where the others have it", line)
            continue
        name = plain_name(fields[places["name"]])
        _add(key, path, name, label)
        for column in places.keys() - {"name", "label", "phase"}:
            key.about.setdefault(column, {})[name] = fields[places[column]]
        if "phase" in places and fields[places["phase"]] != SCORED_PHASE:
            key.unscored_phases[name] = fields[places["phase"]]
    if bad.first:
        key.notes.append(bad.summary(path))


def _add(key: LabelKey, path: Path, name: str, label: Label) -> None:
    if key.labels.setdefault(name, label) is not label:
        raise CodecfakeError(
            f"{path} says that {name} is {label.published_name}, and an earlier line or key says that it is not",
            cause="the keys belong to different datasets",
            next_step="evaluate the datasets one by one, each with its own --key",
        )


def _header_layout(line: str) -> tuple[str | None, dict[str, int]]:
    """Separator and positions of a header; no positions when the line is none."""
    for separator in ("\t", ",", None):
        cells = [cell.strip().lower() for cell in line.split(separator)]
        places = {
            what: min(cells.index(word) for word in words if word in cells)
            for what, words in HEADERS.items()
            if set(words) & set(cells)
        }
        if {"name", "label"} <= places.keys():
            return separator, places
    return None, {}


def _layout(path: Path, sample: list[str]) -> dict[str, int]:
    """Positions in a key without a header, by the number of columns of most of its first lines."""
    count = Counter(len(line.split()) for line in sample).most_common(1)[0][0]
    places = LAYOUTS.get(count, {})
    if not places or not any(_has_label(line, places["label"]) for line in sample):
        raise CodecfakeError(
            f"{path} is no key that is known; it starts with {sample[0][:120]!r}",
            cause="a key is a label file of Codecfake, a protocol of ASVspoof 2019, 2021 or 5, a table with a "
            "header such as filename and cm-label, or the folder of a dataset",
            next_step="write two columns, file and bonafide or spoof",
        )
    return places


def _has_label(line: str, place: int) -> bool:
    fields = line.split()
    return len(fields) > place and fields[place].lower() in LABEL_WORDS
