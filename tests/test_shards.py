"""Shards follow from the utterances alone, and keep to their sizes at the full scale."""

import random

from codecfake.pipeline.shards import MAXIMUM_UTTERANCES, MINIMUM_UTTERANCES, cut_shards


def corpus(size: int) -> list[dict]:
    rng = random.Random(1)
    return [{"utterance_id": f"u{index:06d}", "seconds": rng.gammavariate(6, 0.585)} for index in range(size)]


def test_a_full_corpus_is_cut_within_the_bounds_and_nothing_is_lost():
    rows = corpus(132_277)
    shards = cut_shards("F04", rows)
    sizes = [len(shard.utterances) for shard in shards]
    assert all(MINIMUM_UTTERANCES <= size <= MAXIMUM_UTTERANCES for size in sizes[:-1])
    assert sorted(row["utterance_id"] for shard in shards for row in shard.utterances) == [
        row["utterance_id"] for row in rows
    ]
    assert 200 < len(shards) < 500
    assert len({shard.id for shard in shards}) == len(shards)


def test_the_order_of_the_rows_changes_nothing():
    rows = corpus(3_000)
    shuffled = random.Random(2).sample(rows, len(rows))
    assert cut_shards("real", rows) == cut_shards("real", shuffled)


def test_utterances_of_a_shard_are_of_nearly_equal_length():
    longest_before = 0.0
    for shard in cut_shards("F07", corpus(5_000)):
        seconds = [row["seconds"] for row in shard.utterances]
        assert min(seconds) >= longest_before
        longest_before = max(seconds)


def test_no_utterances_make_no_shard():
    assert cut_shards("F04", []) == []
