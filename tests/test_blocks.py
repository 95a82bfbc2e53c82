"""Blocks of shards: read once, published one by one, and the network kept busy meanwhile."""

import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile
from run_helpers import tree
from speech import voice

from codecfake.codec_adapters import find_codec
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import block_sources
from codecfake.pipeline.config import make_config
from codecfake.pipeline.devices import Device
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis import Resynthesis
from codecfake.pipeline.scheduling import run_in_threads
from codecfake.pipeline.shards import ShardBlock, cut_shards
from codecfake.pipeline.source import corpus_roots, inspect, list_sources

UTTERANCES = 240


@pytest.fixture(scope="module")
def speech_of_one_speaker(tmp_path_factory):
    """A VCTK of 240 utterances of about a second: its rows and roots."""
    root = tmp_path_factory.mktemp("vctk")
    folder = root / "wav48_silence_trimmed" / "p225"
    folder.mkdir(parents=True)
    wave = voice(1.3, 48_000, 0)
    for index in range(1, UTTERANCES + 1):
        path = folder / f"p225_{index:03d}_mic1.flac"
        soundfile.write(path, wave[: 44_000 + 50 * index], 48_000, subtype="PCM_16")
    listings = list_sources(make_config({"vctk": root, "out": root / "unused"}))
    return inspect(listings, Monitor()).to_pylist(), corpus_roots(listings)


class Slow(find_codec("F01")):
    """Gives back what it is given, at a fixed multiple of real time; it needs no core meanwhile, as a GPU does."""

    speed = 60.0

    def reconstruct(self, waves):
        time.sleep(waves.numel() / self.card.sample_rate / self.speed)
        return waves


def named(codec: str) -> Slow:
    adapter = Slow()
    adapter.card = replace(Slow.card, id=codec)
    return adapter


def resynthesis(out: Path, roots, adapters) -> Resynthesis:
    device = Device("cpu", slots=1, batch_size=16)
    return Resynthesis(out, roots, 16_000, device, adapters.__getitem__, Monitor())


def test_the_network_hardly_waits(speech_of_one_speaker, tmp_path):
    rows, roots = speech_of_one_speaker
    adapters = {name: named(name) for name in ("Y1", "Y2")}
    work = resynthesis(tmp_path, roots, adapters)
    size = UTTERANCES // 3
    parts = [
        cut_shards("any", rows)[0].utterances[first : first + size] for first in range(0, UTTERANCES, size)
    ]
    blocks = [
        ShardBlock(tuple(replace(cut_shards(name, part)[0], id=f"{index:05d}") for name in adapters))
        for index, part in enumerate(parts)
    ]
    began = time.perf_counter()
    records = []
    run_in_threads(blocks, lambda block: records.extend(work.run_block(block)), Monitor(), 2)
    wall = time.perf_counter() - began
    network = sum(record["stage_seconds"]["network"] for record in records)
    assert len(records) == 6
    assert network > 0.85 * wall  # benchmarks/overlap.py measures it


def test_an_utterance_is_read_once_for_all_codecs_of_a_block(speech_of_one_speaker, tmp_path, monkeypatch):
    rows, roots = speech_of_one_speaker
    reads = []
    decode = block_sources.decode
    monkeypatch.setattr(block_sources, "decode", lambda content: reads.append(1) or decode(content))
    adapters = {name: named(name) for name in ("Y1", "Y2", "Y3")}
    shards = tuple(cut_shards(name, rows[:20])[0] for name in ("real", *adapters))
    records = resynthesis(tmp_path, roots, adapters).run_block(ShardBlock(shards))
    assert len(reads) == 20
    assert [record["source_seconds"] for record in records] == [records[0]["source_seconds"]] * 4
    assert len(tree(tmp_path)) == 4 * (20 + 2)
    items = {name: pq.read_table(tmp_path / f"shards/{name}/00000/items.parquet") for name in ("real", "Y2")}
    assert items["real"]["source_sha256"] == items["Y2"]["source_sha256"]


def test_a_broken_codec_leaves_the_others_of_its_block_alone(speech_of_one_speaker, tmp_path):
    rows, roots = speech_of_one_speaker
    adapters = {name: named(name) for name in ("Y1", "Y2", "Y3")}

    def broken(waves):
        raise RuntimeError("no kernel")

    adapters["Y2"].reconstruct = broken
    shards = tuple(cut_shards(name, rows[:5])[0] for name in adapters)
    work = resynthesis(tmp_path, roots, adapters)
    with pytest.raises(
        CodecfakeError, match="Y2 failed on all 5 utterances of 00000: RuntimeError: no kernel"
    ):
        work.run_block(ShardBlock(shards))
    assert {path.parent.parent.name for path in tmp_path.rglob("shard.json")} == {"Y1", "Y3"}
    assert not list(tmp_path.rglob(".tmp-*"))
    del adapters["Y2"].reconstruct
    (record,) = work.run_block(ShardBlock(shards))
    assert record["source_seconds"] > 0


def test_a_corpus_that_is_gone_is_no_reason_to_quarantine_all_of_it(speech_of_one_speaker, tmp_path):
    rows, _ = speech_of_one_speaker
    work = resynthesis(tmp_path, {"vctk": tmp_path / "not mounted"}, {"Y1": named("Y1")})
    with pytest.raises(CodecfakeError, match="none of the 5 utterances of 00000 could be read"):
        work.run_block(ShardBlock((cut_shards("Y1", rows[:5])[0],)))
    assert not tree(tmp_path)
