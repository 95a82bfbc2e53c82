"""What a build would do, from file headers alone, before anything is written."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codecfake.codec_adapters import find_codec
from codecfake.manifests.schema import REAL
from codecfake.pipeline.build import plan_shards
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.devices import cpu_count
from codecfake.pipeline.inspection import probe_corpora
from codecfake.pipeline.monitor import Monitor, count_into
from codecfake.pipeline.shards import SourceRow
from codecfake.pipeline.source import list_sources

BYTES_PER_SAMPLE = 2
WAV_HEADER_BYTES = 44


@dataclass(frozen=True)
class CodecPlan:
    """The share of one codec, or of bona fide audio, in a build."""

    codec: str
    title: str
    shards: int
    utterances: int
    hours: float
    gigabytes: float


@dataclass(frozen=True)
class BuildPlan:
    """What a build would write."""

    codecs: tuple[CodecPlan, ...]
    unusable: Mapping[str, int]
    """Files whose header already shows that they cannot be used, by reason."""
    free_gigabytes: float

    @property
    def gigabytes(self) -> float:
        """Disk that the audio will take."""
        return sum(codec.gigabytes for codec in self.codecs)


def plan_build(config: RunConfig, monitor: Monitor) -> BuildPlan:
    """Plan a build by reading the header of every file of the corpora; writes nothing."""
    listings = list_sources(config)
    monitor.begin("Reading headers", sum(len(listing.utterances) for listing in listings), "utterances")
    source = probe_corpora(listings, cpu_count(), count_into(monitor))
    monitor.end()
    shards = plan_shards(source, config.codecs)
    rows = source.to_pylist()
    usable = [row for row in rows if row["reason"] is None]
    return BuildPlan(
        codecs=tuple(
            CodecPlan(
                codec=codec,
                title="bona fide" if codec == REAL else find_codec(codec).card.title,
                shards=sum(shard.codec == codec for shard in shards),
                utterances=len(usable),
                hours=sum(row["seconds"] for row in usable) / 3600,
                gigabytes=_bytes(usable, codec, config) / 1e9,
            )
            for codec in (REAL, *config.codecs)
        ),
        unusable=Counter(row["reason"] for row in rows if row["reason"]),
        free_gigabytes=shutil.disk_usage(_existing(config.out)).free / 1e9,
    )


def _bytes(rows: Sequence[SourceRow], codec: str, config: RunConfig) -> float:
    if config.sample_rate != "native":
        samples = sum(row["seconds"] for row in rows) * config.sample_rate
    elif codec == REAL:
        samples = sum(row["samples"] for row in rows)
    else:
        samples = sum(row["seconds"] for row in rows) * find_codec(codec).card.sample_rate
    return samples * BYTES_PER_SAMPLE + len(rows) * WAV_HEADER_BYTES


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
