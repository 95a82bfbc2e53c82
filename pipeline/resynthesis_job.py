"""What a process needs to work on the shards of a run; plain values, so that it can be sent to another process."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

from codecfake.codec_adapters import CodecAdapter
from codecfake.codec_adapters.base import PreparedWave
from codecfake.manifests.stage_clock import StageClock
from codecfake.pipeline.block_sources import BlockSources, Quarantined
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.devices import Device
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.object_store import Location
from codecfake.pipeline.precision import settle_precision
from codecfake.pipeline.resynthesis import Resynthesis
from codecfake.pipeline.shards import CODECS_PER_BLOCK, SourceRow
from codecfake.pipeline.sinks import RunFolder, StoredRunFolder
from codecfake.pipeline.staging import staged
from codecfake.pipeline.weights import Checkpoint, load_codec

PROBES = 16
"""Utterances to measure a lower precision on: some 60 s."""


@dataclass(frozen=True)
class ResynthesisJob:
    """The settings of a run, where its corpora are, and its weights."""

    config: RunConfig
    roots: Mapping[str, Location]
    """Folder or URL of each corpus."""
    checkpoints: Mapping[str, Checkpoint]
    """By codec id."""
    probes: Sequence[SourceRow] = ()
    """Utterances on which a lower precision has to prove itself."""
    keep_local: bool = True
    """Whether shards stay in the run folder once they are in the store, if the run has one."""

    def open(self, device: Device, monitor: Monitor) -> Resynthesis:
        """Get ready to work on a device; codecs are loaded when their first shard comes."""
        rate = self.config.sample_rate
        return Resynthesis(
            run_dir=self.config.out,
            corpus_roots=self.roots,
            sample_rate=None if rate == "native" else rate,
            device=device,
            adapter_of=self._codec_cache(device, monitor),
            monitor=monitor,
            sink=StoredRunFolder(self.config.store, self.keep_local) if self.config.store else RunFolder(),
        )

    def _codec_cache(self, device: Device, monitor: Monitor) -> Callable[[str], CodecAdapter]:
        """Load each codec once; room for two blocks, for the moment when one's last shards and the next's overlap."""
        lock = Lock()

        @lru_cache(maxsize=2 * CODECS_PER_BLOCK)
        def load(codec_id: str) -> CodecAdapter:
            adapter = load_codec(
                codec_id,
                self.checkpoints[codec_id],
                device.name,
                backend=self.config.backend,
                input_peak=self.config.input_peak.get(codec_id),
            )
            waves = self._probe_waves(adapter)
            with device.alone():
                precision = settle_precision(adapter, self.config.precision, waves)
            adapter.precision = precision.used
            if self.config.precision != "float32":
                monitor.say(f"{codec_id} runs in {precision.in_words}")
            return adapter

        def adapter_of(codec_id: str) -> CodecAdapter:
            with lock:
                return load(codec_id)

        return adapter_of

    def _probe_waves(self, adapter: CodecAdapter) -> list[PreparedWave]:
        if self.config.precision == "float32":
            return []
        waves = []
        with staged(self.roots, ((row["corpus"], row["path"]) for row in self.probes)) as roots:
            sources = BlockSources(roots, adapter.card.sample_rate, keep=False)
            for row in self.probes:
                with suppress(Quarantined):
                    waves.append(adapter.prepare_source(sources.read(row, StageClock())))
        return waves
