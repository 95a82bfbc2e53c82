"""Batches of a device that takes many utterances at once: grouping, memory running out, bad companions."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from run_helpers import settings

from codecfake.codec_adapters import find_codec
from codecfake.pipeline.devices import Device
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis import Resynthesis
from codecfake.pipeline.shards import ShardBlock, cut_shards
from codecfake.pipeline.source import corpus_roots, inspect, list_sources


@pytest.fixture
def run(corpora, outside, tmp_path):
    """Call with a device and an adapter; gives the items and the record of one shard of all utterances."""
    config = settings(corpora, outside, tmp_path / "unused")
    listings = list_sources(config)
    rows = inspect(listings, Monitor()).to_pylist()

    def run_on(device: Device, adapter, out: Path) -> tuple[list[dict], dict]:
        work = Resynthesis(out, corpus_roots(listings), 16_000, device, lambda _id: adapter, Monitor())
        (record,) = work.run_block(ShardBlock((cut_shards("X1", rows)[0],)))
        items = pq.read_table(out / "shards" / "X1" / "00000" / "items.parquet").to_pylist()
        return items, record

    return run_on


@pytest.fixture
def adapter(outside):
    adapter = find_codec("X1")()
    adapter.load(outside.weights / "X1.safetensors")
    return adapter


def coarse_frames(adapter, monkeypatch, seconds: float = 0.4) -> None:
    """Make hops so long that utterances of different lengths share a batch."""
    card = type(adapter).card
    hop = int(seconds * card.sample_rate)
    monkeypatch.setattr(type(adapter), "card", type(card)(**{**vars(card), "hop_length": hop}))


def test_batches_hold_equal_frame_counts_and_give_what_single_runs_give(run, adapter, monkeypatch, tmp_path):
    coarse_frames(adapter, monkeypatch)
    sizes = []
    original = adapter.run
    monkeypatch.setattr(
        adapter, "run", lambda batch: sizes.append({len(b.wave) for b in batch}) or original(batch)
    )
    batched, _ = run(Device("cpu", slots=1, batch_size=8), adapter, tmp_path / "batched")
    assert all(len(lengths) == 1 for lengths in sizes)
    assert len(sizes) < 10
    single, _ = run(Device("cpu", slots=2, batch_size=1), adapter, tmp_path / "single")
    for one, other in zip(batched, single, strict=True):
        first, second = (
            soundfile.read(tmp_path / name / item["path"])[0]
            for name, item in (("batched", one), ("single", other))
        )
        assert one["samples"] == other["samples"] == len(first)
        np.testing.assert_allclose(first, second, atol=2 / 32768)


def test_memory_running_out_halves_a_batch_once(run, adapter, monkeypatch, tmp_path):
    coarse_frames(adapter, monkeypatch)
    original = adapter.run

    def needs_memory(batch):
        if len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(batch)

    monkeypatch.setattr(adapter, "run", needs_memory)
    items, record = run(Device("cpu", slots=1, batch_size=8), adapter, tmp_path / "halved")
    assert record["halved_batches"] > 0
    assert all(item["reason"] is None for item in items)


def test_what_does_not_fit_in_half_a_batch_is_quarantined_not_retried_for_ever(
    run, adapter, monkeypatch, tmp_path
):
    coarse_frames(adapter, monkeypatch)
    calls = []

    def never_fits(batch):
        calls.append(len(batch))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(adapter, "run", never_fits)
    items, _ = run(Device("cpu", slots=1, batch_size=8), adapter, tmp_path / "never")
    assert {item["reason"] for item in items} == {"out-of-memory"}
    assert len(calls) <= 3 * 8


def test_one_bad_utterance_does_not_take_its_batch_along(run, adapter, monkeypatch, tmp_path):
    coarse_frames(adapter, monkeypatch)
    original, victims = adapter.run, []

    def dislikes_one(batch):
        victims.append(victims[0] if victims else batch[-1].source_samples)
        if any(item.source_samples == victims[0] for item in batch):
            raise RuntimeError("shape mismatch")
        return original(batch)

    monkeypatch.setattr(adapter, "run", dislikes_one)
    items, record = run(Device("cpu", slots=1, batch_size=8), adapter, tmp_path / "run")
    failed = [item for item in items if item["reason"]]
    assert [(item["reason"], item["message"]) for item in failed] == [
        ("codec-error", "RuntimeError: shape mismatch")
    ]
    assert record["halved_batches"] == 0


@pytest.mark.parametrize(
    ("output", "reason"),
    [(lambda wave: wave * np.nan, "codec-non-finite"), (lambda wave: wave * 0, "codec-silent")],
)
def test_a_codec_that_gives_nothing_usable_is_named(run, adapter, monkeypatch, tmp_path, output, reason):
    original = adapter.run
    monkeypatch.setattr(adapter, "run", lambda batch: [output(wave) for wave in original(batch)])
    items, _ = run(Device("cpu", slots=1, batch_size=1), adapter, tmp_path / "run")
    assert {item["reason"] for item in items} == {reason}
    assert not list((tmp_path / "run").rglob("*.wav"))


def test_clipped_samples_are_counted(run, adapter, monkeypatch, tmp_path):
    original = adapter.run
    monkeypatch.setattr(adapter, "run", lambda batch: [4 * wave for wave in original(batch)])
    items, _ = run(Device("cpu", slots=1, batch_size=1), adapter, tmp_path / "run")
    assert all(item["clipped_samples"] > 0 for item in items)
    peak = np.abs(soundfile.read(tmp_path / "run" / items[0]["path"], dtype="int16")[0].astype(int)).max()
    assert peak in (32767, 32768)
