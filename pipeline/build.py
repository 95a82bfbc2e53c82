"""The main job: corpora in, published shards and a split out. Resumes from whatever is published."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.codec_adapters import find_codec
from codecfake.manifests.atomic import temporary_sibling
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL
from codecfake.pipeline.config import RunConfig, save_config
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.fingerprint import guard_run_folder, make_fingerprint
from codecfake.pipeline.imports.record import refuse_import
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.restoring import restore_audio
from codecfake.pipeline.resynthesis_job import PROBES, ResynthesisJob
from codecfake.pipeline.retries import retry_shards
from codecfake.pipeline.run_lock import run_lock
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.run_store import adopt_run, share_run
from codecfake.pipeline.shard_store import drafts, is_published, published_shards, shard_path
from codecfake.pipeline.shards import Shard, ShardBlock, cut_shards, make_blocks
from codecfake.pipeline.source import corpus_roots, ensure_source, list_sources
from codecfake.pipeline.source_check import refuse_other_plan, without_repaired
from codecfake.pipeline.splitting import SplitReport
from codecfake.pipeline.weights import Checkpoint, find_checkpoint

if TYPE_CHECKING:
    import pyarrow as pa

RunBlocks = Callable[[ResynthesisJob, Sequence[ShardBlock], Monitor], list[str]]
"""Works through blocks of shards, and gives the messages of those that failed."""


LISTING_SECONDS = 75.0
"""For which NFS may show an old listing of a folder: a minute by default."""


@dataclass(frozen=True)
class Inputs:
    """What a run is built from, once it is known that its folder is its own."""

    checkpoints: Mapping[str, Checkpoint]
    """By codec id."""
    listings: Sequence[CorpusListing]
    source: "pa.Table"
    """The source manifest, without what retries read."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    shards_done: int
    shards_found: int
    """Published by an earlier run."""
    split: SplitReport


def build(config: RunConfig, monitor: Monitor, run_blocks: RunBlocks) -> BuildReport:
    """Build a run folder, or finish one that was begun.

    Args:
        config: What to build.
        monitor: Told about the progress; carries the stop signal.
        run_blocks: How blocks are worked through: in a plain loop, as Prefect tasks, or by workers of a pool.

    Raises:
        CodecfakeError: If the folder was imported, belongs to another configuration or process, a codec has no
            weights or is broken, or shards failed.
        Stopped: If the user asked to stop.
    """
    refuse_import(config.out)
    with run_lock(config.out, monitor.stop.set):
        return build_locked(config, find_inputs(config, monitor), monitor, run_blocks)


def find_inputs(config: RunConfig, monitor: Monitor, *, saves: bool = True) -> Inputs:
    """Find what a run is built from, and stamp its folder with it; the caller holds the run lock.

    Args:
        config: Configuration of the run.
        monitor: Told about the progress.
        saves: Whether the configuration becomes that of the run, with its device.

    Raises:
        CodecfakeError: If the folder belongs to another configuration, or a source manifest that was lost cannot be
            made again because the corpora changed.
    """
    checkpoints = find_checkpoints(config)
    listings = list_sources(config)
    if config.store:
        adopt_run(config.store, config.out)
    guard_run_folder(config.out, make_fingerprint(config, listings, checkpoints))
    if saves:
        save_config(config)

    def examine(source: "pa.Table") -> "pa.Table":
        source = without_repaired(source, config.out)
        refuse_other_plan(config.out, plan_shards(source, config.codecs))
        return source

    return Inputs(checkpoints, listings, ensure_source(config, listings, monitor, examine))


def build_locked(config: RunConfig, inputs: Inputs, monitor: Monitor, run_blocks: RunBlocks) -> BuildReport:
    """What ``build`` does after it found its inputs, for a caller that holds the run lock."""
    remove_drafts(config.out)
    if config.store:
        share_run(config.store, config.out, monitor)

    shards = plan_shards(inputs.source, config.codecs) + retry_shards(config)
    done = {(shard.codec, shard.id) for shard in shards if is_published(config.out, shard.codec, shard.id)}
    blocks = make_blocks(
        shards, lambda codec: _input_rate(codec, config), lambda shard: (shard.codec, shard.id) in done
    )
    if blocks:
        # From the middle of the sorted plan: utterances of ordinary length.
        probes = blocks[len(blocks) // 2].shards[0].utterances[:PROBES]
        job = ResynthesisJob(config, corpus_roots(inputs.listings), inputs.checkpoints, probes)
        monitor.begin("Resynthesis", sum(block.seconds for block in blocks), "s")
        failures = run_blocks(job, blocks, monitor)
        monitor.end()
        if failures:
            raise CodecfakeError(
                f"{len(failures)} of {len(blocks)} blocks of shards failed, the others are published. "
                f"First: {failures[0]}",
                next_step="repeat the command once the cause is gone; it does only what is missing",
            )
        _wait_until_listed(config.out, shards, monitor)
    restore_audio(config.out, monitor.say)
    return BuildReport(len(shards) - len(done), len(done), split_run(config.out, monitor=monitor))


def _wait_until_listed(run_dir: Path, shards: Sequence[Shard], monitor: Monitor) -> None:
    """Wait for a network file system to list what other machines published, so that the split misses nothing."""
    planned = {shard_path(run_dir, shard.codec, shard.id) for shard in shards}
    until = time.monotonic() + LISTING_SECONDS
    while missing := planned - set(published_shards(run_dir)):
        if time.monotonic() > until:
            raise CodecfakeError(
                f"{len(missing)} shards were published and are not listed, such as {min(missing)}",
                cause="shards were removed, or the network file system shows old listings",
                next_step="repeat the command",
            )
        monitor.raise_if_stopped()
        monitor.stop.wait(1.0)
    monitor.raise_if_stopped()


def _input_rate(codec: str, config: RunConfig) -> int | None:
    if codec == REAL:
        return None if config.sample_rate == "native" else config.sample_rate
    return find_codec(codec).card.sample_rate


def find_checkpoints(config: RunConfig) -> dict[str, Checkpoint]:
    """The weights of every codec of a run, by codec id; a backend that cannot run one of them says so here."""
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
        # Renamed first: a worker that a dead build left behind can then not publish what is half removed.
        condemned = temporary_sibling(draft)
        with suppress(FileNotFoundError):
            draft.rename(condemned)
            # NFS keeps files that are open somewhere; what stays has a temporary name and goes with the next build.
            shutil.rmtree(condemned, ignore_errors=True)
