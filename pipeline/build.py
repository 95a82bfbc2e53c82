"""The main job: corpora in, published shards and a split out. Resumes from whatever is published."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters import CodecAdapter
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL
from codecfake.pipeline.config import RunConfig, save_config
from codecfake.pipeline.devices import Device, find_device, single_threaded_networks
from codecfake.pipeline.fingerprint import guard_run_folder, make_fingerprint
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis import Resynthesis
from codecfake.pipeline.retries import retry_shards
from codecfake.pipeline.run_lock import run_lock
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.shard_store import drafts, is_published
from codecfake.pipeline.shards import Shard, cut_shards
from codecfake.pipeline.source import corpus_roots, ensure_source, list_sources
from codecfake.pipeline.splitting import SplitReport
from codecfake.pipeline.weights import Checkpoint, find_checkpoint, load_codec

if TYPE_CHECKING:
    import pyarrow as pa

RunShards = Callable[[Sequence[Shard], Callable[[Shard], dict[str, Any]], Monitor], list[str]]
"""Runs a function on every shard and gives the messages of those that failed."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    shards_done: int
    shards_found: int
    """Published by an earlier run."""
    split: SplitReport


def build(config: RunConfig, monitor: Monitor, run_shards: RunShards) -> BuildReport:
    """Build a run folder, or finish one that was begun.

    Args:
        config: What to build.
        monitor: Told about the progress; carries the stop signal.
        run_shards: How shards are scheduled: a plain loop, or Prefect tasks.

    Raises:
        CodecfakeError: If the folder belongs to another configuration or process, a codec has no weights or
            is broken, or shards failed.
        Stopped: If the user asked to stop.
    """
    with run_lock(config.out):
        return build_locked(config, monitor, run_shards)


def build_locked(config: RunConfig, monitor: Monitor, run_shards: RunShards) -> BuildReport:
    """What ``build`` does, for a caller that holds the run lock."""
    device = find_device(config.device)
    checkpoints = find_checkpoints(config)
    listings = list_sources(config)
    guard_run_folder(config.out, make_fingerprint(config, listings, checkpoints, device))
    save_config(config)
    source = ensure_source(config, listings, monitor)
    remove_drafts(config.out)

    shards = plan_shards(source, config.codecs) + retry_shards(config.out)
    pending = [shard for shard in shards if not is_published(config.out, shard.codec, shard.id)]
    if pending:
        run_pending(config, corpus_roots(listings), checkpoints, device, pending, monitor, run_shards)
    return BuildReport(len(pending), len(shards) - len(pending), split_run(config.out, monitor=monitor))


def find_checkpoints(config: RunConfig) -> dict[str, Checkpoint]:
    """The weights of every codec of a run, by codec id; a backend that cannot run one of them says so here."""
    from codecfake.codec_adapters import find_codec
    from codecfake.codec_adapters.backends import upstream_adapter

    codecs = {name: find_codec(name) for name in config.codecs}
    if config.backend == "upstream":
        for codec in codecs.values():
            upstream_adapter(codec)
    return {name: find_checkpoint(codec.card, config.weights) for name, codec in codecs.items()}


def plan_shards(source: "pa.Table", codecs: Iterable[str]) -> list[Shard]:
    """All shards of a run: bona fide audio first, then codec by codec, so that each is loaded once."""
    usable = [row for row in source.to_pylist() if row["reason"] is None]
    return [shard for codec in (REAL, *codecs) for shard in cut_shards(codec, usable)]


def remove_drafts(run_dir: Path) -> None:
    """Clear away what a killed run left unpublished; the caller holds the run lock."""
    import shutil

    for draft in drafts(run_dir):
        shutil.rmtree(draft)


def run_pending(
    config: RunConfig,
    roots: Mapping[str, Path],
    checkpoints: dict[str, Checkpoint],
    device: Device,
    pending: Sequence[Shard],
    monitor: Monitor,
    run_shards: RunShards,
) -> None:
    """Resynthesise and publish shards.

    Raises:
        CodecfakeError: If some failed; the others are published.
    """
    resynthesis = Resynthesis(
        run_dir=config.out,
        corpus_roots=roots,
        sample_rate=None if config.sample_rate == "native" else config.sample_rate,
        device=device,
        adapter_of=_codec_cache(config, checkpoints, device),
        monitor=monitor,
    )
    monitor.begin("Resynthesis", sum(shard.seconds for shard in pending), "s")
    with single_threaded_networks():
        failures = run_shards(pending, resynthesis.run_shard, monitor)
    monitor.end()
    if failures:
        raise CodecfakeError(
            f"{len(failures)} of {len(pending)} shards failed, the others are published. First: {failures[0]}",
            next_step="repeat the command once the cause is gone; it does only what is missing",
        )


def _codec_cache(
    config: RunConfig, checkpoints: dict[str, Checkpoint], device: Device
) -> Callable[[str], CodecAdapter]:
    """Load each codec once; two stay loaded, for the moment when one's last shards and the next's overlap."""
    lock = Lock()

    @lru_cache(maxsize=2)
    def load(codec_id: str) -> CodecAdapter:
        return load_codec(
            codec_id,
            checkpoints[codec_id],
            device.name,
            backend=config.backend,
            input_peak=config.input_peak.get(codec_id),
        )

    def adapter_of(codec_id: str) -> CodecAdapter:
        with lock:
            return load(codec_id)

    return adapter_of
