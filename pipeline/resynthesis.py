"""Blocks of shards through their codecs; the utterances of a block are read once for all of these."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codecfake.codec_adapters.base import CodecAdapter
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL
from codecfake.pipeline.block_sources import BlockSources
from codecfake.pipeline.devices import Device, cpu_count
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.object_store import Location
from codecfake.pipeline.shard_store import is_published
from codecfake.pipeline.shard_work import ShardWork
from codecfake.pipeline.shards import ShardBlock
from codecfake.pipeline.sinks import RunFolder, Sink
from codecfake.pipeline.staging import staged


@dataclass(frozen=True)
class Resynthesis:
    """What all blocks share that one process works on."""

    run_dir: Path
    corpus_roots: Mapping[str, Location]
    sample_rate: int | None
    """Rate of the audio written in Hz; ``None`` keeps that of the codec, or of the corpus for bona fide."""
    device: Device
    adapter_of: Callable[[str], CodecAdapter]
    """Gives the loaded adapter of a codec id."""
    monitor: Monitor
    sink: Sink = field(default_factory=RunFolder)
    workers: ThreadPoolExecutor = field(init=False, repr=False, compare=False)
    """Read and write single utterances; their tasks wait for no others."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", ThreadPoolExecutor(cpu_count() + 1, "utterances"))

    def run_block(self, block: ShardBlock) -> list[dict[str, Any]]:
        """Resynthesise and publish the shards of a block that are not published yet.

        Returns:
            The records published in ``shard.json``, one per shard that was done.

        Raises:
            Stopped: If the user asked to stop; what is not published then is dropped.
            CodecfakeError: If a codec failed on every utterance, which is no fault of the audio; the other shards of
                the block are published first.
        """
        pending = [shard for shard in block.shards if not is_published(self.run_dir, shard.codec, shard.id)]
        records: list[Future[dict[str, Any]]] = []
        broken: list[CodecfakeError] = []
        with ExitStack() as folders, ThreadPoolExecutor(1, "publishing") as publishing:
            sources: BlockSources | None = None
            for shard in pending:
                adapter = None if shard.codec == REAL else self.adapter_of(shard.codec)
                if sources is None:
                    rate = adapter.card.sample_rate if adapter else self.sample_rate
                    parts = shard.batched_with or (shard.utterances,)
                    wanted = ((row["corpus"], row["path"]) for part in parts for row in part)
                    roots = folders.enter_context(staged(self.corpus_roots, wanted))
                    sources = BlockSources(roots, rate, keep=len(pending) > 1)
                draft = folders.enter_context(self.sink.draft(self.run_dir, shard.codec, shard.id))
                work = ShardWork(self, shard, adapter, sources, draft)
                try:
                    items = work.run()
                except CodecfakeError as error:
                    broken.append(error)
                else:
                    records.append(publishing.submit(work.publish, items))
        published = [record.result() for record in records]
        if broken:
            raise broken[0]
        return published
