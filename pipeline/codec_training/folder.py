"""The folder of one training: its settings, its checkpoints, its history."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codecfake.manifests.atomic import TEMPORARY_PREFIX, publish_json, publish_text, published
from codecfake.manifests.differences import side_by_side
from codecfake.manifests.errors import CodecfakeError

SETTINGS_FILE = "settings.json"
CHECKPOINTS = "step-*.pt"
KEPT_CHECKPOINTS = 2
"""The one before the newest stays, should the disk have damaged the newest."""


class TrainingFolder:
    """What a stopped training goes on from.

    Args:
        path: The folder; made when missing.
        settings: All that decides the result, as JSON would have it.

    Raises:
        CodecfakeError: If the folder belongs to a training with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        asked = json.loads(json.dumps(settings))
        saved = path / SETTINGS_FILE
        if saved.is_file():
            there = json.loads(saved.read_text(encoding="utf-8"))
            if differences := side_by_side(there, asked, "in the folder"):
                raise CodecfakeError(
                    f"{path} holds a training with other settings, or of another version of codecfake:\n"
                    f"{differences}",
                    next_step="ask for what is in the folder to go on with it, or give another --out",
                )
        else:
            publish_json(saved, asked)
        for draft in path.glob(f"{TEMPORARY_PREFIX}*"):
            draft.unlink()

    def load(self) -> dict[str, Any] | None:
        """Read the newest checkpoint; ``None`` if there is none yet.

        Raises:
            CodecfakeError: If it cannot be read.
        """
        import pickle

        import torch

        checkpoints = self._checkpoints()
        if not checkpoints:
            return None
        try:
            return torch.load(checkpoints[-1], map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise CodecfakeError(
                f"{checkpoints[-1]} cannot be read: {error}",
                cause="the disk has damaged it",
                next_step=f"delete it; the training then goes on from {checkpoints[-2].name}"
                if len(checkpoints) > 1
                else "delete it; the training then begins again",
            ) from error

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Publish a checkpoint, then delete what is no longer needed."""
        import torch

        with published(self.path / CHECKPOINTS.replace("*", f"{step:09d}")) as temporary:
            torch.save(dict(state), temporary)
        for path in self._checkpoints()[:-KEPT_CHECKPOINTS]:
            path.unlink()

    def publish_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Publish rows, if there are any, as CSV; a row may lack columns of others."""
        if not rows:
            return
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        publish_text(self.path / name, text.getvalue())

    def _checkpoints(self) -> list[Path]:
        return sorted(self.path.glob(CHECKPOINTS))
