"""The retry command: plan what to redo, then finish the run with it."""

from dataclasses import dataclass

from codecfake.manifests.reasons import Reason
from codecfake.pipeline.build import BuildReport, RunBlocks, build_locked
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.mending import SetAside, set_aside_damaged
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retries import RetryPlan, plan_retry
from codecfake.pipeline.run_lock import run_lock
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.source import SOURCE, ensure_source, list_sources


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
                ensure_source(config, list_sources(config), monitor)
        plan = plan_retry(config, reason, monitor)
        report = build_locked(config, monitor, run_blocks)
        for split in aside.splits:
            split_run(config.out, policy=split.policy, seed=split.seed, monitor=monitor)
        return RetryReport(plan, report, aside.files)
