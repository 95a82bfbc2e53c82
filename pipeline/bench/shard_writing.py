"""Writing and publishing a shard of ready waves, as the last steps of resynthesis do."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from codecfake.codec_adapters.resampling import Wave
from codecfake.manifests.schema import item_schema
from codecfake.pipeline.audio import encode_wav, to_pcm16
from codecfake.pipeline.bench.null_codec import NullCodec
from codecfake.pipeline.shard_store import AUDIO
from codecfake.pipeline.shards import SourceRow
from codecfake.pipeline.sinks import RunFolder

SHARD = "00000"


def write_shard(
    run_dir: Path, sources: Sequence[SourceRow], waves: Sequence[Wave], sample_rate: int, threads: int
) -> None:
    """Round, encode, hash and write waves, then publish them.

    Args:
        run_dir: An empty folder.
        sources: Their rows of the source manifest.
        waves: One of shape (T,) per source.
        sample_rate: Their rate in Hz.
        threads: Threads that write.
    """
    codec, sink = NullCodec.card.id, RunFolder()

    def write(source: SourceRow, wave: Wave) -> dict[str, Any]:
        pcm, clipped = to_pcm16(wave)
        content = encode_wav(pcm, sample_rate)
        name = f"{codec}_{source['utterance_id']}.wav"
        sink.write(draft / AUDIO / name, content)
        return dict.fromkeys(item_schema().names) | {
            "utterance_id": source["utterance_id"],
            "codec": codec,
            "file": name,
            "path": name,
            "samples": len(pcm),
            "seconds": len(pcm) / sample_rate,
            "sample_rate": sample_rate,
            "source_sha256": source["sha256"],
            "sha256": hashlib.sha256(content).hexdigest(),
            "clipped_samples": clipped,
        }

    with sink.draft(run_dir, codec, SHARD) as draft, ThreadPoolExecutor(threads) as pool:
        items = list(pool.map(write, sources, waves))
        sink.publish(draft, run_dir, codec, SHARD, items, {})
