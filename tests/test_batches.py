"""Cutting shards into network runs, and putting shards of the same utterances together."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from test_shards import corpus

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.presets import PRESETS
from codecfake.pipeline.batches import BatchLimit, make_batches
from codecfake.pipeline.shards import CODECS_PER_BLOCK, cut_shards, make_blocks

RATE = 48_000
INPUT_RATES = {"real": 16_000} | {
    codec: find_codec(codec).card.sample_rate for preset in PRESETS.values() for codec in preset
}


def rows(size: int) -> list[dict]:
    return [
        row | {"samples": round(row["seconds"] * RATE), "sample_rate": RATE}
        for row in corpus(size)
        if 0.3 < row["seconds"] < 16
    ]


@pytest.fixture(scope="module")
def utterances() -> list[dict]:
    return rows(20_000)


def frames(adapter, batch) -> list[int]:
    return [adapter.frames(row["samples"], row["sample_rate"]) for row in batch]


@pytest.mark.parametrize("codec", ["F01", "F02", "F07"])
def test_every_utterance_is_in_one_batch_and_none_is_padded_where_that_changes_codes(codec, utterances):
    adapter = find_codec(codec)()
    batches = make_batches(utterances, adapter, BatchLimit(seconds=60))
    assert Counter(row["utterance_id"] for batch in batches for row in batch) == Counter(
        row["utterance_id"] for row in utterances
    )
    for batch in batches:
        lengths = frames(adapter, batch)
        assert len(batch) * max(lengths) / adapter.card.frame_rate <= 60
        if adapter.card.batches == "equal length only":
            assert len(set(lengths)) == 1


def test_where_padding_is_exact_batches_are_full(utterances):
    adapter = find_codec("F04")()
    batches = make_batches(utterances, adapter, BatchLimit(seconds=60))
    seconds = sum(max(frames(adapter, batch)) * len(batch) for batch in batches) / adapter.card.frame_rate
    assert seconds / len(batches) > 0.9 * 60
    assert seconds < 1.01 * sum(row["seconds"] for row in utterances) + len(utterances) / 75


def test_utterances_of_one_length_are_spread_evenly():
    adapter = find_codec("F07")()
    same = [dict(row, samples=RATE) for row in rows(100)]
    sizes = [len(batch) for batch in make_batches(same, adapter, BatchLimit(utterances=32))]
    assert len(sizes) == -(-len(same) // 32)
    assert max(sizes) - min(sizes) <= 1


def test_an_utterance_longer_than_the_limit_goes_alone():
    long = [dict(row, samples=40 * RATE) for row in rows(5)]
    batches = make_batches(long, find_codec("F04")(), BatchLimit(seconds=20))
    assert [len(batch) for batch in batches] == [1] * len(long)


def test_on_the_full_corpora_shards_cost_few_batches():
    """Grouping per shard against grouping the whole plan at once, 150 s of audio per batch."""
    adapter, limit, everything = find_codec("F01")(), BatchLimit(seconds=150), rows(132_277)
    counts = np.bincount(frames(adapter, everything))
    most = [limit.utterances_of(index / adapter.card.frame_rate) for index in range(1, len(counts))]
    whole = sum(-(-int(count) // many) for count, many in zip(counts[1:], most, strict=True))
    equal = find_codec("F02")()
    per_shard = sum(
        len(make_batches(shard.utterances, equal, limit)) for shard in cut_shards("F02", everything)
    )
    assert whole <= per_shard <= 1.05 * whole


def test_shards_of_codecs_that_share_a_rate_are_read_together(utterances):
    codecs = ("real", *PRESETS["codecfake"])
    shards = [shard for codec in codecs for shard in cut_shards(codec, utterances[:3_000])]
    blocks = make_blocks(shards, INPUT_RATES.get, lambda shard: False)
    teams = list(dict.fromkeys(block.name.partition("/")[0] for block in blocks))
    assert teams == ["real+F01+F02+F03", "F04+F05+F06", "F07"]
    assert Counter(shard for block in blocks for shard in map(id, block.shards)) == Counter(map(id, shards))
    for block in blocks:
        assert len({shard.utterances for shard in map(hashable, block.shards)}) == 1


def hashable(shard):
    return replace(shard, utterances=tuple(row["utterance_id"] for row in shard.utterances))


def test_what_is_done_is_left_out(utterances):
    shards = [shard for codec in ("F01", "F02") for shard in cut_shards(codec, utterances[:3_000])]
    blocks = make_blocks(shards, INPUT_RATES.get, lambda shard: shard.codec == "F01" or shard.id == "00000")
    assert [block.name for block in blocks] == [f"F02/{shard.id}" for shard in shards[1 : len(shards) // 2]]


def test_a_block_keeps_few_networks_in_memory(utterances):
    codecs = PRESETS["codecfake-15"]
    shards = [shard for codec in codecs for shard in cut_shards(codec, utterances[:300])]
    blocks = make_blocks(shards, INPUT_RATES.get, lambda shard: False)
    assert max(len(block.shards) for block in blocks) <= CODECS_PER_BLOCK
    assert Counter(shard.codec for block in blocks for shard in block.shards) == Counter(
        shard.codec for shard in shards
    )
