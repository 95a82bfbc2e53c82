"""The retry command: plan what to redo, then finish the run with it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.build import BuildReport, RunBlocks, build_locked, plan_shards
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.mending import SetAside, mend_split, set_aside_damaged
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retries import RetryPlan, plan_retry
from codecfake.pipeline.run_lock import run_lock
from codecfake.pipeline.shard_store import is_published, read_shard_items, shard_path
from codecfake.pipeline.source import SOURCE, ensure_source, list_sources

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class RetryReport:
    """What a retry did."""

    plan: RetryPlan | None
    """``None`` when there was nothing to retry."""
    build: BuildReport
    mended: tuple[str, ...] = ()
    """Damaged files that were set aside and made again, with what was wrong."""


def retry(config: RunConfig, reason: Reason | None, monitor: Monitor, run_blocks: RunBlocks) -> RetryReport:
    """Redo what is quarantined or damaged, audio as well as manifests, and whatever else the run still lacks.

    Args:
        config: Configuration of the run.
        reason: Retry only what failed for this reason.
        monitor: Told about the progress.
        run_blocks: How blocks are scheduled.
    """
    with run_lock(config.out, monitor.stop.set):
        aside = SetAside((), ())
        if reason in (None, Reason.DAMAGED):
            aside = set_aside_damaged(config.out, monitor.say)
            if not (config.out / SOURCE).is_file():
                _refuse_other_plan(config, ensure_source(config, list_sources(config), monitor))
        plan = plan_retry(config, reason, monitor)
        report = build_locked(config, monitor, run_blocks)
        for split in aside.splits:
            mend_split(config.out, split, monitor)
        return RetryReport(plan, report, aside.files)


def _refuse_other_plan(config: RunConfig, source: "pa.Table") -> None:
    """Corpora that changed since would cut other shards under the ids of the published ones."""
    for shard in plan_shards(source, config.codecs):
        if not is_published(config.out, shard.codec, shard.id):
            continue
        items = read_shard_items(shard_path(config.out, shard.codec, shard.id))
        if set(items["utterance_id"].to_pylist()) != {row["utterance_id"] for row in shard.utterances}:
            (config.out / SOURCE).unlink()
            raise CodecfakeError(
                f"the corpora are not those that {config.out} was built from: {shard.codec}/{shard.id} differs",
                cause=f"{SOURCE} was damaged, and files of the corpora were added, removed or changed since the build",
                next_step="bring the corpora back to what they were, then repeat the command",
            )
