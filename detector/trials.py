"""The trials of a split: what is trained on, what selects the model, what is scored per condition."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.splits import condition_order

if TYPE_CHECKING:
    import pyarrow as pa

DEV = "dev"
COLUMNS = ["file", "label", "split", "conditions", "path"]


@dataclass(frozen=True)
class TrialList:
    """Files and labels of one part of a split, in manifest order."""

    name: str
    """``train``, ``dev`` or a condition such as ``C4``."""
    run_dir: Path
    """Absolute path of the run folder."""
    files: list[str]
    """File names, unique within the split."""
    relative_paths: list[str]
    """POSIX paths relative to the run folder, beside ``files``."""
    labels: np.ndarray
    """Class indices (`Label`), shape (N,), int64, beside ``files``."""

    def __len__(self) -> int:
        return len(self.files)

    def path(self, position: int) -> Path:
        """Absolute path of the audio of one trial."""
        return self.run_dir / self.relative_paths[position]

    def count(self, label: Label) -> int:
        """Number of trials of one class."""
        return int(np.count_nonzero(self.labels == label))

    def require_both_classes(self) -> None:
        """Refuse a list in which a class is missing.

        Raises:
            CodecfakeError: If there is no bona fide or no spoof trial.
        """
        bona_fide, spoof = self.count(Label.BONA_FIDE), self.count(Label.SPOOF)
        if not (bona_fide and spoof):
            raise CodecfakeError(
                f"{self.name}: {bona_fide} bona fide and {spoof} spoof files; both classes are needed",
                cause="too few utterances were built, or the audio of one class is not built yet",
                next_step=f"codecfake status {self.run_dir}",
            )


@dataclass(frozen=True)
class SplitTrials:
    """Everything a detector reads of a split."""

    name: str
    manifest_sha256: str
    train: TrialList
    dev: TrialList
    conditions: dict[str, TrialList]
    """Evaluation trials by condition, C1 before C10; eval reals are in every condition."""


def read_trials(run_dir: Path, split: str) -> SplitTrials:
    """Read the trials of ``RUN/splits/SPLIT/manifest.parquet``.

    Args:
        run_dir: The run folder.
        split: Name of the split, for example ``published-seed0``.

    Returns:
        Train, dev and evaluation trials.

    Raises:
        CodecfakeError: If the split is absent, or its manifest lacks a column.
    """
    import pyarrow.parquet as pq

    run_dir = Path(run_dir).resolve()
    path = run_dir / "splits" / split / "manifest.parquet"
    if not path.is_file():
        present = sorted(found.parent.name for found in run_dir.glob("splits/*/manifest.parquet"))
        raise CodecfakeError(
            f"{run_dir} has no split {split!r}; it has {', '.join(present) or 'none'}",
            next_step=f"codecfake splits {run_dir}",
        )
    if missing := [column for column in COLUMNS if column not in pq.read_schema(path).names]:
        raise CodecfakeError(
            f"{path} has no column {missing[0]!r}",
            cause="the split was made by another version of codecfake",
            next_step=f"codecfake splits {run_dir}",
        )
    table = pq.read_table(path, columns=COLUMNS)

    files = table["file"].to_pylist()
    if len(set(files)) != len(files):
        raise CodecfakeError(f"{path}: a file name occurs twice, so scores could not be told apart")
    paths = table["path"].to_pylist()
    words = table["label"].to_pylist()
    by_word = {word: Label.parse(word) for word in set(words)}
    labels = np.array([by_word[word] for word in words], dtype=np.int64)

    def select(name: str, positions: np.ndarray) -> TrialList:
        chosen = positions.tolist()
        return TrialList(
            name, run_dir, [files[i] for i in chosen], [paths[i] for i in chosen], labels[positions]
        )

    use = np.asarray(table["split"].to_pylist(), dtype=object)
    return SplitTrials(
        name=split,
        manifest_sha256=file_sha256(path),
        train=select("train", np.flatnonzero(use == "train")),
        dev=select(DEV, np.flatnonzero(use == DEV)),
        conditions={
            name: select(name, positions) for name, positions in _positions_by_condition(table["conditions"])
        },
    )


def _positions_by_condition(column: "pa.ChunkedArray") -> list[tuple[str, np.ndarray]]:
    """Row positions of every condition in a list column, conditions in natural order."""
    import pyarrow.compute as pc

    rows = pc.list_parent_indices(column).to_numpy()
    names = np.asarray(pc.list_flatten(column).to_pylist(), dtype=object)
    return [(name, rows[names == name]) for name in sorted(set(names.tolist()), key=condition_order)]
