"""What the ASVspoof editions share: audio in ``flac`` folders, protocols that name files without ending."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.detector.sources.protocols import build_list
from codecfake.detector.trials import SplitTrials, TrialList, digest_lists

if TYPE_CHECKING:
    import pyarrow as pa

EDITIONS = ("ASVspoof2019_", "ASVspoof2021_")
"""How audio folders of the editions begin; their file numbers overlap, so they must not be mixed up."""


def find_files(data: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """Yield the files that match, each once, in the order of the patterns."""
    seen: set[Path] = set()
    for pattern in patterns:
        for path in sorted(data.glob(pattern)):
            if path.is_file() and path not in seen:
                seen.add(path)
                yield path


def build_asvspoof_list(
    name: str,
    index: AudioIndex,
    table: "pa.Table",
    *,
    folders: Sequence[str],
    notes: list[str],
    about: "Mapping[str, pa.Array | pa.ChunkedArray]",
) -> TrialList:
    """Make a list out of a protocol with the columns ``file`` and ``key``.

    Audio is looked for in ``folders``, and elsewhere only in a tree that has no folder of an edition.
    """
    parts = {part for folder in index.folders for part in [index.root.name, *folder.split("/")]}
    return build_list(
        name,
        index,
        table["file"],
        table["key"],
        folders=folders,
        notes=notes,
        elsewhere=not any(part.startswith(EDITIONS) for part in parts),
        about=about,
    )


def attack_of(table: "pa.Table") -> "pa.ChunkedArray":
    """The attack column, ``-`` for bona fide trials, where some protocols repeat the key."""
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(table["key"], "bonafide"), "-", table["attack"])


def gather(name: str, lists: Sequence[TrialList], notes: list[str]) -> SplitTrials:
    """Make the trials of a dataset from its lists: train, dev, and the condition, which may be empty."""
    train, dev, condition = lists
    conditions = {condition.name: condition} if len(condition) else {}
    return SplitTrials(name, digest_lists(list(lists)), train, dev, conditions, notes)
