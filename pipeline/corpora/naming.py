"""The names of recordings: which are their corpus's pattern, and one id for each."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from codecfake.pipeline.corpora.listing import Finding, ListedUtterance, find, printable

PATTERNS = {
    "vctk": (
        r"wav48_silence_trimmed/(?P<speaker>[ps]\d+)/(?P<id>(?P=speaker)_\d{3})_(?P<microphone>mic[12])",
        r"wav48/(?P<speaker>[ps]\d+)/(?P<id>(?P=speaker)_\d{3})",
    ),
    "aishell3": (r"(?:test|train)/wav/(?P<speaker>SSB\d{4})/(?P<id>(?P=speaker)\d{4})",),
}
"""What the path of a recording looks like, relative to the root of its corpus and without its extension."""

COMPILED = {corpus: [re.compile(text, re.ASCII) for text in texts] for corpus, texts in PATTERNS.items()}

SPEAKERS = re.compile(r"[ps]\d+|SSB\d{4}", re.ASCII)

EXPECTED_NAMES = {
    "vctk": "<speaker>/<speaker>_NNN_mic1.flac (0.92) or <speaker>/<speaker>_NNN.wav (0.80)",
    "aishell3": "<speaker>/<speaker>NNNN.wav",
}


def parse_path(corpus: str, path: str) -> dict[str, str] | None:
    """Take a path apart into ``id``, ``speaker`` and, for VCTK 0.92, ``microphone``.

    Returns:
        The parts, or None if the path is not the corpus's pattern.
    """
    stem = path.rpartition(".")[0]
    for pattern in COMPILED[corpus]:
        if match := pattern.fullmatch(stem):
            return match.groupdict()
    return None


def name_problem(utterance: ListedUtterance) -> str:
    """Say why a recording cannot be used under its name; "" if it can.

    The answer follows from the path and the id alone, so that it is the same when a row of a source
    manifest is inspected again.
    """
    parts = parse_path(utterance.corpus, utterance.path)
    if parts is None:
        return f"not named {EXPECTED_NAMES[utterance.corpus]}"
    return f"duplicate of {parts['id']}" if parts["id"] != utterance.utterance_id else ""


def misnamed_utterance(corpus: str, language: str, path: str) -> ListedUtterance:
    """List a recording that is not named as its corpus names them, so that it is quarantined, not lost."""
    pure = PurePosixPath(path)
    speaker = pure.parent.name if SPEAKERS.fullmatch(pure.parent.name) else ""
    return ListedUtterance(printable(pure.stem), corpus, language, speaker, "", None, path)


def claim_unique_ids(utterances: Iterable[ListedUtterance]) -> list[ListedUtterance]:
    """Give every utterance an id of its own and sort by it.

    Well-named recordings claim their id first, in the order of corpus and path. A second one of the same id
    becomes ``SSB00050001#2``, which `name_problem` tells from the first: the first stays usable.
    """
    claimed: set[str] = set()
    unique: list[ListedUtterance] = []
    for utterance in sorted(utterances, key=lambda item: (name_problem(item) != "", item.corpus, item.path)):
        identifier, copy = utterance.utterance_id, 2
        while identifier in claimed:
            identifier, copy = f"{utterance.utterance_id}#{copy}", copy + 1
        claimed.add(identifier)
        if identifier != utterance.utterance_id:
            utterance = replace(utterance, utterance_id=identifier)
        unique.append(utterance)
    return sorted(unique, key=lambda item: item.utterance_id)


def find_oddities(utterances: Iterable[ListedUtterance], speaker_file: str) -> Iterator[Finding]:
    """Yield findings about names, duplicates, and speakers of unknown gender: a default would be a guess."""
    duplicates: list[str] = []
    misnamed: list[str] = []
    unknown: set[str] = set()
    for utterance in utterances:
        problem = name_problem(utterance)
        if problem:
            (duplicates if problem.startswith("duplicate of ") else misnamed).append(utterance.path)
        elif not utterance.gender:
            unknown.add(utterance.speaker)
    if unknown:
        yield find("unknown-gender", f"gender not given by {speaker_file}: left empty", unknown)
    if duplicates:
        yield find("duplicate-id", "a second file of an utterance: the first by path is used", duplicates)
    if misnamed:
        yield find("bad-name", "file names that are not the corpus's pattern: quarantined", misnamed)
