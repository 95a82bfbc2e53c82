"""Cutting the utterances of a shard into network runs.

Shards are cut from the whole corpus sorted by duration, so grouping by frame count within them is grouping over the
whole plan but for the groups that a shard boundary divides: 3 % more batches at 150 s of audio each.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from codecfake.codec_adapters import CodecAdapter
from codecfake.pipeline.shards import SourceRow


@dataclass(frozen=True)
class BatchLimit:
    """How much a device takes in one run; at least one utterance always goes."""

    utterances: int | None = None
    seconds: float | None = None
    """Seconds of audio, padding included."""

    def utterances_of(self, seconds: float) -> int:
        """Utterances of ``seconds`` seconds each that fit."""
        most = self.utterances
        if self.seconds is not None:
            by_length = int(self.seconds / seconds)
            most = by_length if most is None else min(most, by_length)
        return max(1, most or 1)


def make_batches(
    utterances: Sequence[SourceRow], adapter: CodecAdapter, limit: BatchLimit
) -> list[list[SourceRow]]:
    """Group utterances for a codec: nothing is padded where padding would change codes.

    Where zeros after an utterance change nothing, neighbours in length share a batch; elsewhere equal frame counts
    do. The utterances that share a frame count are spread evenly over their batches.

    Args:
        utterances: Source rows.
        adapter: The codec.
        limit: What the device takes.
    """
    by_frames: dict[int, list[SourceRow]] = defaultdict(list)
    for row in utterances:
        by_frames[adapter.frames(row["samples"], row["sample_rate"])].append(row)
    if adapter.card.batches == "right padding exact":
        return _mixed(by_frames, adapter, limit)
    batches = []
    for frames, rows in sorted(by_frames.items()):
        count = -(-len(rows) // limit.utterances_of(frames / adapter.card.frame_rate))
        edges = [len(rows) * index // count for index in range(count + 1)]
        batches += [rows[first:last] for first, last in pairwise(edges)]
    return batches


def _mixed(
    by_frames: dict[int, list[SourceRow]], adapter: CodecAdapter, limit: BatchLimit
) -> list[list[SourceRow]]:
    batches: list[list[SourceRow]] = []
    for frames, rows in sorted(by_frames.items()):
        # Sorted: the row to come is the longest of its batch, and decides what fits.
        most = limit.utterances_of(frames / adapter.card.frame_rate)
        for row in rows:
            if not batches or len(batches[-1]) >= most:
                batches.append([])
            batches[-1].append(row)
    return batches
