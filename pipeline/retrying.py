"""The retry command: plan what to redo, then finish the run with it."""

from dataclasses import dataclass
from pathlib import Path

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.build import BuildReport, RunBlocks, build_locked, find_inputs
from codecfake.pipeline.config import SAVED_AS, RunConfig
from codecfake.pipeline.mending import SetAside, mend_splits, set_aside_damaged
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retries import RetryPlan, plan_retry
from codecfake.pipeline.run_lock import run_lock


@dataclass(frozen=True)
class RetryReport:
    """What a retry did."""

    plan: RetryPlan | None
    """``None`` when there was nothing to retry but what waited in earlier plans."""
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

    Raises:
        CodecfakeError: If the configuration is not that of the run, or its corpora are not where they were; nothing
            is planned then.
    """
    with run_lock(config.out, monitor.stop.set):
        is_mending = reason in (None, Reason.DAMAGED)
        aside = set_aside_damaged(config.out, monitor.say) if is_mending else SetAside((), ())
        _refuse_moved_corpora(config)
        inputs = find_inputs(config, monitor, saves=False)
        plan = plan_retry(config, reason, monitor)
        report = build_locked(config, inputs, monitor, run_blocks)
        stale = mend_splits(config.out, aside.splits, monitor) if is_mending else []
        return RetryReport(plan, report, (*aside.files, *stale))


def _refuse_moved_corpora(config: RunConfig) -> None:
    for option, root in (("vctk", config.vctk), ("aishell3", config.aishell3)):
        if isinstance(root, Path) and not root.is_dir():
            again = f"codecfake build --config {config.out / SAVED_AS} --out {config.out} --{option} NEW"
            raise CodecfakeError(
                f"{root}, which {config.out} was built from, is not there",
                cause="the corpus was moved, or its disk is not mounted",
                next_step=f"mount it; if it was moved: {again}, which remembers the place",
            )
