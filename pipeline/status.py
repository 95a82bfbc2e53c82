"""Where a run stands."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codecfake.manifests.schema import REAL
from codecfake.pipeline.build import plan_shards
from codecfake.pipeline.config import SAVED_AS, RunConfig, saved_config
from codecfake.pipeline.imports.record import read_import
from codecfake.pipeline.retries import retry_shards
from codecfake.pipeline.shard_store import RETRY_PREFIX, published_shards, read_items, read_record
from codecfake.pipeline.source import SOURCE, current_source


@dataclass(frozen=True)
class CodecStatus:
    """Progress of one codec, or of bona fide audio."""

    codec: str
    shards: int
    shards_published: int
    utterances: int
    """Files published."""
    hours: float
    quarantined: int
    times_real_time: float
    """Seconds of audio per second of work, over the published shards."""


@dataclass(frozen=True)
class RunStatus:
    """Progress of a run."""

    utterances: int
    """Listed in the source manifest."""
    codecs: tuple[CodecStatus, ...]
    source_reasons: dict[str, int]
    """Unusable source files by reason."""
    codec_reasons: dict[str, int]
    """Quarantined pairs of utterance and codec by reason."""
    quarantined: tuple[dict[str, Any], ...]
    """Every one of them: file or codec, reason and message."""
    imported_from: str = ""
    """The dataset, for a run that was not built."""

    @property
    def is_complete(self) -> bool:
        """Whether every planned shard is published."""
        return all(codec.shards == codec.shards_published for codec in self.codecs)


def planned_shards(config: RunConfig) -> list[tuple[str, str]]:
    """Codec and id of every shard that the run is to publish; empty before the corpora are read."""
    from codecfake.pipeline.source import read_source_table

    if not (config.out / SOURCE).is_file():
        return []
    base = plan_shards(read_source_table(config.out / SOURCE), config.codecs)
    return [(shard.codec, shard.id) for shard in base + retry_shards(config)]


def run_status(config: RunConfig) -> RunStatus:
    """Read the state of a built run from its published shards."""
    status = _read_status(config.out, (REAL, *config.codecs), planned_shards(config))
    listed = current_source(config.out).to_pylist() if (config.out / SOURCE).is_file() else []
    unusable = [row for row in listed if row["reason"]]
    entries = [_entry(f"{row['corpus']}/{row['path']}", row) for row in unusable]
    return replace(
        status,
        utterances=len(listed),
        source_reasons=dict(Counter(row["reason"] for row in unusable)),
        quarantined=(*entries, *status.quarantined),
    )


def status_of(run_dir: Path) -> RunStatus:
    """Read the state of a run, built or imported."""
    imported = read_import(run_dir)
    if imported is None:
        return run_status(saved_config(run_dir))
    status = _read_status(run_dir, imported.codecs, planned_in(run_dir))
    return replace(status, utterances=imported.utterances, imported_from=imported.dataset)


def planned_in(run_dir: Path) -> list[tuple[str, str]]:
    """Codec and id of every shard that a run, built or imported, is to publish."""
    imported = read_import(run_dir)
    if imported is None:
        return planned_shards(saved_config(run_dir))
    # Later shards, with files that came after the first import, are known by being there.
    later = [shard for shard in published_shards(run_dir) if shard.name.startswith(RETRY_PREFIX)]
    return imported.planned_shards() + [(shard.parent.name, shard.name) for shard in later]


def is_run(folder: Path) -> bool:
    """Whether a folder is a run, built or imported, or the beginning of one."""
    return (folder / SAVED_AS).is_file() or read_import(folder) is not None


def _read_status(run_dir: Path, codecs: Iterable[str], shards: list[tuple[str, str]]) -> RunStatus:
    """What the published shards tell, without the source manifest."""
    published = published_shards(run_dir)
    # Shards of a retry count though its plan was lost; those of an import are known by being there alone.
    later = {(shard.parent.name, shard.name) for shard in published if shard.name.startswith(RETRY_PREFIX)}
    planned = Counter(codec for codec, _ in later.union(shards))
    done: Counter[str] = Counter()
    source_seconds: Counter[str] = Counter()
    wall_seconds: Counter[str] = Counter()
    for shard in published:
        record = read_record(shard)
        done[record["codec"]] += 1
        source_seconds[record["codec"]] += record["source_seconds"]
        wall_seconds[record["codec"]] += record["wall_seconds"]
    items = read_items(run_dir)
    totals = items.group_by("codec").aggregate([("sha256", "count"), ("seconds", "sum"), ("reason", "count")])
    total_of = {row["codec"]: row for row in totals.to_pylist()}
    failed = items.filter(items["reason"].is_valid()).to_pylist()
    return RunStatus(
        utterances=0,
        codecs=tuple(
            CodecStatus(
                codec=codec,
                shards=planned[codec],
                shards_published=done[codec],
                utterances=total_of.get(codec, {}).get("sha256_count", 0),
                hours=total_of.get(codec, {}).get("seconds_sum", 0.0) / 3600,
                quarantined=total_of.get(codec, {}).get("reason_count", 0),
                times_real_time=source_seconds[codec] / wall_seconds[codec] if wall_seconds[codec] else 0.0,
            )
            for codec in codecs
        ),
        source_reasons={},
        codec_reasons=dict(Counter(row["reason"] for row in failed)),
        quarantined=tuple(_entry(row["file"], row) for row in failed),
    )


def _entry(what: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"what": what, "reason": row["reason"], "message": row["message"]}
