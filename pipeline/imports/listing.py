"""What a dataset's lists say, in the form that an import takes."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("file", "path", "codec", "utterance_id", "corpus", "language", "speaker")
CODEC_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""RE2 pattern of a codec's name: it becomes the name of a folder."""


class ProblemKind(StrEnum):
    """What can be wrong with a line of a list, or with how two of them fit together."""

    BAD_LINE = "bad-line"
    BAD_NAME = "bad-name"
    CONTRADICTION = "contradiction"
    REPEATED = "repeated"
    DIFFERENT_COPY = "different-copy"
    NO_ORIGIN = "no-origin"


@dataclass(frozen=True)
class Problem:
    """One thing that an import could not take as it was; it goes on without it."""

    where: str
    """The list, or the folder of the file."""
    what: str
    """File name, or text of the line."""
    reason: str
    """A `ProblemKind`, or a reason code of quarantine."""
    message: str


@dataclass(frozen=True)
class DerivedFiles:
    """The files of a robustness condition."""

    files: "pa.Table"
    """The string columns ``COLUMNS``."""
    conditions: tuple[str, ...]
    """The clean conditions that it has lists of."""


@dataclass(frozen=True)
class Listing:
    """A dataset that can be imported."""

    dataset: str
    root: Path
    """Absolute; paths are relative to it."""
    licence: str
    """Under which it is published."""
    licences: dict[str, str]
    """That of each corpus, where they are told apart."""
    weights: str
    """With which its fakes were made: official, mini or other; empty where nothing tells."""
    digest: str
    """Hash of all names and labels: another one is another dataset."""
    list_digests: dict[str, str]
    """Sha256 of each text file that lists it, by path relative to ``root``."""
    files: "pa.Table"
    """The string columns ``COLUMNS``, a row per file; bona fide files first, then by codec and utterance. The codec
    is ``real`` for bona fide files."""
    split: np.ndarray
    """Code of the split per row, int8."""
    condition_set: np.ndarray
    """Index into ``condition_sets`` per row."""
    condition_sets: tuple[tuple[str, ...], ...]
    derived: dict[str, DerivedFiles]
    """By the setting, such as ``opus16``."""
    copies: dict[str, list[str]]
    """Further paths at which a file lies, by file name: each condition has its own bona fide files."""
    problems: list[Problem]
    notes: list[str]
    """What the reader of the lists has to say."""
