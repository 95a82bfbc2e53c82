"""Running flows for a command: progress, Ctrl-C, and Prefect's own server or none."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.flows.interrupts import set_when_interrupted
from codecfake.flows.progress import ConsoleMonitor
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.monitor import Monitor, Stopped, current_monitor, listening

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
        with listening(monitor), set_when_interrupted(monitor.stop):
            yield monitor
    except KeyboardInterrupt:
        monitor.stop.set()
        raise Stopped from None
    except BaseException:
        monitor.stop.set()
        raise
    finally:
        monitor.close()


def run_build(config: "RunConfig", *, use_prefect: bool, pool: str | None = None) -> "BuildReport":
    """Build a run folder, or finish it; with a pool, its workers do the resynthesis."""
    from codecfake.pipeline.build import build
    from codecfake.pipeline.local_devices import run_locally

    _refuse_absent_device(config, pool)
    with monitored() as monitor:
        if not use_prefect:
            return build(config, monitor, run_locally)
        return _run_flow(
            config.out, lambda flows: flows.build_flow(config.model_dump(mode="json"), pool), pool
        )


def run_retry(
    config: "RunConfig", reason: "Reason | None", *, use_prefect: bool, pool: str | None = None
) -> "RetryReport":
    """Redo what is quarantined or damaged."""
    from codecfake.pipeline.local_devices import run_locally
    from codecfake.pipeline.retrying import retry

    with monitored() as monitor:
        if not use_prefect:
            return retry(config, reason, monitor, run_locally)
        settings, wanted = config.model_dump(mode="json"), str(reason) if reason else None
        return _run_flow(config.out, lambda flows: flows.retry_flow(settings, wanted, pool), pool)


def _refuse_absent_device(config: "RunConfig", pool: str | None) -> None:
    """Refuse a device before it is saved as that of the run; workers of a pool have their own.

    One that the run has already may be that of another machine: nothing may be left to compute.
    """
    from codecfake.pipeline.config import SAVED_AS, saved_config
    from codecfake.pipeline.devices import find_devices

    is_known = (config.out / SAVED_AS).is_file() and saved_config(config.out).device == config.device
    if pool is None and not is_known:
        find_devices(config.device)


@dataclass(frozen=True, kw_only=True)
class Training:
    """What to train, and where; ready for JSON, as Prefect stores it."""

    data: str
    """A run folder or another data set."""
    out: str
    """Folder of the detector."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Those of `codecfake.detector.training.TrainConfig`."""
    split: str | None = None
    co_train: str | None = None
    features: list[str] = field(default_factory=list)
    device: str = "auto"
    devices: int = 1
    checkpoint_minutes: float = 10.0

    def run(self, monitor: Monitor) -> "TrainResult":
        """Train, or go on with a training."""
        from codecfake.detector.training import TrainConfig, train
        from codecfake.pipeline.devices import find_device

        return train(
            Path(self.data),
            self.split,
            Path(self.out),
            TrainConfig(**self.settings),
            find_device(self.device).name,
            monitor.say,
            co_train=Path(self.co_train) if self.co_train else None,
            features=[Path(folder) for folder in self.features],
            devices=self.devices,
            checkpoint_minutes=self.checkpoint_minutes,
            stopped=monitor.stop.is_set,
        )


def run_training(training: Training, *, home: Path, use_prefect: bool) -> "TrainResult":
    """Train a detector, or go on with its training; Ctrl-C and SIGTERM let it finish the step and keep it.

    Args:
        training: What to train.
        home: Folder that Prefect's records are about.
        use_prefect: Whether to run it as a flow.
    """
    with monitored() as monitor, stopped_between_steps(monitor):
        if use_prefect:
            return _run_flow(home, lambda flows: flows.train_flow(asdict(training)))
        return training.run(monitor)


@contextmanager
def stopped_between_steps(monitor: Monitor) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the current step first, so that a checkpoint can follow; a second one ends at once."""

    def stop(number: int, frame: object) -> None:
        if monitor.stop.is_set():
            raise KeyboardInterrupt
        monitor.stop.set()
        monitor.say("Stopping after this step.")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_reproduce(
    config: "RunConfig", *, use_prefect: bool, detector: str = DEFAULT_DETECTOR, **training: Any
) -> "Evaluation":
    """Build, train and evaluate."""
    _refuse_absent_device(config, pool=None)
    if use_prefect:
        settings = config.model_dump(mode="json")
        with monitored():
            return _run_flow(config.out, lambda flows: flows.reproduce_flow(settings, detector, training))
    from codecfake.detector.evaluation import evaluate

    split = run_build(config, use_prefect=False).split.name
    work = Training(
        data=str(config.out),
        out=str(config.out / "detectors" / detector),
        settings=training,
        split=split,
        device=config.device,
    )
    run_training(work, home=config.out, use_prefect=False)
    run_scoring(config.out, detector, config.device)
    return evaluate(config.out, config.out / "detectors" / detector)


def run_scoring(run_dir: Path, detector: str, device: str) -> None:
    """Score every condition with a detector."""
    from codecfake.detector.scoring import score
    from codecfake.pipeline.devices import find_device

    with monitored() as monitor:
        score(run_dir, run_dir / "detectors" / detector, find_device(device).name, monitor.say)


def _run_flow(run_dir: Path, call: Callable[[Any], Any], pool: str | None = None) -> Any:
    """Call a flow with a Prefect server behind it that ends with the call; workers of a pool have one already."""
    import httpx

    from codecfake.flows.prefect_files import prefect_home
    from codecfake.flows.server import drain, prefect_server

    if pool:
        from codecfake.flows.pools.settings import use_pool_server
        from codecfake.flows.pools.versions import check_versions

        check_versions(use_pool_server())
    try:
        with prefect_server(prefect_home(run_dir)) as url:
            from codecfake.flows import flows

            current_monitor().say(f"Prefect shows this run at {url.removesuffix('/api')}")
            result = call(flows)
            if not pool:  # its server does not end with this command
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
        CodecfakeError: If there is none of that name, or several and none was named, or no such run folder.
    """
    from codecfake.pipeline.splitting import current_splits

    if not run_dir.is_dir():
        raise CodecfakeError(f"{run_dir} is no folder", cause="the path is mistyped")
    names = [folder.name for folder in current_splits(run_dir)]
    if name in names:
        return name
    if name is None and len(names) == 1:
        return names[0]
    if not names:
        raise CodecfakeError(f"{run_dir} has no split yet", next_step=f"codecfake splits {run_dir}")
    what = f"has no split {name!r}" if name else "has several splits"
    raise CodecfakeError(f"{run_dir} {what}: {', '.join(names)}", next_step="name one of them with --split")
