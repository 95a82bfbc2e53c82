"""One step of training a back end: features once, then one pass of the base optimiser or two of SAM.

Shape legend: B batch (of this process), T samples, H and W height and width of the features.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from codecfake.codec_adapters.training.processes import average_gradients, sum_over_processes
from codecfake.detector.staging import staged, upload
from codecfake.detector.training.config import TrainConfig
from codecfake.detector.training.domains import LabelledBatch
from codecfake.detector.training.processes import Processes
from codecfake.detector.training.sharpness import SharpnessAware
from codecfake.manifests.labels import Label


class NonFiniteLoss(Exception):
    """The loss is NaN or infinite; the weights are as they were before the step."""

    def __init__(self, loss: float) -> None:
        super().__init__(loss)
        self.loss = loss


class TrainingStep:
    """Takes the steps of a training.

    The back end computes in float32; a front end on a GPU computes in bfloat16 by itself. Random masks are a function
    of seed, epoch, step and process, so that a resumed training draws the same; both passes of a sharpness-aware step
    draw the same masks too, so that they are passes over one function. ``parity="original"`` draws anew.

    Args:
        network: The back end.
        front_end: Waves (B, T) to features (B, 1, H, W) without gradients; absent where features are read.
        config: How to train.
        processes: Those that train together; the loss of a step is that of all their batches as one.
    """

    def __init__(
        self, network: nn.Module, front_end: nn.Module | None, config: TrainConfig, processes: Processes
    ) -> None:
        self.network, self.front_end = network, front_end
        self._config, self._processes = config, processes
        adam = torch.optim.Adam(
            network.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.999),
            weight_decay=config.weight_decay,
        )
        self.optimizer: torch.optim.Optimizer | SharpnessAware = adam
        if config.is_sharp:
            self.optimizer = SharpnessAware(
                adam, network, rho=config.rho, adaptive=config.optimizer == "asam"
            )
        self.class_weights = class_weights(config, processes.device)

    def prepared(self, batches: Iterable[LabelledBatch]) -> Iterator[LabelledBatch]:
        """Give batches on; on a GPU with their features there, computed while the step before is taken."""
        if self._processes.device.type != "cuda":
            yield from batches
            return
        for batch, features in staged(batches, self.features, self._processes.device):
            yield replace(batch, waves=None, features=features)

    def features(self, batch: LabelledBatch) -> torch.Tensor:
        """Features (B, 1, H, W) on the device, no longer in 16 bits: those that were read, or of the front end."""
        if batch.features is not None:
            features = batch.features
            if features.device.type != self._processes.device.type:
                features = upload(features, self._processes.device)
            return features.float() if features.dtype == torch.float16 else features
        with torch.no_grad():
            return self.front_end(upload(batch.waves, self._processes.device))

    def __call__(self, batch: LabelledBatch, epoch: int, step: int) -> tuple[float, float]:
        """Take a step.

        Args:
            batch: Of this process.
            epoch: Counted from 1.
            step: Of the epoch, counted from 0.

        Returns:
            Loss of the whole batch before the step, and the sum of its class weights.

        Raises:
            NonFiniteLoss: Before anything has been learnt from it.
        """
        features = self.features(batch)
        labels = batch.labels.to(self._processes.device, non_blocking=True)
        weight = self.class_weights[labels].sum()
        sum_over_processes(weight)
        passes: list[tuple[float, float]] = []
        self.optimizer.step(self._closure(features, labels, weight, epoch, step, passes))
        return passes[0]

    def _closure(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        weight: torch.Tensor,
        epoch: int,
        step: int,
        passes: list[tuple[float, float]],
    ) -> Callable[[], torch.Tensor]:
        """The closure of the optimiser; loss and weight of each of its calls are appended to ``passes``."""

        def closure() -> torch.Tensor:
            key = [self._config.seed, epoch, step, self._processes.rank]
            key.append(len(passes) if self._config.is_original else 0)
            torch.manual_seed(
                int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
            )
            logits = self.network(features)
            mine = cross_entropy(logits, labels, self.class_weights, reduction="sum") / weight
            loss = mine.detach().clone()
            sum_over_processes(loss)
            # The one moment in which the host waits for a GPU.
            passes.append(tuple(torch.stack([loss, weight]).tolist()))
            if not math.isfinite(passes[-1][0]):
                raise NonFiniteLoss(passes[-1][0])
            self.network.zero_grad(set_to_none=True)
            # The gradients are averaged, while the losses of the processes are parts of a sum.
            (mine * self._processes.count).backward()
            average_gradients(self.network.parameters())
            return loss

        return closure


def class_weights(config: TrainConfig, device: torch.device) -> torch.Tensor:
    """Weights of the classes in the loss, shape (2,)."""
    weights = torch.ones(len(Label), device=device)
    weights[Label.BONA_FIDE] = config.bona_fide_weight
    return weights
