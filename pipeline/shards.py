"""Cutting a corpus into shards, the unit of work, retry and publishing.

Shards follow from the source manifest alone: utterances sorted by duration, so that a shard holds utterances
of nearly equal length and batches of equal frame counts fill up; every codec has the same shards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MINIMUM_UTTERANCES = 256
MAXIMUM_UTTERANCES = 1024
TARGET_SECONDS = 1800.0
SHARD_POLICY = f"{MINIMUM_UTTERANCES}-{MAXIMUM_UTTERANCES} utterances, from {TARGET_SECONDS:.0f} s on"

SourceRow = dict[str, Any]
"""One row of the source manifest."""


@dataclass(frozen=True)
class Shard:
    """Some utterances of one codec."""

    codec: str
    id: str
    utterances: tuple[SourceRow, ...]

    @property
    def seconds(self) -> float:
        """Seconds of source audio."""
        return sum(row["seconds"] for row in self.utterances)


def cut_shards(codec: str, utterances: Sequence[SourceRow], prefix: str = "") -> list[Shard]:
    """Cut utterances into shards of 256 to 1,024, each closed at half an hour of audio when it may be.

    Args:
        codec: Codec id, or "real".
        utterances: Usable source rows, in any order.
        prefix: What the shard ids begin with.
    """
    ordered = sorted(utterances, key=lambda row: (row["seconds"], row["utterance_id"]))
    shards: list[Shard] = []
    first, seconds = 0, 0.0
    for index, row in enumerate(ordered):
        seconds += row["seconds"]
        size = index + 1 - first
        is_full = size == MAXIMUM_UTTERANCES or (seconds >= TARGET_SECONDS and size >= MINIMUM_UTTERANCES)
        if is_full or index + 1 == len(ordered):
            shards.append(Shard(codec, f"{prefix}{len(shards):05d}", tuple(ordered[first : index + 1])))
            first, seconds = index + 1, 0.0
    return shards
