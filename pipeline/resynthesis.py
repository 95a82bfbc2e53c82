"""One shard through one codec: read, resample, network, write, publish.

Batches run in a few threads at once, each reading its utterances, waiting for a slot on the device, and
writing the result: so reading and writing of some batches overlap the network run of others, and no more
batches are in memory than there are threads.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codecfake.codec_adapters.base import CodecAdapter, PreparedWave
from codecfake.codec_adapters.resampling import Wave, resample, to_mono
from codecfake.manifests.atomic import flush_to_disk
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.manifests.schema import REAL
from codecfake.pipeline.audio import decode, encode_wav, to_pcm16
from codecfake.pipeline.devices import Device
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.provenance import now
from codecfake.pipeline.shard_store import AUDIO, RETRY_PREFIX, publish_shard, shard_draft, shard_path
from codecfake.pipeline.shards import Shard, SourceRow

READ_AHEAD_THREADS = 2
"""Batches being read or written while the device is busy with others."""


class Quarantined(Exception):
    """This utterance cannot be part of the dataset; the run goes on."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Resynthesis:
    """What all shards of a run share."""

    run_dir: Path
    corpus_roots: Mapping[str, Path]
    sample_rate: int | None
    """Rate of the audio written in Hz; ``None`` keeps that of the codec, or of the corpus for bona fide."""
    device: Device
    adapter_of: Callable[[str], CodecAdapter]
    """Gives the loaded adapter of a codec id."""
    monitor: Monitor

    def run_shard(self, shard: Shard) -> dict[str, Any]:
        """Resynthesise and publish a shard.

        Returns:
            The record published in ``shard.json``.

        Raises:
            Stopped: If the user asked to stop; nothing is published then.
            CodecfakeError: If the codec failed on every utterance, which is no fault of the audio.
        """
        began = time.monotonic()
        timer: Counter[str] = Counter()
        adapter = None if shard.codec == REAL else self.adapter_of(shard.codec)
        batches = self.device.batches(shard.utterances, adapter)
        with shard_draft(self.run_dir, shard.codec, shard.id) as draft:
            job = _ShardJob(self, shard, adapter, draft, timer)
            with ThreadPoolExecutor(self.device.slots + READ_AHEAD_THREADS) as pool:
                items = [row for rows in pool.map(job.run_batch, batches) for row in rows]
            _refuse_broken_codec(shard, items)
            halved = timer.pop("halved", 0)
            record = {
                "source_seconds": round(shard.seconds, 3),
                "wall_seconds": round(time.monotonic() - began, 3),
                "stage_seconds": {stage: round(seconds, 3) for stage, seconds in timer.items()},
                "device": self.device.name,
                "halved_batches": halved,
                "published_at": now(),
            }
            publish_shard(draft, self.run_dir, shard.codec, shard.id, items, record)
        return record


@dataclass(frozen=True)
class _ShardJob:
    run: Resynthesis
    shard: Shard
    adapter: CodecAdapter | None
    draft: Path
    timer: Counter

    def run_batch(self, batch: Sequence[SourceRow]) -> list[dict[str, Any]]:
        self.run.monitor.raise_if_stopped()
        rows, readable, waves = [], [], []
        for source in batch:
            try:
                waves.append(self._read(source))
                readable.append(source)
            except Quarantined as problem:
                rows.append(self._row(source, problem))
        for source, result in zip(readable, self._resynthesize(waves), strict=True):
            try:
                if isinstance(result, Quarantined):
                    raise result
                rows.append(self._write(source, *result))
            except Quarantined as problem:
                rows.append(self._row(source, problem))
        self.run.monitor.advance(sum(source["seconds"] for source in batch))
        return rows

    def _read(self, source: SourceRow) -> tuple[Wave, int] | PreparedWave:
        began = time.monotonic()
        wave, rate = read_source(self.run.corpus_roots[source["corpus"]], source)
        prepared = self.adapter.prepare(wave, rate) if self.adapter else (to_mono(wave), rate)
        self.timer["read"] += time.monotonic() - began
        return prepared

    def _resynthesize(self, waves: list) -> list["tuple[Wave, int] | Quarantined"]:
        """Give each wave at the rate it is written at, or why there is none."""
        if self.adapter is None:
            rates = [self.run.sample_rate or rate for _, rate in waves]
            return [(resample(*wave, rate), rate) for wave, rate in zip(waves, rates, strict=True)]
        output_rate = self.run.sample_rate or self.adapter.card.sample_rate
        results = []
        for prepared, wave in zip(waves, self._run_network(waves), strict=True):
            if isinstance(wave, Quarantined):
                results.append(wave)
            else:
                results.append((self.adapter.finish(wave, prepared, output_rate), output_rate))
        return results

    def _run_network(self, batch: list[PreparedWave]) -> list["Wave | Quarantined"]:
        """Run a batch; on failure run it in parts, so that one utterance never takes the others along.

        When memory ran out the batch is halved, once; else the utterances are run one by one.
        """
        if not batch:
            return []
        try:
            return self._run_on_device(batch)
        except Exception as error:
            if len(batch) == 1:
                return [_codec_failure(error)]
            if _is_out_of_memory(error):
                self.timer["halved"] += 1
                middle = len(batch) // 2
                parts = [batch[:middle], batch[middle:]]
            else:
                parts = [[item] for item in batch]
        results: list[Wave | Quarantined] = []
        for part in parts:
            try:
                results += self._run_on_device(part)
            except Exception as error:
                results += [_codec_failure(error)] * len(part)
        return results

    def _run_on_device(self, batch: list[PreparedWave]) -> list[Wave]:
        with self.run.device.slot():
            began = time.monotonic()
            waves = self.adapter.run(batch)
            self.timer["network"] += time.monotonic() - began
        return waves

    def _write(self, source: SourceRow, wave: Wave, sample_rate: int) -> dict[str, Any]:
        began = time.monotonic()
        if not np.isfinite(wave).all():
            raise Quarantined(Reason.CODEC_NON_FINITE, f"{self.shard.codec} gave NaN or infinite samples")
        pcm, clipped = to_pcm16(wave)
        if not pcm.any():
            raise Quarantined(Reason.CODEC_SILENT, f"{self.shard.codec} gave silence")
        content = encode_wav(pcm, sample_rate)
        row = self._row(source)
        path = self.draft / AUDIO / row["file"]
        path.write_bytes(content)
        flush_to_disk(path)
        place = shard_path(self.run.run_dir, self.shard.codec, self.shard.id) / AUDIO / row["file"]
        row |= {
            "path": place.relative_to(self.run.run_dir).as_posix(),
            "samples": len(pcm),
            "seconds": len(pcm) / sample_rate,
            "sample_rate": sample_rate,
            "sha256": hashlib.sha256(content).hexdigest(),
            "clipped_samples": clipped,
        }
        self.timer["write"] += time.monotonic() - began
        return row

    def _row(self, source: SourceRow, problem: Quarantined | None = None) -> dict[str, Any]:
        prefix = "" if self.shard.codec == REAL else f"{self.shard.codec}_"
        return {
            "utterance_id": source["utterance_id"],
            "codec": self.shard.codec,
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


def read_source(corpus_root: Path, source: SourceRow) -> tuple[np.ndarray, int]:
    """Read an utterance, and make sure that it is the file that the source manifest names.

    Returns:
        Samples of shape (T, channels), float32, and the sample rate in Hz.

    Raises:
        Quarantined: If it is gone, unreadable or not the same file any more.
    """
    path = corpus_root / source["path"]
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise Quarantined(Reason.MISSING, f"{path} is gone since the corpus was read") from error
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, f"{path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != source["sha256"]:
        raise Quarantined(
            Reason.SOURCE_CHANGED, f"{path} is not the file that was read for the source manifest"
        )
    return decode(content)


def _codec_failure(error: Exception) -> Quarantined:
    if _is_out_of_memory(error):
        return Quarantined(Reason.OUT_OF_MEMORY, f"memory ran out: {error}")
    return Quarantined(Reason.CODEC_ERROR, f"{type(error).__name__}: {error}")


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError)


def _refuse_broken_codec(shard: Shard, items: Sequence[Mapping[str, Any]]) -> None:
    """A codec that fails on every utterance is broken itself; quarantining a whole corpus would hide it."""
    failed = [row for row in items if row["reason"] == Reason.CODEC_ERROR]
    if len(items) > 1 and len(failed) == len(items) and not shard.id.startswith(RETRY_PREFIX):
        raise CodecfakeError(
            f"{shard.codec} failed on all {len(items)} utterances of {shard.id}: {failed[0]['message']}",
            cause="the codec or its weights are broken, not the audio",
            next_step=f"codecfake codecs describe {shard.codec}",
        )
