"""Train a detector: a flat loop over steps and epochs; the lowest dev loss wins."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from codecfake.detector.descriptions import describe
from codecfake.detector.front_ends import MEL, describe_front_end
from codecfake.detector.model import DESCRIPTION_FILE
from codecfake.detector.training.config import TrainConfig
from codecfake.detector.training.domains import open_domains, read_domains
from codecfake.detector.training.folder import STATE_FILE, DetectorFolder, training_lock
from codecfake.detector.training.processes import Processes, is_first_process
from codecfake.detector.training.run import TrainingRun
from codecfake.detector.trials import SplitTrials
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label


@dataclass(frozen=True)
class TrainResult:
    """What a training ended with."""

    detector_dir: Path
    best_epoch: int
    best_dev_loss: float
    best_dev_eer_percent: float
    epochs_trained: int
    """Epochs finished by this call: fewer than configured after a resume, 0 when it was already done."""


def train(
    data: Path,
    split: str | None,
    out_dir: Path,
    config: TrainConfig,
    device: str | torch.device,
    report: Callable[[str], None],
    *,
    co_train: Path | None = None,
    features: Sequence[Path] = (),
    devices: int = 1,
    checkpoint_minutes: float = 10.0,
    stopped: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train a detector, or go on with a training that was stopped.

    On a CPU the result depends on the data, the configuration and the number of torch threads only, whether
    or not it was stopped between.

    Args:
        data: A run folder, or another data set that `codecfake.detector.sources` reads.
        split: Name of the split, where ``data`` is a run folder with several.
        out_dir: Folder of the detector.
        config: How to train.
        device: Where to train.
        report: Receives one line of progress at a time.
        co_train: A second data set to train on together with the first.
        features: Folders of cached features, one for each data set; none to compute them on the fly.
        devices: Devices on each host that train together, each with a process.
        checkpoint_minutes: Time between checkpoints within an epoch.
        stopped: Asked after every step whether to stop.

    Returns:
        The best epoch and its dev results.

    Raises:
        CodecfakeError: If a class is missing, a file is unreadable, the loss is not finite, or ``out_dir`` belongs to
            a training with another configuration or in progress.
        KeyboardInterrupt: After ``stopped`` said so; the last step is kept.
    """
    out_dir = Path(out_dir)
    is_first = is_first_process()
    with training_lock(out_dir) if is_first else nullcontext():
        domains = open_domains([Path(data), *([Path(co_train)] if co_train else [])], split)
        config = config.for_data([domain.name for domain in domains])
        if config.optimizer == "csam" and len(domains) < 2:
            raise CodecfakeError(
                "csam draws every batch from two data sets, and there is one",
                next_step="give the other one: --with LA_FOLDER, or --optimizer sam",
            )
        description = _describe(config)
        folder = DetectorFolder(out_dir, _configuration(description, config, domains))
        epochs_before = len(folder.history)
        if (out_dir / DESCRIPTION_FILE).is_file():
            if not folder.history:
                raise CodecfakeError(
                    f"{out_dir} holds a detector whose training is not known",
                    cause=f"it was imported, or its {STATE_FILE} was lost",
                    next_step="give another --name or --out; to score with it: codecfake score",
                )
            report(f"already trained: {out_dir}, best epoch {folder.best.epoch}")
        else:
            both = read_domains(domains, features, description["front_end"])
            if is_first:
                folder.publish_state()
            # Up to here every process does the same: the first one before it starts the others.
            processes = Processes(device, devices)
            report = report if processes.is_first else _say_nothing
            notes = [f"{domain.name}: {note}" for domain in domains for note in domain.notes]
            for note in [*notes, *([description["warning"]] if "warning" in description else [])]:
                report(f"Note: {note}")
            # The caller's random state is left alone.
            with torch.random.fork_rng([processes.device] if processes.device.type == "cuda" else []):
                run = TrainingRun(both, folder, config, description, processes, report)
                try:
                    run.take_steps(checkpoint_minutes, stopped)
                finally:
                    run.close()
            if processes.is_first:
                run.publish()
        if is_first:
            folder.finish()
    best = folder.best
    trained = len(folder.history) - epochs_before
    return TrainResult(out_dir, best.epoch, best.dev_loss, best.dev_eer_percent, trained)


def _describe(config: TrainConfig) -> dict[str, Any]:
    """The detector; the authors' Mel-LCNN saw the plain power of the bands."""
    description = describe(config.model, front_end_weights=config.front_end_weights)
    if config.is_original and description["front_end"]["name"] == MEL:
        description["front_end"] = describe_front_end(MEL, compression="none")
    return description


def _configuration(
    description: dict[str, Any], config: TrainConfig, domains: Sequence[SplitTrials]
) -> dict[str, Any]:
    """All that the result depends on; `codecfake score` reads the data from it."""
    data = {
        "data": [
            {
                "name": domain.name,
                "digest": domain.digest,
                "train": {label.published_name: domain.train.count(label) for label in Label},
            }
            for domain in domains
        ]
    }
    if len(domains) == 1:
        data |= {"split": domains[0].name, "manifest_sha256": domains[0].digest}
    return {**description, "training": asdict(config), **data}


def _say_nothing(_line: str) -> None:
    """Of the processes that are not the first."""
