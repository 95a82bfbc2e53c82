"""Cutting a build into chunks for workers."""

import json
from collections import Counter

from codecfake.flows.pools.chunks import TARGET_SECONDS, UNKNOWN_SPEED, ChunkPlan
from codecfake.pipeline.shards import Shard, ShardBlock


def block(codecs: str, number: int, seconds: float) -> ShardBlock:
    rows = ({"utterance_id": f"u{number}", "seconds": seconds},)
    return ShardBlock(tuple(Shard(codec, f"{number:05d}", rows) for codec in codecs.split("+")))


def plan_of(run_dir) -> tuple[ChunkPlan, list[ShardBlock]]:
    blocks = [block("real+F01", number, 1800) for number in range(40)]
    blocks += [block("F07", number, 1800) for number in range(40)]
    return ChunkPlan(run_dir, blocks), blocks


def publish(run_dir, codec: str, number: int, speed: float) -> None:
    folder = run_dir / "shards" / codec / f"{number:05d}"
    folder.mkdir(parents=True)
    record = {"codec": codec, "shard": folder.name, "items_sha256": "0" * 64}
    record |= {"source_seconds": 1800.0, "wall_seconds": 1800.0 / speed}
    (folder / "shard.json").write_text(json.dumps(record))


def test_every_block_is_handed_out_once_and_a_chunk_loads_one_set_of_codecs(tmp_path):
    plan, blocks = plan_of(tmp_path)
    chunks = []
    while plan:
        chunks.append(plan.next_chunk(workers=3))
    assert Counter(one.name for chunk in chunks for one in chunk) == Counter(one.name for one in blocks)
    for chunk in chunks:
        assert len({one.name.partition("/")[0] for one in chunk}) == 1
        assert len(chunk) == 1 or sum(one.seconds for one in chunk) / UNKNOWN_SPEED <= TARGET_SECONDS


def test_chunks_follow_the_speeds_that_were_seen(tmp_path):
    plan, _ = plan_of(tmp_path)
    before = len(plan.next_chunk(workers=1))
    for codec, speed in (("real", 20_000), ("F01", 600)):
        publish(tmp_path, codec, 0, speed)
        plan.note_published(codec, "00000")
    assert before < len(plan.next_chunk(workers=1)) < 100


def test_the_last_blocks_are_shared_by_all_workers(tmp_path):
    plan = ChunkPlan(tmp_path, [block("F01", number, 60) for number in range(12)])
    assert len(plan.next_chunk(workers=4)) == 3


def test_what_a_lost_worker_had_comes_back_block_by_block(tmp_path):
    plan, blocks = plan_of(tmp_path)
    plan.next_chunk(workers=1)
    plan.put_back(blocks[:2])
    assert [plan.next_chunk(workers=1) for _ in range(2)] == [[blocks[0]], [blocks[1]]]
