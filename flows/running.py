"""Running flows for a command: progress, Ctrl-C, and Prefect's own server or none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.flows.progress import ConsoleMonitor
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.monitor import Stopped, current_monitor, listening

if TYPE_CHECKING:
    from codecfake.detector.evaluation import Evaluation
    from codecfake.detector.training import TrainResult
    from codecfake.manifests.reasons import Reason
    from codecfake.pipeline.build import BuildReport
    from codecfake.pipeline.config import RunConfig
    from codecfake.pipeline.retrying import RetryReport

DEFAULT_DETECTOR = "mel-lcnn"


@contextmanager
def monitored() -> Iterator[ConsoleMonitor]:
    """Yield a progress display that is the current monitor; whatever ends the block early stops the work.

    Raises:
        Stopped: If it was Ctrl-C.
    """
    monitor = ConsoleMonitor()
    try:
        with listening(monitor):
            yield monitor
    except KeyboardInterrupt:
        monitor.stop.set()
        raise Stopped from None
    except BaseException:
        monitor.stop.set()
        raise
    finally:
        monitor.close()


def run_build(config: "RunConfig", *, use_prefect: bool) -> "BuildReport":
    """Build a run folder, or finish it."""
    from codecfake.pipeline.build import build
    from codecfake.pipeline.scheduling import run_in_threads

    with monitored() as monitor:
        if not use_prefect:
            return build(config, monitor, run_in_threads)
        return _run_flow(config.out, lambda flows: flows.build_flow(config.model_dump(mode="json")))


def run_retry(config: "RunConfig", reason: "Reason | None", *, use_prefect: bool) -> "RetryReport":
    """Redo what is quarantined or damaged."""
    from codecfake.pipeline.retrying import retry
    from codecfake.pipeline.scheduling import run_in_threads

    with monitored() as monitor:
        if not use_prefect:
            return retry(config, reason, monitor, run_in_threads)
        wanted = str(reason) if reason else None
        return _run_flow(config.out, lambda flows: flows.retry_flow(str(config.out), wanted))


def run_training(
    run_dir: Path, split: str, detector: str, training: dict[str, Any], device: str, *, use_prefect: bool
) -> "TrainResult":
    """Train a detector, or go on with its training."""
    detector_dir = run_dir / "detectors" / detector
    with monitored() as monitor:
        if use_prefect:
            arguments = (str(run_dir), split, str(detector_dir), training, device)
            return _run_flow(run_dir, lambda flows: flows.train_flow(*arguments))
        from codecfake.detector.training import TrainConfig, train
        from codecfake.pipeline.devices import find_device

        return train(
            run_dir, split, detector_dir, TrainConfig(**training), find_device(device).name, monitor.say
        )


def run_reproduce(
    config: "RunConfig", *, use_prefect: bool, detector: str = DEFAULT_DETECTOR, **training: Any
) -> "Evaluation":
    """Build, train and evaluate."""
    if use_prefect:
        settings = config.model_dump(mode="json")
        with monitored():
            return _run_flow(config.out, lambda flows: flows.reproduce_flow(settings, detector, training))
    from codecfake.detector.evaluation import evaluate

    split = run_build(config, use_prefect=False).split.name
    run_training(config.out, split, detector, training, config.device, use_prefect=False)
    run_scoring(config.out, detector, config.device)
    return evaluate(config.out, config.out / "detectors" / detector)


def run_scoring(run_dir: Path, detector: str, device: str) -> None:
    """Score every condition with a detector."""
    from codecfake.detector.scoring import score
    from codecfake.pipeline.devices import find_device

    with monitored() as monitor:
        score(run_dir, run_dir / "detectors" / detector, find_device(device).name, monitor.say)


def _run_flow(run_dir: Path, call: Callable[[Any], Any]) -> Any:
    """Call a flow with a Prefect server behind it that ends with the call."""
    import httpx

    from codecfake.flows.server import drain, prefect_server

    try:
        with prefect_server(run_dir / ".prefect") as url:
            from codecfake.flows import flows

            current_monitor().say(f"Prefect shows this run at {url.removesuffix('/api')}")
            result = call(flows)
            drain()
            return result
    except httpx.HTTPError as error:
        raise CodecfakeError(
            f"the Prefect server of this command does not answer any more: {error}",
            cause="it was killed, or the machine ran out of memory",
            next_step="repeat the command; what was published is not done again",
        ) from error


def find_split(run_dir: Path, name: str | None) -> str:
    """Settle which split is meant.

    Raises:
        CodecfakeError: If there is none of that name, or several and none was named.
    """
    from codecfake.pipeline.splitting import current_splits

    names = [folder.name for folder in current_splits(run_dir)]
    if name in names:
        return name
    if name is None and len(names) == 1:
        return names[0]
    if not names:
        raise CodecfakeError(f"{run_dir} has no split yet", next_step=f"codecfake splits {run_dir}")
    what = f"has no split {name!r}" if name else "has several splits"
    raise CodecfakeError(f"{run_dir} {what}: {', '.join(names)}", next_step="name one of them with --split")
