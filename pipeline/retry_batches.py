"""Shards that make damaged audio again in the batches that it was made in: beside others the last bits may differ."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from codecfake.pipeline.shard_store import RETRY_PREFIX
from codecfake.pipeline.shards import Shard, SourceRow, cut_shards


def shards_again(
    codec: str,
    utterances: Sequence[SourceRow],
    prefix: str,
    first_shards: Sequence[Shard],
    held_by: Mapping[str, int],
    earlier: Sequence[Shard],
) -> list[Shard]:
    """Cut what got damaged into shards, apart by what it was made beside.

    Args:
        codec: Codec id, or "real".
        utterances: What was made and got damaged.
        prefix: What the shard ids begin with.
        first_shards: Those of the build, of any codec.
        held_by: Which of these holds each utterance.
        earlier: Those of the retries before this one, in their order.
    """
    holder = {
        row["utterance_id"]: shard
        for shard in earlier
        # One that made damaged audio again gave the bytes of the shard before it, or used its batches at least.
        if shard.codec == codec and not shard.batched_with
        for row in shard.utterances
    }
    late: dict[str, list[SourceRow]] = defaultdict(list)
    rest = []
    for row in utterances:
        if row["utterance_id"] in holder:
            late[holder[row["utterance_id"]].id].append(row)
        else:
            rest.append(row)
    by_id = {shard.id: shard for shard in holder.values()}
    shards = [
        Shard(
            codec, f"{prefix}again-{name.removeprefix(RETRY_PREFIX)}", tuple(rows), (by_id[name].utterances,)
        )
        for name, rows in late.items()
    ]
    held = [row for row in rest if row["utterance_id"] in held_by]
    for shard in cut_shards(codec, held, f"{prefix}again-"):
        holding = sorted({held_by[row["utterance_id"]] for row in shard.utterances})
        beside = tuple(first_shards[at].utterances for at in holding)
        shards.append(Shard(codec, shard.id, shard.utterances, beside))
    # Of a plan that was lost: nobody knows beside what it was made.
    unknown = [row for row in rest if row["utterance_id"] not in held_by]
    return shards + cut_shards(codec, unknown, f"{prefix}again-alone-")
