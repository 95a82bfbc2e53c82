"""The retry command: plan what to redo, then finish the run with it."""

from dataclasses import dataclass

from codecfake.manifests.reasons import Reason
from codecfake.pipeline.build import BuildReport, RunBlocks, build_locked
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retries import RetryPlan, plan_retry
from codecfake.pipeline.run_lock import run_lock


@dataclass(frozen=True)
class RetryReport:
    """What a retry did."""

    plan: RetryPlan | None
    """``None`` when there was nothing to retry."""
    build: BuildReport


def retry(config: RunConfig, reason: Reason | None, monitor: Monitor, run_blocks: RunBlocks) -> RetryReport:
    """Redo what is quarantined or damaged, and whatever else the run still lacks.

    Args:
        config: Configuration of the run.
        reason: Retry only what failed for this reason.
        monitor: Told about the progress.
        run_blocks: How blocks are scheduled.
    """
    with run_lock(config.out, monitor.stop.set):
        plan = plan_retry(config, reason, monitor)
        return RetryReport(plan, build_locked(config, monitor, run_blocks))
