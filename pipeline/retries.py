"""Redoing just what failed: quarantined utterances, and files that `verify` found damaged.

A published shard is never changed. A retry adds shards of its own, ``retry-001-00000``, whose rows count
before those of the shards they mend. What a retry is to do is published before it is done, so a killed retry
goes on.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import published
from codecfake.manifests.reasons import Reason
from codecfake.manifests.records import read_parquet
from codecfake.manifests.schema import REAL
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shard_store import RETRY_PREFIX, read_items
from codecfake.pipeline.shards import Shard, SourceRow, cut_shards
from codecfake.pipeline.source import RETRIES, SOURCE, current_source, inspect, publish_source
from codecfake.pipeline.verification import read_damage

if TYPE_CHECKING:
    pass

TASKS = "items.parquet"


@dataclass(frozen=True)
class RetryPlan:
    """What one retry set out to do."""

    number: int
    files_read_again: int
    files_usable_now: int
    items: int
    """Pairs of utterance and codec to redo."""


def plan_retry(config: RunConfig, reason: Reason | None, monitor: Monitor) -> RetryPlan | None:
    """Read quarantined files again and publish what is to be redone; the caller holds the run lock.

    Args:
        config: Configuration of the run.
        reason: Retry only what failed for this reason; everything when absent.
        monitor: Told about the progress.

    Returns:
        The plan, or ``None`` when nothing is quarantined or damaged for that reason.
    """
    run_dir = config.out
    bad_sources = [row for row in current_source(run_dir).to_pylist() if _matches(row["reason"], reason)]
    tasks = {(row["codec"], row["utterance_id"]) for row in _failed_items(run_dir, reason)}
    if not bad_sources and not tasks:
        return None
    read_again = inspect(_listings(config, bad_sources), monitor)
    usable = [row for row in read_again.to_pylist() if row["reason"] is None]
    tasks |= {(codec, row["utterance_id"]) for row in usable for codec in (REAL, *config.codecs)}
    number = 1 + len(list((run_dir / RETRIES).glob("[0-9]*")))
    folder = run_dir / RETRIES / f"{number:03d}"
    publish_source(read_again, folder / SOURCE)
    _publish_tasks(tasks, folder / TASKS)
    return RetryPlan(number, len(bad_sources), len(usable), len(tasks))


def retry_shards(run_dir: Path) -> list[Shard]:
    """The shards of all retries that were planned."""
    plans = sorted((run_dir / RETRIES).glob(f"*/{TASKS}"))
    if not plans:
        return []
    rows = {row["utterance_id"]: row for row in current_source(run_dir).to_pylist()}
    shards = []
    for plan in plans:
        by_codec: dict[str, list[SourceRow]] = defaultdict(list)
        for task in read_parquet(plan, ["codec", "utterance_id"]).to_pylist():
            by_codec[task["codec"]].append(rows[task["utterance_id"]])
        for codec, utterances in by_codec.items():
            shards += cut_shards(codec, utterances, f"{RETRY_PREFIX}{plan.parent.name}-")
    return shards


def _failed_items(run_dir: Path, reason: Reason | None) -> list[dict]:
    items = read_items(run_dir)
    quarantined = items.filter(items["reason"].is_valid()).to_pylist()
    failed = [row for row in quarantined if _matches(row["reason"], reason)]
    if reason in (None, Reason.DAMAGED):
        current = set(items["path"].to_pylist())
        failed += [row for row in read_damage(run_dir) if row["path"] in current]
    return failed


def _matches(found: str | None, wanted: Reason | None) -> bool:
    return found is not None and wanted in (None, found)


def _listings(config: RunConfig, rows: Sequence[SourceRow]) -> list[CorpusListing]:
    """List again what is quarantined; a file that is not there any more keeps its old reason."""
    wanted = {row["utterance_id"] for row in rows}
    return [
        replace(listing, utterances=tuple(one for one in listing.utterances if one.utterance_id in wanted))
        for listing in list_corpora(config.vctk, config.aishell3, config.microphone)
    ]


def _publish_tasks(tasks: set[tuple[str, str]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    codecs, utterances = zip(*sorted(tasks), strict=True) if tasks else ((), ())
    schema = pa.schema([("codec", pa.string()), ("utterance_id", pa.string())])
    with published(path) as temporary:
        pq.write_table(pa.table([list(codecs), list(utterances)], schema=schema), temporary)
