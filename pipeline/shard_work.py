"""One shard through one codec: read, resample, network, write.

Batches run in a few threads at once; the utterances of each are read and written by a pool of threads, so that these
overlap the network runs of other batches, and no more batches are in memory than there are threads.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.codec_adapters.base import CodecAdapter, PreparedWave, SourceWave
from codecfake.codec_adapters.resampling import Wave
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.manifests.schema import REAL
from codecfake.manifests.stage_clock import StageClock
from codecfake.pipeline.audio import encode_wav, to_pcm16
from codecfake.pipeline.block_sources import BlockSources, Quarantined
from codecfake.pipeline.device_pcm import Pcm16
from codecfake.pipeline.memory_errors import is_out_of_memory
from codecfake.pipeline.provenance import now
from codecfake.pipeline.shard_store import AUDIO, RETRY_PREFIX, shard_path
from codecfake.pipeline.shards import Shard, SourceRow

if TYPE_CHECKING:
    from codecfake.pipeline.resynthesis import Resynthesis

READ_AHEAD_BATCHES = 2
"""Batches being read or written while the device is busy with others."""


class ShardWork:
    """One shard on its way through one codec.

    Args:
        resynthesis: What all blocks share.
        shard: What to do.
        adapter: Its codec; ``None`` for bona fide audio.
        sources: Gives the utterances.
        draft: Folder to write into.
    """

    def __init__(
        self,
        resynthesis: "Resynthesis",
        shard: Shard,
        adapter: CodecAdapter | None,
        sources: BlockSources,
        draft: Path,
    ) -> None:
        self._resynthesis, self._shard, self._adapter = resynthesis, shard, adapter
        self._sources, self._draft = sources, draft
        self._limit = resynthesis.device.limit(adapter) if adapter else None
        self._output_rate = resynthesis.sample_rate or (adapter.card.sample_rate if adapter else None)
        self._clock = StageClock()
        self._wanted = {source["utterance_id"] for source in shard.utterances}
        self._halved: list[int] = []
        self._began = time.monotonic()

    def run(self) -> list[dict[str, Any]]:
        """Write the audio of the shard; gives one row per utterance."""
        device = self._resynthesis.device
        batches = [
            batch
            for utterances in self._shard.batched_with or (self._shard.utterances,)
            for batch in device.batches(utterances, self._adapter, self._limit)
            if any(source["utterance_id"] in self._wanted for source in batch)
        ]
        with ThreadPoolExecutor(device.slots + READ_AHEAD_BATCHES, "batches") as pool:
            items = [row for rows in pool.map(self._run_batch, batches) for row in rows]
        _refuse_hopeless_shard(self._shard, items)
        return items

    def publish(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Publish what was written; gives the record of the shard."""
        shard, resynthesis = self._shard, self._resynthesis
        record = {
            "source_seconds": round(shard.seconds, 3),
            "wall_seconds": round(time.monotonic() - self._began, 3),
            "stage_seconds": {stage: round(seconds, 3) for stage, seconds in self._clock.seconds.items()},
            "device": resynthesis.device.name,
            "made_with": resynthesis.device.maker,
            "batch_seconds": self._limit and self._limit.seconds,
            "halved_batches": len(self._halved),
            "published_at": now(),
        }
        resynthesis.sink.publish(self._draft, resynthesis.run_dir, shard.codec, shard.id, items, record)
        return record

    def _run_batch(self, batch: Sequence[SourceRow]) -> list[dict[str, Any]]:
        self._resynthesis.monitor.raise_if_stopped()
        workers = self._resynthesis.workers
        waves = list(workers.map(self._read, batch))
        good = [wave for wave in waves if not isinstance(wave, Quarantined)]
        results = iter(self._through_codec(good))
        outcomes = [wave if isinstance(wave, Quarantined) else next(results) for wave in waves]
        done = zip(batch, waves, outcomes, strict=True)
        wanted = [one for one in done if one[0]["utterance_id"] in self._wanted]
        rows = list(workers.map(self._write, *zip(*wanted, strict=True)))
        self._resynthesis.monitor.advance(sum(source["seconds"] for source, _, _ in wanted))
        return rows

    def _read(self, source: SourceRow) -> SourceWave | PreparedWave | Quarantined:
        try:
            wave = self._sources.read(source, self._clock)
        except Quarantined as problem:
            return problem
        return self._adapter.prepare_source(wave) if self._adapter else wave

    def _through_codec(self, waves: list[Any]) -> Sequence[Wave | Pcm16 | Quarantined]:
        if self._adapter is None:
            return [source.wave for source in waves]
        return self._run_network(waves)

    def _run_network(self, batch: list[PreparedWave]) -> list[Wave | Pcm16 | Quarantined]:
        """Run a batch; on failure run it in parts, so that one utterance never takes the others along.

        When memory ran out the batch is halved, once; else the utterances are run one by one.
        """
        if not batch:
            return []
        try:
            return self._run_on_device(batch)
        except Exception as error:
            self._resynthesis.device.raise_if_faulty()
            if len(batch) == 1:
                return [_codec_failure(error)]
            if is_out_of_memory(error):
                self._halved.append(len(batch))
                middle = len(batch) // 2
                parts = [batch[:middle], batch[middle:]]
            else:
                parts = [[item] for item in batch]
        results: list[Wave | Pcm16 | Quarantined] = []
        for part in parts:
            try:
                results += self._run_on_device(part)
            except Exception as error:
                self._resynthesis.device.raise_if_faulty()
                results += [_codec_failure(error)] * len(part)
        return results

    def _run_on_device(self, batch: list[PreparedWave]) -> list[Wave] | list[Pcm16]:
        only_rounding_follows = self._output_rate == self._adapter.card.sample_rate
        results, seconds = self._resynthesis.device.run(self._adapter, batch, as_pcm=only_rounding_follows)
        self._clock.add("network", seconds)
        return results

    def _write(
        self,
        source: SourceRow,
        wave: SourceWave | PreparedWave | Quarantined,
        outcome: Wave | Pcm16 | Quarantined,
    ) -> dict[str, Any]:
        if isinstance(outcome, Quarantined):
            return self._row(source, outcome)
        try:
            return self._write_audio(source, wave, outcome)
        except Quarantined as problem:
            return self._row(source, problem)

    def _write_audio(
        self, source: SourceRow, wave: SourceWave | PreparedWave, outcome: Wave | Pcm16
    ) -> dict[str, Any]:
        rate = self._output_rate or source["sample_rate"]
        if self._adapter and not isinstance(outcome, Pcm16):
            with self._clock.measure("resample"):
                outcome = self._adapter.finish(outcome, wave, rate)
        with self._clock.measure("write"):
            pcm = outcome if isinstance(outcome, Pcm16) else _rounded(outcome)
            if not pcm.is_finite:
                raise Quarantined(
                    Reason.CODEC_NON_FINITE, f"{self._shard.codec} gave NaN or infinite samples"
                )
            if not pcm.samples.any():
                raise Quarantined(Reason.CODEC_SILENT, f"{self._shard.codec} gave silence")
            content = encode_wav(pcm.samples, rate)
            row = self._row(source)
            self._resynthesis.sink.write(self._draft / AUDIO / row["file"], content)
            place = (
                shard_path(self._resynthesis.run_dir, self._shard.codec, self._shard.id) / AUDIO / row["file"]
            )
            return row | {
                "path": place.relative_to(self._resynthesis.run_dir).as_posix(),
                "samples": len(pcm.samples),
                "seconds": len(pcm.samples) / rate,
                "sample_rate": rate,
                "sha256": hashlib.sha256(content).hexdigest(),
                "clipped_samples": pcm.clipped,
            }

    def _row(self, source: SourceRow, problem: Quarantined | None = None) -> dict[str, Any]:
        prefix = "" if self._shard.codec == REAL else f"{self._shard.codec}_"
        return {
            "utterance_id": source["utterance_id"],
            "codec": self._shard.codec,
            "file": f"{prefix}{source['utterance_id']}.wav",
            "path": None,
            "reason": problem and str(problem.reason),
            "message": problem and problem.message,
            "samples": 0,
            "seconds": 0.0,
            "sample_rate": 0,
            "source_sha256": source["sha256"],
            "sha256": None,
            "clipped_samples": 0,
        }


def _rounded(wave: Wave) -> Pcm16:
    if not np.isfinite(wave).all():
        return Pcm16(np.zeros(0, np.int16), 0, False)
    return Pcm16(*to_pcm16(wave), True)


def _codec_failure(error: Exception) -> Quarantined:
    if is_out_of_memory(error):
        return Quarantined(Reason.OUT_OF_MEMORY, f"memory ran out: {error}")
    return Quarantined(Reason.CODEC_ERROR, f"{type(error).__name__}: {error}")


def _refuse_hopeless_shard(shard: Shard, items: Sequence[Mapping[str, Any]]) -> None:
    """What fails on every utterance is broken itself; quarantining a whole corpus would hide it."""
    reasons = {row["reason"] for row in items}
    if len(items) < 2 or shard.id.startswith(RETRY_PREFIX):
        return
    if reasons == {Reason.CODEC_ERROR}:
        raise CodecfakeError(
            f"{shard.codec} failed on all {len(items)} utterances of {shard.id}: {items[0]['message']}",
            cause="the codec or its weights are broken, not the audio",
            next_step=f"codecfake codecs describe {shard.codec}",
        )
    if reasons <= {Reason.MISSING, Reason.UNREADABLE}:
        raise CodecfakeError(
            f"none of the {len(items)} utterances of {shard.id} could be read: {items[0]['message']}",
            cause="the disk with the corpora is not mounted any more",
            next_step="repeat the command once it is back; it does only what is missing",
        )
