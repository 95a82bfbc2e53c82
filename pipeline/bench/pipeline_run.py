"""Utterances through the pipeline of a build, with everything but its planning."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codecfake.codec_adapters import CodecAdapter
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.bench.corpus import BenchCorpus
from codecfake.pipeline.bench.rounds import Round, stopwatch
from codecfake.pipeline.devices import Device, single_threaded_networks
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis import Resynthesis
from codecfake.pipeline.scheduling import BLOCKS_PER_DEVICE, run_in_threads
from codecfake.pipeline.shards import Shard, ShardBlock
from codecfake.pipeline.sinks import RunFolder, Sink

OUTPUT_RATE = 16_000
SHARDS_PER_RUN = 4
"""While one is published, the next is computed: only the last one's publishing shows, as at the end of a build."""


class PipelineRun:
    """A codec and a corpus to send through it.

    Args:
        adapter: The codec, loaded on the device.
        device: Where it runs.
        corpus: Utterances sorted by length, as the shards of the full corpora.
    """

    def __init__(self, adapter: CodecAdapter, device: Device, corpus: BenchCorpus) -> None:
        self.adapter, self.device = adapter, device
        self._corpus = corpus

    @property
    def unit(self) -> int:
        """Utterances that keep every slot of the device busy once."""
        if self.device.is_cuda:
            return len(self._corpus.rows)
        return self.device.slots * self.adapter.cpu_batch

    def measure(self, count: int, out: Path, sink: Sink | None = None) -> Round:
        """Resynthesise and publish ``count`` utterances.

        Args:
            count: How many.
            out: An empty folder.
            sink: Where they go; to ``out`` when absent.

        Raises:
            CodecfakeError: If one of them did not come out.
        """
        blocks = self._blocks(count)
        records: list[dict[str, Any]] = []
        work = Resynthesis(
            run_dir=out,
            corpus_roots=self._corpus.roots,
            sample_rate=OUTPUT_RATE,
            device=self.device,
            adapter_of=lambda _codec: self.adapter,
            monitor=Monitor(),
            sink=sink or RunFolder(),
        )

        def run_block(block: ShardBlock) -> list[dict[str, Any]]:
            done = work.run_block(block)
            records.extend(done)
            return done

        with single_threaded_networks(), stopwatch() as took:
            failures = run_in_threads(blocks, run_block, work.monitor, BLOCKS_PER_DEVICE)
        if failures:
            raise CodecfakeError(f"{self.adapter.card.id} failed while it was measured: {failures[0]}")
        stages: Counter[str] = Counter()
        for record in records:
            stages.update(record["stage_seconds"])
        return Round(
            audio_seconds=sum(block.seconds for block in blocks),
            utterances=count,
            wall_seconds=took.wall_seconds,
            cpu_seconds=took.cpu_seconds,
            stage_seconds=dict(stages),
            halved_batches=sum(record["halved_batches"] for record in records),
        )

    def _blocks(self, count: int) -> list[ShardBlock]:
        rows = sorted(self._corpus.take(count), key=lambda row: row["seconds"])
        size = max(self.unit, -(-count // SHARDS_PER_RUN))
        parts: list[Sequence] = [rows[first : first + size] for first in range(0, count, size)]
        codec = self.adapter.card.id
        return [ShardBlock((Shard(codec, f"{index:05d}", tuple(part)),)) for index, part in enumerate(parts)]


def refuse_losses(adapter: CodecAdapter, expected: int, found: int) -> None:
    """Make sure that what was measured was all done.

    Raises:
        CodecfakeError: If utterances were lost or quarantined.
    """
    if found != expected:
        raise CodecfakeError(
            f"{adapter.card.id}: {expected - found} of {expected} utterances did not come out of the pipeline",
            cause="the codec failed on them, or memory ran out",
            next_step=f"codecfake codecs check {adapter.card.id} --random-weights",
        )
