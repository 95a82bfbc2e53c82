"""Cutting a build into pieces of some minutes for workers: each loads its codecs once."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from codecfake.pipeline.shard_store import read_record, shard_path
from codecfake.pipeline.shards import ShardBlock

TARGET_SECONDS = 300.0
"""Work of a chunk: long against the ten seconds that a worker takes to start one, short against a lost machine."""
UNKNOWN_SPEED = 50.0
"""Seconds of audio per second, until the run's own shards tell."""


class ChunkPlan:
    """Blocks that wait for a worker; chunks are cut when one is free, by the speeds seen so far.

    Args:
        run_dir: The run folder.
        blocks: In the order of the plan.
    """

    def __init__(self, run_dir: Path, blocks: Sequence[ShardBlock]) -> None:
        self._run_dir = run_dir
        self._waiting = deque(blocks)
        self._alone: deque[ShardBlock] = deque()
        self._audio: Counter[str] = Counter()
        self._work: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._alone)

    def put_back(self, blocks: Iterable[ShardBlock]) -> None:
        """Queue blocks whose worker was lost: each on its own, so that one which ends workers takes none along."""
        self._alone.extend(blocks)

    def note_published(self, codec: str, shard_id: str) -> None:
        """Learn a codec's speed from a shard that was published."""
        record = read_record(shard_path(self._run_dir, codec, shard_id))
        self._audio[codec] += record["source_seconds"]
        self._work[codec] += record["wall_seconds"]

    def next_chunk(self, workers: int) -> list[ShardBlock]:
        """Take the next blocks of one set of codecs: some minutes of work, and never more than a worker's share.

        Args:
            workers: Workers that share what is left.
        """
        if self._alone:
            return [self._alone.popleft()]
        chunk = [self._waiting.popleft()]
        codecs = _codecs(chunk[0])
        most = -(-(len(self._waiting) + 1) // max(1, workers))
        seconds = self._seconds(chunk[0])
        while self._waiting and len(chunk) < most and _codecs(self._waiting[0]) == codecs:
            seconds += self._seconds(self._waiting[0])
            if seconds > TARGET_SECONDS:
                break
            chunk.append(self._waiting.popleft())
        return chunk

    def _seconds(self, block: ShardBlock) -> float:
        return sum(shard.seconds / self._speed(shard.codec) for shard in block.shards)

    def _speed(self, codec: str) -> float:
        return self._audio[codec] / self._work[codec] if self._work[codec] else UNKNOWN_SPEED


def _codecs(block: ShardBlock) -> list[str]:
    return [shard.codec for shard in block.shards]
