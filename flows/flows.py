"""The Prefect flows: build, retry, train, evaluate, and all of it. Each wraps functions of the library."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from codecfake.detector.evaluation import Evaluation, evaluate
from codecfake.detector.scoring import score
from codecfake.detector.training import TrainResult
from codecfake.flows.artifacts import ShownProgress, show_evaluation, shown_status
from codecfake.flows.running import Training
from codecfake.flows.shard_tasks import run_as_tasks
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.build import BuildReport, RunBlocks, build
from codecfake.pipeline.config import make_config
from codecfake.pipeline.devices import find_device, find_devices
from codecfake.pipeline.monitor import current_monitor
from codecfake.pipeline.retrying import RetryReport, retry
from codecfake.pipeline.scheduling import BLOCKS_PER_DEVICE

_block_runner = ThreadPoolTaskRunner(max_workers=BLOCKS_PER_DEVICE * len(find_devices("auto")))


@flow(name="build", flow_run_name="build {settings[out]}", task_runner=_block_runner)
def build_flow(settings: dict[str, Any], pool: str | None = None) -> BuildReport:
    """Build or finish a run folder here, or on the workers of a pool; ``settings`` are those of `RunConfig`."""
    config = make_config(settings)
    with shown_status(config.out):
        return build(config, ShownProgress(current_monitor()), _run_blocks(pool))


@flow(name="retry", flow_run_name="retry {settings[out]}", task_runner=_block_runner)
def retry_flow(settings: dict[str, Any], reason: str | None = None, pool: str | None = None) -> RetryReport:
    """Redo what is quarantined or damaged in a run folder; ``settings`` are those of `RunConfig`."""
    config, wanted = make_config(settings), Reason(reason) if reason else None
    with shown_status(config.out):
        return retry(config, wanted, ShownProgress(current_monitor()), _run_blocks(pool))


def _run_blocks(pool: str | None) -> RunBlocks:
    if pool is None:
        return run_as_tasks
    from codecfake.flows.pools.fan_out import run_on_pool

    return run_on_pool(pool)


@flow(name="train", flow_run_name="train {training[out]}")
def train_flow(training: dict[str, Any]) -> TrainResult:
    """Train a detector; ``training`` are the fields of `codecfake.flows.running.Training`."""
    return Training(**training).run(current_monitor())


@flow(name="evaluate", flow_run_name="evaluate {detector_dir}")
def evaluate_flow(run_dir: str, detector_dir: str, device: str = "auto") -> Evaluation:
    """Score every condition with a trained detector and compute its error rates."""
    score_task(run_dir, detector_dir, device)
    evaluation = evaluate(Path(run_dir), Path(detector_dir))
    show_evaluation(Path(detector_dir))
    return evaluation


@task(name="score", cache_policy=NO_CACHE)
def score_task(run_dir: str, detector_dir: str, device: str) -> int:
    """Score dev and every condition; gives the number of files the network was run on."""
    say = current_monitor().say
    return score(Path(run_dir), Path(detector_dir), find_device(device).name, say).scored


@flow(name="reproduce", flow_run_name="reproduce {settings[out]}")
def reproduce_flow(settings: dict[str, Any], detector: str, training: dict[str, Any]) -> Evaluation:
    """Build the dataset, train a detector on its published split, and evaluate it."""
    run_dir, device = str(settings["out"]), settings["device"]
    split = build_flow(settings).split.name
    detector_dir = str(Path(run_dir) / "detectors" / detector)
    train_flow({"data": run_dir, "out": detector_dir, "settings": training, "split": split, "device": device})
    return evaluate_flow(run_dir, detector_dir, device)
