"""What a training leaves on disk after each epoch, so that it can be killed and go on exactly.

``state.json`` is the truth and is published last; it names the epoch whose files belong to it.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from codecfake.detector.model import publish_weights
from codecfake.manifests.atomic import publish_json, publish_text, published
from codecfake.manifests.differences import side_by_side
from codecfake.manifests.errors import CodecfakeError

STATE_FILE = "state.json"


@dataclass(frozen=True)
class EpochRecord:
    """One row of ``history.csv``."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_eer_percent: float
    learning_rate: float
    seconds: float
    utterances_per_second: float


@dataclass
class Progress:
    """How far a training has come."""

    configuration: dict[str, Any]
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def epochs_done(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def best(self) -> EpochRecord:
        """The epoch with the lowest dev loss, the earliest of equals."""
        return min(self.history, key=lambda record: record.dev_loss)


def open_progress(out_dir: Path, configuration: dict[str, Any]) -> Progress:
    """Start a training folder, or read how far it has come.

    Args:
        out_dir: Folder of the detector; created when absent.
        configuration: All that the result depends on.

    Returns:
        The progress, empty for a new training.

    Raises:
        CodecfakeError: If the folder belongs to a training with another configuration.
    """
    path = out_dir / STATE_FILE
    configuration = json.loads(json.dumps(configuration))
    if not path.is_file():
        progress = Progress(configuration)
        _publish_state(out_dir, progress)
        return progress
    state = json.loads(path.read_text(encoding="utf-8"))
    _refuse_difference(out_dir, state["configuration"], configuration)
    return Progress(configuration, [EpochRecord(**row) for row in state["history"]])


def weights_path(out_dir: Path, epoch: int) -> Path:
    """Where the weights after ``epoch`` (counted from 1) are."""
    return out_dir / "checkpoints" / f"epoch-{epoch:03d}.safetensors"


def save_checkpoint(
    out_dir: Path,
    progress: Progress,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> None:
    """Publish everything the next epoch depends on; keep the newest and the best epoch's files.

    Args:
        out_dir: Folder of the detector.
        progress: Progress that already holds this epoch's record.
        network: The trained back end.
        optimizer: Its optimiser.
        device: Where the training runs; its random state is kept.
    """
    weights = weights_path(out_dir, progress.epochs_done)
    publish_weights(network, weights)
    state = {"optimizer": optimizer.state_dict(), "random_cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["random_cuda"] = torch.cuda.get_rng_state(device)
    with published(weights.with_suffix(".pt")) as temporary:
        torch.save(state, temporary)
    _publish_state(out_dir, progress)
    needed = {weights, weights.with_suffix(".pt"), weights_path(out_dir, progress.best.epoch)}
    for path in weights.parent.iterdir():
        if path not in needed:
            path.unlink()


def restore_checkpoint(
    out_dir: Path, epoch: int, network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    """Put weights, optimiser and random state back to where they were after ``epoch``."""
    weights = weights_path(out_dir, epoch)
    network.load_state_dict(load_file(weights))
    state = torch.load(weights.with_suffix(".pt"), weights_only=True, map_location="cpu")
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random_cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["random_cuda"], device)


def remove_checkpoints(out_dir: Path) -> None:
    """Drop the checkpoints of a finished training."""
    shutil.rmtree(out_dir / "checkpoints", ignore_errors=True)


def _publish_state(out_dir: Path, progress: Progress) -> None:
    rows = [asdict(record) for record in progress.history]
    columns = list(EpochRecord.__dataclass_fields__)
    lines = [",".join(columns), *(",".join(repr(row[column]) for column in columns) for row in rows)]
    publish_text(out_dir / "history.csv", "\n".join(lines) + "\n")
    publish_json(out_dir / STATE_FILE, {"configuration": progress.configuration, "history": rows})


def _refuse_difference(out_dir: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise with a two-column table when two configurations differ."""
    table = side_by_side(_flatten(there), _flatten(wanted), "in the folder")
    if not table:
        return
    raise CodecfakeError(
        f"{out_dir} holds a training with another configuration:\n{table}",
        next_step="choose another name for this detector, or ask for the configuration in the folder",
    )


def _flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
