"""Cutting a corpus into shards, the unit of work, retry and publishing.

Shards follow from the source manifest alone: utterances sorted by duration, so that a shard holds utterances
of nearly equal length and batches of equal frame counts fill up; every codec has the same shards.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MINIMUM_UTTERANCES = 256
MAXIMUM_UTTERANCES = 1024
TARGET_SECONDS = 1800.0
SHARD_POLICY = f"{MINIMUM_UTTERANCES}-{MAXIMUM_UTTERANCES} utterances, from {TARGET_SECONDS:.0f} s on"

CODECS_PER_BLOCK = 4
"""Codecs that share one reading of an utterance: their networks are in memory together."""

SourceRow = dict[str, Any]
"""One row of the source manifest."""


@dataclass(frozen=True)
class Shard:
    """Some utterances of one codec."""

    codec: str
    id: str
    utterances: tuple[SourceRow, ...]
    batched_with: tuple[tuple[SourceRow, ...], ...] = ()
    """Utterances of the shards that these were part of before, whose batches give the same bits once more."""

    @property
    def seconds(self) -> float:
        """Seconds of source audio."""
        return sum(row["seconds"] for row in self.utterances)


@dataclass(frozen=True)
class ShardBlock:
    """Shards of the same utterances for codecs that share an input rate: read once, published one by one."""

    shards: tuple[Shard, ...]

    @property
    def name(self) -> str:
        """Codecs and shard id, as in ``F01+F02/00012``."""
        return f"{'+'.join(shard.codec for shard in self.shards)}/{self.shards[0].id}"

    @property
    def seconds(self) -> float:
        """Seconds of source audio, counted once for each codec."""
        return sum(shard.seconds for shard in self.shards)


def make_blocks(
    shards: Sequence[Shard], input_rate_of: Callable[[str], int | None], is_done: Callable[[Shard], bool]
) -> list[ShardBlock]:
    """Put shards of the same utterances together where their codecs share an input rate.

    Codecs that share one are worked through together, so that each network is loaded once.

    Args:
        shards: Shards of all codecs of a run, codec by codec.
        input_rate_of: Gives the input rate of a codec id in Hz, ``None`` where recordings keep theirs.
        is_done: Whether a shard needs no more work; such shards are left out.
    """
    by_rate: dict[int | None, list[str]] = defaultdict(list)
    for codec in dict.fromkeys(shard.codec for shard in shards):
        by_rate[input_rate_of(codec)].append(codec)
    team_of = {
        codec: (rate, index // CODECS_PER_BLOCK)
        for rate, codecs in by_rate.items()
        for index, codec in enumerate(codecs)
    }
    teams = {team: position for position, team in enumerate(dict.fromkeys(team_of.values()))}
    blocks: dict[tuple, list[Shard]] = defaultdict(list)
    for shard in shards:
        utterances = tuple(row["utterance_id"] for row in shard.utterances)
        blocks[teams[team_of[shard.codec]], shard.id, utterances].append(shard)
    ordered = sorted(blocks.items(), key=lambda block: block[0][:2])
    pending = [tuple(shard for shard in block if not is_done(shard)) for _, block in ordered]
    return [ShardBlock(block) for block in pending if block]


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
