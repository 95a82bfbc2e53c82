"""Measuring a detector on dev, which chooses among the epochs.

Shape legend: N utterances.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from codecfake.codec_adapters.training.processes import sum_over_processes
from codecfake.detector.metrics import compute_eer
from codecfake.detector.model import detection_scores
from codecfake.detector.training.batch_plans import share
from codecfake.detector.training.config import TrainConfig
from codecfake.detector.training.domains import JoinedSources
from codecfake.detector.training.processes import Processes
from codecfake.detector.training.step import TrainingStep, class_weights
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label


def evaluate_dev(
    step: TrainingStep, sources: JoinedSources, config: TrainConfig, processes: Processes, epoch: int
) -> tuple[float, float]:
    """Measure a detector on dev; its back end is left in evaluation mode.

    Args:
        step: Holds the detector.
        sources: The dev trials of all domains.
        config: How it is trained.
        processes: Those that share the work.
        epoch: Decides the order of the batches under ``parity="original"``.

    Returns:
        Weighted cross-entropy over all trials as one batch, and EER from 0 to 1.

    Raises:
        CodecfakeError: If a file is unreadable or the loss is not finite.
    """
    logits = dev_logits(step, sources, config.batch_size, processes)
    labels = torch.from_numpy(sources.labels)
    weights = class_weights(config, torch.device("cpu")).double()
    if config.is_original:
        order = np.random.default_rng([config.seed, epoch]).permutation(len(labels))
        loss = mean_of_batch_losses(logits, labels, weights, torch.from_numpy(order), config.batch_size)
    else:
        loss = float(cross_entropy(logits, labels, weights))
    if not np.isfinite(loss):
        raise CodecfakeError(
            f"the dev loss is {loss}", cause="the training diverged", next_step="lower the learning rate"
        )
    scores, is_real = detection_scores(logits).numpy(), sources.labels == Label.BONA_FIDE
    return loss, compute_eer(scores[is_real], scores[~is_real]).rate


@torch.no_grad()
def dev_logits(
    step: TrainingStep, sources: JoinedSources, batch_size: int, processes: Processes
) -> torch.Tensor:
    """Logits of all trials in their order, shape (N, 2), float64 on the CPU, the same in every process."""
    step.network.eval()
    count = len(sources.labels)
    batches = [np.arange(first, min(first + batch_size, count)) for first in range(0, count, batch_size)]
    parts = [share(batch, processes.rank, processes.count) for batch in batches]
    parts = [part for part in parts if len(part)]
    found = [step.network(step.features(batch)) for batch in step.prepared(sources.read(parts))]
    logits = torch.zeros(count, len(Label), dtype=torch.float64, device=processes.device)
    if parts:
        places = torch.from_numpy(np.concatenate(parts)).to(processes.device)
        logits[places] = torch.cat(found).double()
    sum_over_processes(logits)
    return logits.cpu()


def mean_of_batch_losses(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, order: torch.Tensor, batch_size: int
) -> float:
    """The dev loss of the authors' script: a mean over batches, each weighted by its own classes.

    It depends on which utterances meet in a batch: one with few bona fide utterances counts as much as any other.

    Args:
        logits: Shape (N, 2).
        labels: Class indices, shape (N,).
        weights: Class weights, shape (2,).
        order: Positions, shape (N,).
        batch_size: Utterances per batch; the last may be smaller and counts in full.
    """
    losses = [cross_entropy(logits[part], labels[part], weights) for part in order.split(batch_size)]
    return float(torch.stack(losses).mean())
