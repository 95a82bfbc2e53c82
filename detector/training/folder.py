"""The folder of a detector while it is trained: one training at a time, killed at any moment, resumed exactly.

``state.json`` is the truth and is published last: it names the checkpoint and the best weights that belong to it.
"""

import io
import json
import pickle
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from codecfake.manifests.atomic import TEMPORARY_PREFIX, publish_json, publish_text, published
from codecfake.manifests.differences import side_by_side
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.locks import sole_holder
from codecfake.manifests.records import DamagedFileError, read_json

STATE_FILE, HISTORY_FILE, LOCK_FILE = "state.json", "history.csv", ".lock"
KEPT = {"checkpoint": re.compile(r"epoch-\d+-step-\d+\.pt"), "best": re.compile(r"best-\d+\.safetensors")}
"""Names of files in the folder of checkpoints, by what ``state.json`` calls them; no other name is taken from it."""
OWN_FILE = re.compile(
    "|".join([*(pattern.pattern for pattern in KEPT.values()), rf"{re.escape(TEMPORARY_PREFIX)}.+"])
)
"""Of the folder of checkpoints: nothing else is deleted there."""


@dataclass(frozen=True)
class EpochRecord:
    """One row of ``history.csv``."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_eer_percent: float
    learning_rate: float
    seconds: float
    """Of training, without the measurement on dev."""
    utterances_per_second: float
    waiting_percent: float
    """Share of those seconds in which the network waited for audio or features to be read."""


@contextmanager
def training_lock(out_dir: Path) -> Iterator[None]:
    """Hold the folder while the block runs; a process that dies, however it dies, holds it no longer.

    Raises:
        CodecfakeError: If another process trains in it.
    """
    out_dir.mkdir(parents=True, exist_ok=True)

    def refusal() -> CodecfakeError:
        return CodecfakeError(
            f"another process trains in {out_dir}",
            next_step="wait for it, or give this detector another --name or --out",
        )

    with sole_holder(out_dir / LOCK_FILE, refusal):
        yield


class DetectorFolder:
    """What a stopped training goes on from.

    Args:
        path: The folder; created when absent.
        configuration: All that the result depends on.

    Raises:
        CodecfakeError: If the folder belongs to a training with another configuration, or leads out of itself.
    """

    def __init__(self, path: Path, configuration: Mapping[str, Any]) -> None:
        self.path = path
        self.configuration: dict[str, Any] = json.loads(json.dumps(configuration))
        self.history: list[EpochRecord] = []
        self._checkpoint: str | None = None
        self._best: str | None = None
        saved = path / STATE_FILE
        if saved.is_file():
            again = f"remove {path} to train again"
            state = read_json(saved, {"configuration": dict, "history": list}, next_step=again)
            _refuse_difference(path, state["configuration"], self.configuration)
            self.history = [EpochRecord(**row) for row in state["history"]]
            for field in KEPT:
                if not self._is_own(field, state.get(field)):
                    raise DamagedFileError(
                        f"{saved} is damaged: {field} is no file of this folder: {state.get(field)!r}",
                        cause="it was changed since it was written; another file could get into the detector",
                        next_step=again,
                    )
            self._checkpoint, self._best = state.get("checkpoint"), state.get("best")

    def _is_own(self, field: str, name: object) -> bool:
        if name is None:
            return True
        is_kept = isinstance(name, str) and KEPT[field].fullmatch(name) is not None
        return is_kept and not (self._checkpoints / name).is_symlink()

    @property
    def best(self) -> EpochRecord:
        """The epoch with the lowest dev loss, the earliest of equals."""
        return min(self.history, key=lambda record: record.dev_loss)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """What `save` was given last; ``None`` if nothing was.

        Raises:
            CodecfakeError: If it cannot be read.
        """
        if self._checkpoint is None:
            return None
        path = self._checkpoints / self._checkpoint
        try:
            return torch.load(path, weights_only=True, map_location="cpu")
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise CodecfakeError(
                f"{path} cannot be read: {error}",
                cause="the disk has damaged it, or it was removed",
                next_step=f"remove {self.path} to train again from the start",
            ) from error

    @property
    def best_weights(self) -> Path:
        """Safetensors of the back end after the best epoch, until the training is finished."""
        return self._checkpoints / self._best

    def save(self, state: Mapping[str, Any], ended: EpochRecord | None = None) -> None:
        """Publish a checkpoint, then delete what is no longer needed.

        Args:
            state: All that the next step depends on: under ``network`` the state dict of the back end, under ``epoch``
                and ``step`` the place of that step.
            ended: Record of the epoch that this checkpoint is the end of, if it is.
        """
        if ended:
            self.history.append(ended)
            if self.best is ended:
                self._best = f"best-{ended.epoch:03d}.safetensors"
                weights = {name: tensor.cpu().contiguous() for name, tensor in state["network"].items()}
                with published(self._checkpoints / self._best) as temporary:
                    temporary.write_bytes(save(weights))
        self._checkpoint = f"epoch-{state['epoch']:03d}-step-{state['step']:07d}.pt"
        with published(self._checkpoints / self._checkpoint) as temporary:
            # Torch's own writing into files hides that a disk is full behind another error.
            buffer = io.BytesIO()
            torch.save(dict(state), buffer)
            temporary.write_bytes(buffer.getbuffer())
        self.publish_state()
        for path in self._checkpoints.iterdir():
            if OWN_FILE.fullmatch(path.name) and path.name not in (self._checkpoint, self._best):
                path.unlink()

    def finish(self) -> None:
        """Drop the checkpoints of a finished training."""
        self._checkpoint = self._best = None
        self.publish_state()
        shutil.rmtree(self._checkpoints, ignore_errors=True)

    def publish_state(self) -> None:
        """Publish ``history.csv`` and ``state.json``."""
        rows = [asdict(record) for record in self.history]
        columns = list(EpochRecord.__dataclass_fields__)
        lines = [",".join(columns), *(",".join(repr(row[column]) for column in columns) for row in rows)]
        publish_text(self.path / HISTORY_FILE, "\n".join(lines) + "\n")
        files = {"checkpoint": self._checkpoint, "best": self._best}
        content = {"configuration": self.configuration, "history": rows, **files}
        publish_json(self.path / STATE_FILE, content)
        for draft in self.path.glob(f"{TEMPORARY_PREFIX}*"):
            draft.unlink(missing_ok=True)

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"


def _refuse_difference(path: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise with a two-column table when two configurations differ."""
    table = side_by_side(_flatten(there), _flatten(wanted), "in the folder")
    if not table:
        return
    raise CodecfakeError(
        f"{path} holds a training with another configuration:\n{table}",
        next_step="choose another name for this detector, or ask for the configuration in the folder",
    )


def _flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(content, list) and any(isinstance(value, dict) for value in content):
        content = {str(number): value for number, value in enumerate(content)}
    if not isinstance(content, dict):
        return {prefix.removesuffix("."): content}
    return {
        name: value
        for key, part in content.items()
        for name, value in _flatten(part, f"{prefix}{key}.").items()
    }
