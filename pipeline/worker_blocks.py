"""What a worker on another machine does: blocks of a run that it is given by name, out of the shared run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codecfake.codec_adapters import find_codec
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL
from codecfake.pipeline.build import plan_shards
from codecfake.pipeline.config import RunConfig, saved_config
from codecfake.pipeline.fingerprint import read_weights_digests
from codecfake.pipeline.local_devices import run_locally
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.object_store import Location
from codecfake.pipeline.resynthesis_job import PROBES, ResynthesisJob
from codecfake.pipeline.retries import retry_shards
from codecfake.pipeline.run_store import stored_shards
from codecfake.pipeline.shard_store import is_published
from codecfake.pipeline.shards import ShardBlock, SourceRow
from codecfake.pipeline.source import SOURCE, read_source_table
from codecfake.pipeline.staging import staged
from codecfake.pipeline.weights import Checkpoint, find_checkpoint


@dataclass(frozen=True)
class BlocksReport:
    """What a worker did."""

    shards: int
    """Published by this call."""
    seconds: float
    """Source audio in them."""


def run_named_blocks(
    run_dir: Path, names: Sequence[str], roots: Mapping[str, Location], monitor: Monitor
) -> BlocksReport:
    """Work through blocks of a run; what is published already is skipped.

    Args:
        run_dir: The run folder, as this machine sees it.
        names: Names of blocks of one plan, as `ShardBlock.name` gives them.
        roots: Folder of each corpus, as this machine sees it, or URL.
        monitor: Told about the progress.

    Raises:
        CodecfakeError: If the corpora, the weights or the plan here are not those of the run, or blocks failed.
    """
    config = saved_config(run_dir, needs_codecs=True)
    stored = stored_shards(config.store) if config.store else set()
    blocks = []
    for block in find_blocks(config, names):
        left = [
            shard
            for shard in block.shards
            if (shard.codec, shard.id) not in stored and not is_published(run_dir, shard.codec, shard.id)
        ]
        if left:
            blocks.append(ShardBlock(tuple(left)))
    todo = [shard for block in blocks for shard in block.shards]
    if not todo:
        return BlocksReport(0, 0.0)
    _refuse_other_corpora(blocks, roots)
    checkpoints = _find_checkpoints(config, {shard.codec for shard in todo} - {REAL})
    probes = blocks[0].shards[0].utterances[:PROBES]
    monitor.begin("Resynthesis", sum(shard.seconds for shard in todo), "s")
    # With a store, this run folder is one for the time being, and nobody else reads it.
    job = ResynthesisJob(config, roots, checkpoints, probes, keep_local=config.store is None)
    failures = run_locally(job, blocks, monitor)
    monitor.end()
    if failures:
        raise CodecfakeError(f"{len(failures)} of {len(blocks)} blocks failed. First: {failures[0]}")
    return BlocksReport(len(todo), sum(shard.seconds for shard in todo))


def find_blocks(config: RunConfig, names: Sequence[str]) -> list[ShardBlock]:
    """Look blocks up in the plan of a run.

    Raises:
        CodecfakeError: If the plan has no such shards.
    """
    named = {codec for name in names for codec in name.partition("/")[0].split("+")}
    source = read_source_table(config.out / SOURCE)
    shards = plan_shards(source, [codec for codec in config.codecs if codec in named])
    planned = {(shard.codec, shard.id): shard for shard in shards + retry_shards(config)}
    blocks = []
    for name in names:
        codecs, _, shard_id = name.partition("/")
        try:
            blocks.append(ShardBlock(tuple(planned[codec, shard_id] for codec in codecs.split("+"))))
        except KeyError as error:
            raise CodecfakeError(
                f"the plan of {config.out} has no block {name}",
                cause="this machine sees another run folder under that path, or runs another version of codecfake",
                next_step=f"codecfake status {config.out} on both machines shows what each sees",
            ) from error
    return blocks


def _refuse_other_corpora(blocks: Sequence[ShardBlock], roots: Mapping[str, Location]) -> None:
    """Look at one utterance of each corpus; without it a whole block would be quarantined as missing."""
    samples: dict[str, SourceRow] = {}
    for block in blocks:
        for row in block.shards[0].utterances:
            samples.setdefault(row["corpus"], row)
    with staged(roots, ((corpus, row["path"]) for corpus, row in samples.items())) as local:
        for corpus, row in samples.items():
            _refuse_other_file(local[corpus], roots[corpus], row)


def _refuse_other_file(local: Path, root: Location, row: SourceRow) -> None:
    where = f"{root}/{row['path']}"
    try:
        same = file_sha256(local / row["path"]) == row["sha256"]
    except OSError as error:
        raise CodecfakeError(
            f"this machine cannot read {where}: {error.strerror}",
            cause="the corpora are not mounted here under the path that they have where the build was started",
            next_step=f"mount them at {root}",
        ) from error
    if not same:
        raise CodecfakeError(
            f"{where} is another file here than in the source manifest of the run",
            cause=f"{root} is another copy or version of the corpus on this machine",
        )


def _find_checkpoints(config: RunConfig, codecs: set[str]) -> dict[str, Checkpoint]:
    stamped = read_weights_digests(config.out)
    found = {codec: find_checkpoint(find_codec(codec).card, config.weights) for codec in sorted(codecs)}
    for codec, checkpoint in found.items():
        if checkpoint.sha256 != stamped[codec]:
            raise CodecfakeError(
                f"the weights of {codec} at {checkpoint.path} are not those that the run was begun with "
                f"(sha256 {checkpoint.sha256[:12]} here, {stamped[codec][:12]} there)",
                next_step=f"codecfake codecs fetch {codec}, or give workers the same --weights folder",
            )
    return found
