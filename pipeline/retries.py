"""Redoing just what failed: quarantined utterances, and files that `verify` found damaged.

The rows of a published shard are never changed. A retry adds shards of its own, ``retry-001-00000``, whose rows count
before those of the shards they mend, unless the same bytes came out: these are put back. What a retry is to do is
published before it is done, so a killed retry goes on.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codecfake.manifests.atomic import published
from codecfake.manifests.reasons import Reason
from codecfake.manifests.records import DamagedFileError, read_parquet
from codecfake.manifests.schema import REAL
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.restoring import remaining_damage
from codecfake.pipeline.shard_store import RETRY_PREFIX, read_items
from codecfake.pipeline.shards import Shard, SourceRow, cut_shards
from codecfake.pipeline.source import (
    RETRIES,
    SOURCE,
    current_source,
    inspect,
    publish_source,
    read_source_table,
)

TASKS = "items.parquet"
WAS_MADE = "was_made"
"""Column that tells audio that was made and got damaged, of which the same bits are wanted, from what failed."""


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
    failed = _failed_items(run_dir, reason)
    tasks = {(row["codec"], row["utterance_id"]): row["reason"] == Reason.DAMAGED for row in failed}
    if not bad_sources and not tasks:
        return None
    read_again = inspect(_listings(config, bad_sources), monitor)
    usable = [row for row in read_again.to_pylist() if row["reason"] is None]
    tasks |= {(codec, row["utterance_id"]): False for row in usable for codec in (REAL, *config.codecs)}
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
    usable = [row for row in read_source_table(run_dir / SOURCE).to_pylist() if row["reason"] is None]
    first_shards = cut_shards("", usable)
    shards = []
    for plan in plans:
        by_codec: dict[tuple[str, bool], list[SourceRow]] = defaultdict(list)
        for task in read_parquet(plan).to_pylist():
            if task["utterance_id"] not in rows:
                raise DamagedFileError(
                    f"{plan} names {task['utterance_id']}, which is in no source manifest of the run",
                    cause="one of them was changed or removed since",
                    next_step=f"bring {run_dir / SOURCE} back from a backup",
                )
            by_codec[task["codec"], task.get(WAS_MADE, False)].append(rows[task["utterance_id"]])
        for (codec, was_made), utterances in by_codec.items():
            prefix = f"{RETRY_PREFIX}{plan.parent.name}-"
            if was_made:
                again = cut_shards(codec, utterances, f"{prefix}again-")
                shards += [replace(shard, batched_with=_holding(shard, first_shards)) for shard in again]
            else:
                shards += cut_shards(codec, utterances, prefix)
    return shards


def _holding(shard: Shard, first_shards: Sequence[Shard]) -> tuple[tuple[SourceRow, ...], ...]:
    """The utterances of the shards that hold those of a retry, or nothing if some are in none."""
    wanted = {row["utterance_id"] for row in shard.utterances}
    found = tuple(
        one.utterances for one in first_shards if any(row["utterance_id"] in wanted for row in one.utterances)
    )
    held = {row["utterance_id"] for part in found for row in part}
    return found if wanted <= held else ()


def _failed_items(run_dir: Path, reason: Reason | None) -> list[dict]:
    items = read_items(run_dir)
    quarantined = items.filter(items["reason"].is_valid()).to_pylist()
    failed = [row for row in quarantined if _matches(row["reason"], reason)]
    if reason in (None, Reason.DAMAGED):
        current = set(items["path"].to_pylist())
        failed += [row for row in remaining_damage(run_dir) if row["path"] in current]
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


def _publish_tasks(tasks: Mapping[tuple[str, str], bool], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    codecs, utterances = zip(*sorted(tasks), strict=True) if tasks else ((), ())
    schema = pa.schema([("codec", pa.string()), ("utterance_id", pa.string()), (WAS_MADE, pa.bool_())])
    was_made = [tasks[task] for task in zip(codecs, utterances, strict=True)]
    with published(path) as temporary:
        pq.write_table(pa.table([list(codecs), list(utterances), was_made], schema=schema), temporary)
