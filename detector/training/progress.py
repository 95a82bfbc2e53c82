"""What is told of a training while it runs: one line per interval, and curves for TensorBoard."""

import importlib.util
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch

REPORT_SECONDS = 10.0
"""Time between two lines within an epoch."""


@dataclass
class EpochSums:
    """Running sums of an epoch; a checkpoint holds them."""

    loss: float = 0.0
    """Sum of the losses times their weights."""
    weight: float = 0.0
    utterances: int = 0
    seconds: float = 0.0
    """Of training, over all calls."""
    waiting: float = 0.0
    """Of these, for data."""

    def add(self, loss: float, weight: float, utterances: int, waiting: float, working: float) -> None:
        """Take in one step, and the seconds that its batch and itself took."""
        self.loss += loss * weight
        self.weight += weight
        self.utterances += utterances
        self.seconds += waiting + working
        self.waiting += waiting

    @property
    def mean_loss(self) -> float:
        """The weighted cross-entropy over all utterances of the epoch so far."""
        return self.loss / self.weight

    @property
    def speed(self) -> float:
        """Utterances per second."""
        return self.utterances / self.seconds

    @property
    def waiting_percent(self) -> float:
        """Share of the time in which the network waited for data."""
        return 100 * self.waiting / self.seconds


class Teller:
    """Says how the training goes.

    Args:
        report: Receives the lines.
        steps: Of the whole training.
        batch_size: Utterances per step.
        device: Whose memory is told.
        curves: Folder for TensorBoard's files; without the package ``tensorboard`` none are written.
        first_step: The step that the training goes on from; what was written of later ones is void.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        steps: int,
        batch_size: int,
        device: torch.device,
        curves: Path | None,
        first_step: int,
    ) -> None:
        self._report, self._steps, self._batch_size, self._device = report, steps, batch_size, device
        self._told = time.monotonic()
        self._writer = None
        if curves and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(curves, purge_step=first_step)

    def step(self, step: int, loss: float, learning_rate: float, sums: EpochSums) -> None:
        """Tell of a step, if it is time."""
        now = time.monotonic()
        if now - self._told < REPORT_SECONDS:
            return
        self._told = now
        self._curves(step, {"loss/step": loss, "training/utterances_per_second": sums.speed})
        left = timedelta(seconds=round((self._steps - step) * self._batch_size / sums.speed))
        self._report(
            f"step {step}/{self._steps}  loss {sums.mean_loss:.4f}  lr {learning_rate:.1e}  "
            f"{sums.speed:.1f} utterances/s  waiting {sums.waiting_percent:.0f} %  "
            f"memory {memory_gib(self._device):.1f} GiB  ETA {left}"
        )

    def epoch(self, step: int, epochs: int, row: Mapping[str, float], *, is_best: bool) -> None:
        """Tell of a finished epoch, a row of ``history.csv``."""
        names = {"train_loss": "loss/train", "dev_loss": "loss/dev", "dev_eer_percent": "dev/eer_percent"}
        self._curves(step, {names.get(name, f"training/{name}"): row[name] for name in row})
        self._report(
            f"epoch {row['epoch']}/{epochs}  loss {row['train_loss']:.4f}  dev loss {row['dev_loss']:.4f}  "
            f"dev EER {row['dev_eer_percent']:.2f} %  lr {row['learning_rate']:.1e}  "
            f"{row['utterances_per_second']:.1f} utterances/s" + ("  best so far" if is_best else "")
        )
        self._told = time.monotonic()

    def close(self) -> None:
        """Write what is left of the curves."""
        if self._writer:
            self._writer.close()

    def _curves(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)


def memory_gib(device: torch.device) -> float:
    """The most memory used so far, in GiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
