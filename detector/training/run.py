"""One call of a training in one process: what `codecfake.detector.training.loop` prepares and publishes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from codecfake.codec_adapters.host_memory import keep_freed_memory
from codecfake.codec_adapters.training.processes import share_first
from codecfake.detector.front_ends import build_front_end
from codecfake.detector.model import build_network, publish_detector
from codecfake.detector.training.batch_plans import BatchPlan, ShuffledBatches, share
from codecfake.detector.training.config import TrainConfig
from codecfake.detector.training.curves import publish_curves
from codecfake.detector.training.dev import evaluate_dev
from codecfake.detector.training.domains import Data, LabelledBatch
from codecfake.detector.training.folder import DetectorFolder, EpochRecord
from codecfake.detector.training.original_batches import OriginalRatioBatches
from codecfake.detector.training.processes import Processes
from codecfake.detector.training.progress import EpochSums, Teller
from codecfake.detector.training.ratio_batches import RatioBatches
from codecfake.detector.training.shared_batch_norm import share_batch_norms
from codecfake.detector.training.step import NonFiniteLoss, TrainingStep
from codecfake.manifests.errors import CodecfakeError


def make_plan(sizes: Sequence[int], config: TrainConfig, processes: int) -> BatchPlan:
    """Which utterances make which batch.

    Args:
        sizes: Train utterances of each data set.
        config: How to train.
        processes: Number of processes that share a batch.

    Raises:
        CodecfakeError: If the batches cannot be shared so.
    """
    if config.batch_size < processes or (config.is_original and processes > 1):
        raise CodecfakeError(
            f"a batch of {config.batch_size} cannot be shared by {processes} processes"
            + (" under --parity original: its batches are those of one" if config.is_original else ""),
            next_step="a larger --batch-size, or fewer --devices",
        )
    if config.optimizer != "csam":
        return ShuffledBatches(sizes, config.batch_size, config.seed, processes)
    if config.is_original:
        return OriginalRatioBatches(sizes, config.batch_size, config.seed)
    return RatioBatches(sizes, config.batch_size, config.seed)


class TrainingRun:
    """Takes the steps that are left of a training.

    Args:
        data: What is trained on.
        folder: Where checkpoints go, and come from.
        config: How to train.
        description: Of the detector.
        processes: Those that train together.
        report: Receives one line of progress at a time.
    """

    def __init__(
        self,
        data: Data,
        folder: DetectorFolder,
        config: TrainConfig,
        description: dict[str, Any],
        processes: Processes,
        report: Callable[[str], None],
    ) -> None:
        self._data, self._folder, self._config, self._processes = data, folder, config, processes
        self._plan = make_plan(data.train.sizes, config, processes.count)
        keep_freed_memory()
        torch.manual_seed(config.seed)
        network = build_network(description).to(processes.device)
        front_end = None
        if not data.is_cached:
            front_end = build_front_end(description["front_end"], processes.device)
        self._weights_sha256 = front_end.weights_sha256 if front_end else data.weights_sha256
        if processes.count > 1:
            share_batch_norms(network)
        self._step = TrainingStep(network, front_end, config, processes)
        self._epoch, self._next, self._sums = 1, 0, EpochSums()
        state = folder.load_checkpoint()
        if state:
            self._require_same_front_end(state["front_end_sha256"])
            network.load_state_dict(state["network"])
            self._step.optimizer.load_state_dict(state["optimizer"])
            self._epoch, self._next, self._sums = state["epoch"], state["step"], EpochSums(**state["sums"])
        self._require_same_start()
        curves = folder.path / "tensorboard" if processes.is_first else None
        steps = len(self._plan) * config.epochs
        self._teller = Teller(
            report, steps, self._plan.batch_size, processes.device, curves, self._steps_done
        )
        report(self._about())
        if state:
            report(f"resuming after step {self._steps_done}, in epoch {self._epoch} of {config.epochs}")

    @property
    def _steps_done(self) -> int:
        return (self._epoch - 1) * len(self._plan) + self._next

    def take_steps(self, checkpoint_minutes: float, stopped: Callable[[], bool]) -> None:
        """Take the steps that are left; every epoch ends with a measurement on dev and a checkpoint."""
        saved = time.monotonic()
        while self._epoch <= self._config.epochs:
            learning_rate = self._config.learning_rate_in(self._epoch)
            for group in self._step.optimizer.param_groups:
                group["lr"] = learning_rate
            self._step.network.train()
            batches = [self._plan.batch(self._epoch, step) for step in range(self._next, len(self._plan))]
            mine = [share(batch, self._processes.rank, self._processes.count) for batch in batches]
            began = time.monotonic()
            prepared = self._step.prepared(self._data.train.read(mine))
            for whole, batch in zip(batches, prepared, strict=True):
                arrived = time.monotonic()
                loss, weight = self._take(batch, whole)
                self._next += 1
                ended = time.monotonic()
                self._sums.add(loss, weight, len(whole), waiting=arrived - began, working=ended - arrived)
                self._teller.step(self._steps_done, loss, learning_rate, self._sums)
                is_stopped = self._processes.any(stopped())
                if is_stopped or ended - saved >= 60 * checkpoint_minutes:
                    self._save()
                    saved = time.monotonic()
                if is_stopped:
                    raise KeyboardInterrupt
                began = time.monotonic()
            self._end_epoch(learning_rate)
            saved = time.monotonic()

    def close(self) -> None:
        """End the curves."""
        self._teller.close()

    def publish(self) -> None:
        """Publish the back end of the best epoch as the detector."""
        best = self._folder.best
        description = {
            **self._folder.configuration,
            "best_epoch": best.epoch,
            "best_dev_loss": best.dev_loss,
        }
        if self._weights_sha256:
            front_end = {**description["front_end"], "weights_sha256": self._weights_sha256}
            description["front_end"] = front_end
        publish_curves(self._folder.path, self._folder.history)
        publish_detector(self._folder.path, self._folder.best_weights, description)

    def _require_same_front_end(self, sha256: str) -> None:
        if sha256 != self._weights_sha256:
            raise CodecfakeError(
                f"{self._folder.path}: the front end has other weights than when this training began",
                cause="the files in the folder of weights were replaced",
                next_step="bring the former ones back, or give this detector another --name or --out",
            )

    def _require_same_start(self) -> None:
        """Give every process the weights of the first, if it goes on from the same step.

        Raises:
            CodecfakeError: If it does not: it did not see the checkpoint.
        """
        done = torch.tensor(self._steps_done, device=self._processes.device)
        share_first(done, *self._step.network.state_dict().values())
        if done.item() != self._steps_done:
            raise CodecfakeError(
                f"the first process goes on after step {done.item()}, this one after step {self._steps_done}",
                cause=f"{self._folder.path} is not on a disk that all hosts share",
                next_step="train into a folder that all hosts see",
            )

    def _about(self) -> str:
        """What an epoch is: how many batches, and how many passes over each data set."""
        config = self._config
        passes = ", ".join(
            f"{count:.3f} passes over the {size:,} train utterances of {name}"
            for name, size, count in zip(
                self._data.names, self._data.train.sizes, self._plan.passes, strict=True
            )
        )
        sharp = f", rho {config.rho:g}" if config.is_sharp else ""
        return (
            f"{config.model}, {config.optimizer}{sharp}: {config.epochs} epochs of {len(self._plan):,} batches: "
            f"{passes}"
        )

    def _take(self, batch: LabelledBatch, whole: np.ndarray) -> tuple[float, float]:
        try:
            return self._step(batch, self._epoch, self._next)
        except NonFiniteLoss as error:
            raise CodecfakeError(
                f"the loss is {error.loss} in epoch {self._epoch}, step {self._next + 1}, on the batch "
                + ", ".join(self._data.train.files(whole)),
                cause="the training diverged, or one of these files is abnormal",
                next_step="lower the learning rate; the last checkpoint is kept",
            ) from error

    def _end_epoch(self, learning_rate: float) -> None:
        dev_loss, dev_eer = evaluate_dev(
            self._step, self._data.dev, self._config, self._processes, self._epoch
        )
        record = EpochRecord(
            epoch=self._epoch,
            train_loss=self._sums.mean_loss,
            dev_loss=dev_loss,
            dev_eer_percent=100 * dev_eer,
            learning_rate=learning_rate,
            seconds=round(self._sums.seconds, 3),
            utterances_per_second=round(self._sums.speed, 2),
            waiting_percent=round(self._sums.waiting_percent, 1),
        )
        self._epoch, self._next, self._sums = self._epoch + 1, 0, EpochSums()
        self._save(record)
        is_best = self._folder.best is record
        self._teller.epoch(self._steps_done, self._config.epochs, asdict(record), is_best=is_best)

    def _save(self, ended: EpochRecord | None = None) -> None:
        if not self._processes.is_first:
            self._folder.history.extend([ended] if ended else [])
            return
        state = {
            "network": self._step.network.state_dict(),
            "optimizer": self._step.optimizer.state_dict(),
            "epoch": self._epoch,
            "step": self._next,
            "sums": asdict(self._sums),
            "front_end_sha256": self._weights_sha256,
        }
        self._folder.save(state, ended)
