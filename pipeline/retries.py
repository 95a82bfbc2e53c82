"""Redoing just what failed: quarantined utterances, and files that `verify` found damaged.

The rows of a published shard are never changed. A retry adds shards of its own, ``retry-001-00000``, whose rows count
before those of the shards they mend, unless the same bytes came out: these are put back. What a retry is to do is
published before it is done, so a killed retry goes on.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import published
from codecfake.manifests.reasons import Reason
from codecfake.manifests.records import DamagedFileError, read_parquet
from codecfake.manifests.schema import REAL
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.restoring import remaining_damage
from codecfake.pipeline.retry_batches import shards_again
from codecfake.pipeline.retry_numbers import next_number, plan_folder
from codecfake.pipeline.shard_store import ITEMS, RETRY_PREFIX, is_published, read_items
from codecfake.pipeline.shards import Shard, SourceRow, cut_shards
from codecfake.pipeline.source import (
    RETRIES,
    SOURCE,
    current_source,
    inspect,
    publish_source,
    read_source_table,
)

if TYPE_CHECKING:
    import pyarrow as pa

TASKS = ITEMS
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
        The plan, or ``None`` when nothing is quarantined or damaged for that reason but what waits in earlier plans.
    """
    run_dir = config.out
    bad_sources = [row for row in current_source(run_dir).to_pylist() if _matches(row["reason"], reason)]
    failed = _failed_items(run_dir, reason)
    tasks = {(row["codec"], row["utterance_id"]): row["reason"] == Reason.DAMAGED for row in failed}
    if tasks:
        waiting = _waiting(config)
        tasks = {task: was_made for task, was_made in tasks.items() if task not in waiting}
    if not bad_sources and not tasks:
        return None
    read_again = inspect(_listings(config, bad_sources), monitor)
    usable = [row for row in read_again.to_pylist() if row["reason"] is None]
    tasks |= {(codec, row["utterance_id"]): False for row in usable for codec in (REAL, *config.codecs)}
    number = next_number(run_dir)
    publish_plan(run_dir, number, read_again, tasks)
    return RetryPlan(number, len(bad_sources), len(usable), len(tasks))


def retry_shards(config: RunConfig) -> list[Shard]:
    """The shards of all retries that were planned."""
    run_dir = config.out
    plans = sorted((run_dir / RETRIES).glob(f"*/{TASKS}"))
    if not plans:
        return []
    rows = {row["utterance_id"]: row for row in current_source(run_dir).to_pylist()}
    usable = [row for row in read_source_table(run_dir / SOURCE).to_pylist() if row["reason"] is None]
    first_shards = cut_shards("", usable)
    held_by = {row["utterance_id"]: at for at, shard in enumerate(first_shards) for row in shard.utterances}
    shards: list[Shard] = []
    for plan in plans:
        by_codec: dict[tuple[str, bool], list[SourceRow]] = defaultdict(list)
        for task in read_parquet(plan).to_pylist():
            if task["utterance_id"] not in rows:
                raise DamagedFileError(
                    f"{plan} names {task['utterance_id']}, which is in no source manifest of the run",
                    cause="one of them was changed or removed since",
                    next_step=f"bring {run_dir / SOURCE} back from a backup",
                )
            if task["codec"] in (REAL, *config.codecs):
                by_codec[task["codec"], task.get(WAS_MADE, False)].append(rows[task["utterance_id"]])
        prefix = f"{RETRY_PREFIX}{plan.parent.name}-"
        earlier = list(shards)
        for (codec, was_made), utterances in by_codec.items():
            if was_made:
                shards += shards_again(codec, utterances, prefix, first_shards, held_by, earlier)
            else:
                shards += cut_shards(codec, utterances, prefix)
    return shards


def _waiting(config: RunConfig) -> set[tuple[str, str]]:
    """Codec and utterance of what an earlier retry was to do, and did not come to."""
    return {
        (shard.codec, row["utterance_id"])
        for shard in retry_shards(config)
        if not is_published(config.out, shard.codec, shard.id)
        for row in shard.utterances
    }


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


def publish_plan(
    run_dir: Path, number: int, source: "pa.Table", tasks: Mapping[tuple[str, str], bool]
) -> None:
    """Publish what a retry is to do; its tasks come last, without them it does not count.

    Args:
        run_dir: The run folder.
        number: Number of the retry.
        source: Source rows that it read again.
        tasks: For each codec and utterance whether it was made, and got damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = plan_folder(run_dir, number)
    publish_source(source, folder / SOURCE)
    codecs, utterances = zip(*sorted(tasks), strict=True) if tasks else ((), ())
    schema = pa.schema([("codec", pa.string()), ("utterance_id", pa.string()), (WAS_MADE, pa.bool_())])
    was_made = [tasks[task] for task in zip(codecs, utterances, strict=True)]
    with published(folder / TASKS) as temporary:
        pq.write_table(pa.table([list(codecs), list(utterances), was_made], schema=schema), temporary)
