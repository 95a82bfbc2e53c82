"""One step of training a back end: features once, then one pass of the base optimiser or two of SAM.

Shape legend: B batch (of this process), T samples, H and W height and width of the features.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from codecfake.codec_adapters.training.processes import average_gradients, sum_over_processes
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

    def features(self, batch: LabelledBatch) -> torch.Tensor:
        """Features (B, 1, H, W) on the device: those that were read, or those of the front end."""
        if batch.features is not None:
            return batch.features.to(self._processes.device, non_blocking=True)
        with torch.no_grad():
            return self.front_end(batch.waves.to(self._processes.device, non_blocking=True))

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
        loss = self.optimizer.step(self._closure(features, labels, weight, epoch, step))
        return loss.item(), weight.item()

    def _closure(
        self, features: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, epoch: int, step: int
    ) -> Callable[[], torch.Tensor]:
        passes = 0

        def closure() -> torch.Tensor:
            nonlocal passes
            key = [self._config.seed, epoch, step, self._processes.rank]
            key.append(passes if self._config.is_original else 0)
            passes += 1
            torch.manual_seed(
                int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
            )
            logits = self.network(features)
            mine = cross_entropy(logits, labels, self.class_weights, reduction="sum") / weight
            loss = mine.detach().clone()
            sum_over_processes(loss)
            if not torch.isfinite(loss):
                raise NonFiniteLoss(loss.item())
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
