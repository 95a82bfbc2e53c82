"""Train a detector on a split: one flat loop, the lowest dev loss wins.

Shape legend: B batch, T samples.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from codecfake.detector.training.checkpoints import (
    EpochRecord,
    Progress,
    open_progress,
    remove_checkpoints,
    restore_checkpoint,
    save_checkpoint,
    weights_path,
)
from codecfake.detector.training.labelled_batches import evaluate_dev, labelled_batches, require_finite
from codecfake.detector.loading import CropLoader
from codecfake.detector.model import (
    DESCRIPTION_FILE,
    MEL_LCNN,
    build_detector,
    publish_detector,
)
from codecfake.detector.trials import read_trials
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

REPORT_SECONDS = 10.0
"""Time between two progress lines within an epoch."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a detector is trained; the defaults are the paper's."""

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 5e-4
    weight_decay: float = 5e-4
    halve_every: int = 2
    """The learning rate is halved after this many epochs, again and again."""
    bona_fide_weight: float = 10.0
    """Weight of a bona fide utterance in the loss; that of a spoof is 1."""
    seed: int = 688

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "halve_every", "bona_fide_weight"):
            if not getattr(self, name) > 0:
                raise CodecfakeError(f"{name} is {getattr(self, name)}; it has to be above 0")


@dataclass(frozen=True)
class TrainResult:
    """What a training ended with."""

    detector_dir: Path
    best_epoch: int
    best_dev_loss: float
    best_dev_eer_percent: float
    epochs_trained: int
    """Epochs run by this call: fewer than configured after a resume, 0 when it was already done."""


def train(
    run_dir: Path,
    split: str,
    out_dir: Path,
    config: TrainConfig,
    device: str | torch.device,
    report: Callable[[str], None],
) -> TrainResult:
    """Train a Mel-LCNN, or go on with a training that was stopped.

    On a CPU the result depends on the data, the configuration and the number of torch threads only, whether
    or not it was stopped between.

    Args:
        run_dir: The run folder.
        split: Name of the split to train on.
        out_dir: Folder of the detector.
        config: How to train.
        device: Where to train.
        report: Receives one line of progress at a time.

    Returns:
        The best epoch and its dev results.

    Raises:
        CodecfakeError: If a class is missing, a file is unreadable, the loss is not finite, or ``out_dir``
            belongs to a training with another configuration.
    """
    trials = read_trials(run_dir, split)
    trials.train.require_both_classes()
    trials.dev.require_both_classes()
    device, out_dir = torch.device(device), Path(out_dir)
    configuration = {
        **MEL_LCNN,
        "training": asdict(config),
        "split": split,
        "manifest_sha256": trials.manifest_sha256,
    }
    progress = open_progress(out_dir, configuration)
    epochs_before = progress.epochs_done
    if not (out_dir / DESCRIPTION_FILE).is_file():
        # The caller's random state is left alone.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            _train_epochs(
                CropLoader(trials.train, keep=True),
                CropLoader(trials.dev, keep=True),
                out_dir,
                config,
                device,
                progress,
                report,
            )
        best = progress.best
        description = {**configuration, "best_epoch": best.epoch, "best_dev_loss": best.dev_loss}
        publish_detector(out_dir, weights_path(out_dir, best.epoch), description)
    else:
        best = progress.best
        report(f"already trained: {out_dir}, best epoch {best.epoch} with dev loss {best.dev_loss:.4f}")
    remove_checkpoints(out_dir)
    return TrainResult(
        out_dir, best.epoch, best.dev_loss, best.dev_eer_percent, progress.epochs_done - epochs_before
    )


def _train_epochs(
    train_loader: CropLoader,
    dev_loader: CropLoader,
    out_dir: Path,
    config: TrainConfig,
    device: torch.device,
    progress: Progress,
    report: Callable[[str], None],
) -> None:
    """Run the epochs that are left; every one ends with a checkpoint."""
    torch.manual_seed(config.seed)
    detector = build_detector(MEL_LCNN).to(device)
    network = detector.network
    optimizer = torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    if progress.epochs_done:
        restore_checkpoint(out_dir, progress.epochs_done, network, optimizer, device)
        report(f"resuming after epoch {progress.epochs_done} of {config.epochs}")
    class_weights = torch.ones(len(Label), device=device)
    class_weights[Label.BONA_FIDE] = config.bona_fide_weight
    utterances = len(train_loader.trials)

    for epoch in range(progress.epochs_done + 1, config.epochs + 1):
        learning_rate = config.learning_rate * 0.5 ** ((epoch - 1) // config.halve_every)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        order = np.random.default_rng([config.seed, epoch]).permutation(utterances)
        started = reported = time.perf_counter()
        seen, loss_sum, weight_sum = 0, 0.0, 0.0
        detector.train()
        for batch, waves, labels in labelled_batches(train_loader, order, config.batch_size, device):
            loss = cross_entropy(detector(waves), labels, class_weights)
            require_finite(loss, batch, train_loader, epoch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            weight = float(class_weights[labels].sum())
            seen += len(labels)
            loss_sum += loss.item() * weight
            weight_sum += weight
            now = time.perf_counter()
            if now - reported > REPORT_SECONDS:
                reported, speed = now, seen / (now - started)
                left = timedelta(seconds=round(((config.epochs - epoch + 1) * utterances - seen) / speed))
                report(
                    f"epoch {epoch}/{config.epochs}  {seen}/{utterances} utterances  "
                    f"loss {loss_sum / weight_sum:.4f}  lr {learning_rate:.1e}  "
                    f"{speed:.1f} utterances/s  ETA {left}"
                )
        speed = seen / (time.perf_counter() - started)
        dev_loss, dev_eer = evaluate_dev(detector, dev_loader, config.batch_size, class_weights)
        record = EpochRecord(
            epoch=epoch,
            train_loss=loss_sum / weight_sum,
            dev_loss=dev_loss,
            dev_eer_percent=100 * dev_eer,
            learning_rate=learning_rate,
            seconds=round(time.perf_counter() - started, 3),
            utterances_per_second=round(speed, 2),
        )
        progress.history.append(record)
        save_checkpoint(out_dir, progress, network, optimizer, device)
        report(
            f"epoch {epoch}/{config.epochs}  loss {record.train_loss:.4f}  dev loss {dev_loss:.4f}  "
            f"dev EER {record.dev_eer_percent:.2f} %  lr {learning_rate:.1e}  {speed:.1f} utterances/s"
            + ("  best so far" if progress.best is record else "")
        )
