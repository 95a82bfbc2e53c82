"""What every corpus reader gives back."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from codecfake.manifests.showing import one_line
from codecfake.pipeline.object_store import Location

EXAMPLE_LIMIT = 5
"""How many names a finding shows."""


@dataclass(frozen=True, slots=True)
class ListedUtterance:
    """One recording that a corpus holds, as its name and the corpus's text files tell it.

    Attributes:
        utterance_id: Name in the published dataset (``p225_001``, ``SSB00050001``); unique in its listing.
        corpus: ``vctk`` or ``aishell3``.
        language: ``en`` or ``zh``.
        speaker: Speaker id, "" if the name does not tell.
        gender: ``F``, ``M``, or "" if the corpus does not tell.
        transcript: The spoken text, None where the corpus has none.
        path: POSIX path relative to the root of the corpus.
    """

    utterance_id: str
    corpus: str
    language: str
    speaker: str
    gender: str
    transcript: str | None
    path: str


@dataclass(frozen=True)
class Finding:
    """A quirk or oddity of a corpus that the report names.

    Attributes:
        code: Stable short name, such as ``p315-no-text``.
        text: What was seen and what it means.
        count: How many files, speakers or lines it concerns.
        examples: A few of them.
    """

    code: str
    text: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class CorpusListing:
    """All recordings of one corpus, sorted by utterance id, and what was odd about them."""

    corpus: str
    version: str
    root: Location
    utterances: tuple[ListedUtterance, ...]
    findings: tuple[Finding, ...]


def printable(name: str) -> str:
    """Make a file name storable and showable as one line of text; only those that are neither change."""
    return one_line(os.fsencode(name).decode("utf-8", "backslashreplace"))


def find(code: str, text: str, names: Iterable[str]) -> Finding:
    """Make a finding that counts ``names`` and shows the first few in sorted order."""
    ordered = sorted(names)
    return Finding(code, text, len(ordered), tuple(printable(name) for name in ordered[:EXAMPLE_LIMIT]))
