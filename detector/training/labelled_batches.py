"""Labelled batches for training, the dev measurement, and the checks that stop a training in time."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from codecfake.detector.loading import Batch, CropLoader
from codecfake.detector.metrics import compute_eer
from codecfake.detector.model import Detector, detection_scores
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label


@torch.inference_mode()
def evaluate_dev(
    detector: Detector, loader: CropLoader, batch_size: int, class_weights: torch.Tensor
) -> tuple[float, float]:
    """Measure a detector on dev.

    Args:
        detector: The detector; left in evaluation mode.
        loader: The dev trials.
        batch_size: Utterances per batch; the loss does not depend on it.
        class_weights: Loss weights by class, shape (2,), on the device to use.

    Returns:
        Weighted cross-entropy, and EER from 0 to 1.

    Raises:
        CodecfakeError: If a file is unreadable or the loss is not finite.
    """
    detector.eval()
    logits = torch.cat(
        [
            detector(waves).double()
            for _, waves, _ in labelled_batches(
                loader, np.arange(len(loader.trials)), batch_size, class_weights.device
            )
        ]
    ).cpu()
    labels = loader.trials.labels
    loss = float(cross_entropy(logits, torch.from_numpy(labels), class_weights.cpu().double()))
    if not np.isfinite(loss):
        raise CodecfakeError(
            f"the dev loss is {loss}", cause="the training diverged", next_step="lower the learning rate"
        )
    scores = detection_scores(logits).numpy()
    return loss, compute_eer(scores[labels == Label.BONA_FIDE], scores[labels == Label.SPOOF]).rate


def labelled_batches(
    loader: CropLoader, order: np.ndarray, batch_size: int, device: torch.device
) -> Iterator[tuple[Batch, torch.Tensor, torch.Tensor]]:
    """Read batches with their waves (B, T) and labels (B,) on the device.

    Args:
        loader: The trials.
        order: Positions in the trial list.
        batch_size: Utterances per batch.
        device: Where waves and labels go.

    Yields:
        Batch, waves, labels.

    Raises:
        CodecfakeError: If a file is unreadable; a training never goes on without it.
    """
    for batch in loader.batches(order, batch_size):
        if batch.unreadable:
            bad = batch.unreadable[0]
            raise CodecfakeError(
                f"{loader.trials.name}: cannot read {bad.file} ({bad.reason}): {bad.message}",
                cause="the file was changed or removed after it was built",
                next_step=f"codecfake verify {loader.trials.run_dir}",
            )
        labels = torch.from_numpy(loader.trials.labels[batch.positions])
        yield batch, batch.waves.to(device), labels.to(device)


def require_finite(loss: torch.Tensor, batch: Batch, loader: CropLoader, epoch: int) -> None:
    """Stop before a loss that is not finite reaches the weights.

    Raises:
        CodecfakeError: With the files of the batch.
    """
    if not torch.isfinite(loss):
        files = ", ".join(loader.trials.files[position] for position in batch.positions)
        raise CodecfakeError(
            f"the loss is {loss.item()} in epoch {epoch}, on the batch {files}",
            cause="the training diverged, or one of these files is abnormal",
            next_step="lower the learning rate; the last finished epoch is kept",
        )
