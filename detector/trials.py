"""The trials of a dataset: what is trained on, what selects the model, what is scored per condition."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.dataset import condition_rows
from codecfake.manifests.derived import PROCESSING, derived_manifests, derived_order
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.paths import refuse_escapes
from codecfake.manifests.records import parquet_columns, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

TRAIN = "train"
DEV = "dev"
COLUMNS = ["file", "label", "split", "conditions", "path"]
ABOUT = {
    "utterance_id": "utterance_id",
    "codec": "codec",
    "corpus": "corpus",
    "language": "language",
    "speaker": "speaker",
    "gender": "sex",
    "seconds": "seconds",
}
"""Columns of a run's manifest that say more about a trial, and what they are called here."""


@dataclass(frozen=True)
class TrialList:
    """Files and labels of one part of a dataset, in the order of its manifest or protocol."""

    name: str
    """``train``, ``dev`` or a condition such as ``C4``."""
    root: Path
    """Absolute path of the folder that the paths are relative to."""
    files: list[str]
    """File names, unique within the list; one name in two conditions is one file."""
    relative_paths: list[str]
    """POSIX paths relative to ``root``, beside ``files``."""
    labels: np.ndarray
    """Class indices (`Label`), shape (N,), int64, beside ``files``."""
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """What else is known, each of shape (N,): ``utterance_id`` (of the source, shared by a bona fide file and
    its fakes), ``codec``, ``attack``, ``corpus``, ``language``, ``speaker`` and ``sex`` as str objects (empty
    where not known), ``seconds`` as float64. What a dataset does not tell at all is absent. A robustness condition
    such as C1-opus16 has ``processing``, the name of its setting."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def processing(self) -> str:
        """Setting of a robustness condition, such as ``opus16``; empty for audio as it was built."""
        return self.columns[PROCESSING][0] if PROCESSING in self.columns and len(self) else ""

    def path(self, position: int) -> Path:
        """Absolute path of the audio of one trial."""
        return self.root / self.relative_paths[position]

    def count(self, label: Label) -> int:
        """Number of trials of one class."""
        return int(np.count_nonzero(self.labels == label))

    def take(self, positions: Sequence[int] | np.ndarray) -> "TrialList":
        """The trials at ``positions``, in that order, under the same name."""
        chosen = np.asarray(positions, dtype=np.int64)
        return TrialList(
            self.name,
            self.root,
            [self.files[i] for i in chosen],
            [self.relative_paths[i] for i in chosen],
            self.labels[chosen],
            {name: column[chosen] for name, column in self.columns.items()},
        )

    def digest(self) -> str:
        """Hash of the file names and labels; where the files lie does not matter."""
        digest = hashlib.sha256("\n".join(self.files).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def require_both_classes(self) -> None:
        """Refuse a list in which a class is missing.

        Raises:
            CodecfakeError: If there is no bona fide or no spoof trial.
        """
        bona_fide, spoof = self.count(Label.BONA_FIDE), self.count(Label.SPOOF)
        if not (bona_fide and spoof):
            raise CodecfakeError(
                f"{self.name}: {bona_fide} bona fide and {spoof} spoof files; both classes are needed",
                cause="too few utterances were built, or the audio of one class is not there",
                next_step=f"codecfake verify {self.root}",
            )


@dataclass(frozen=True)
class Rejected:
    """A line of a list, or a file beside it, that is no trial."""

    where: str
    """The list."""
    text: str
    why: str
    is_contradiction: bool = False
    """Whether it gives a file of the same list another label."""


@dataclass(frozen=True)
class SplitTrials:
    """Everything a detector reads of a split of a run, or of another dataset."""

    name: str
    """Name of the split, or of the dataset."""
    digest: str
    """Of the manifest of a run's split; of the lists (names and labels) of any other dataset."""
    train: TrialList
    """Empty where a dataset is for evaluation only, as is ``dev``."""
    dev: TrialList
    conditions: dict[str, TrialList]
    """Evaluation trials by condition, C1 before C10, then those under robustness conditions; eval reals are in
    every condition."""
    notes: list[str] = field(default_factory=list)
    """What a user should know before using the data, such as how many files are missing."""
    rejected: list[Rejected] = field(default_factory=list)
    """The first thousand of each list, where the reader of the dataset keeps them."""

    def evaluated(self) -> list[TrialList]:
        """What is scored and evaluated: dev, where there is one, and every condition."""
        return [*([self.dev] if len(self.dev) else []), *self.conditions.values()]


def empty_trials(name: str, root: Path) -> TrialList:
    """A list without trials, for a part that a dataset does not have."""
    return TrialList(name, root, [], [], np.empty(0, dtype=np.int64))


def digest_lists(lists: Sequence[TrialList]) -> str:
    """Hash the names and contents of several lists."""
    lines = [f"{part.name} {len(part)} {part.digest()}\n" for part in lists]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def as_objects(column: "pa.Array | pa.ChunkedArray") -> np.ndarray:
    """Turn a string column into str objects, shape (N,), equal strings being one object; null gives ""."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    encoded = column.fill_null("").dictionary_encode()
    return np.array([*encoded.dictionary.to_pylist(), ""], dtype=object)[encoded.indices.to_numpy()]


def read_trials(run_dir: Path, split: str) -> SplitTrials:
    """Read the trials of ``RUN/splits/SPLIT/manifest.parquet``.

    Args:
        run_dir: The run folder.
        split: Name of the split, for example ``published-seed0``.

    Returns:
        Train, dev and evaluation trials, those of robustness conditions among them.

    Raises:
        CodecfakeError: If the split is absent, or its manifest lacks a column.
    """
    import pyarrow.compute as pc

    run_dir = Path(run_dir).resolve()
    path = run_dir / "splits" / split / "manifest.parquet"
    if not path.is_file():
        present = sorted(found.parent.name for found in run_dir.glob("splits/*/manifest.parquet"))
        raise CodecfakeError(
            f"{run_dir} has no split {split!r}; it has {', '.join(present) or 'none'}",
            next_step=f"codecfake splits {run_dir}",
        )
    resplit = f"remove {path.parent} and run codecfake splits {run_dir}"
    table = _read_manifest(path, resplit)
    everything = _all_trials(run_dir, table, path, resplit)

    def select(name: str, positions: np.ndarray) -> TrialList:
        return replace(everything.take(positions), name=name)

    conditions = {name: select(name, rows) for name, rows in condition_rows(table).items()}
    for setting, manifest in derived_manifests(path.parent).items():
        conditions |= _derived_conditions(run_dir, setting, manifest)
    return SplitTrials(
        name=split,
        digest=file_sha256(path),
        train=select(TRAIN, np.flatnonzero(pc.equal(table["split"], TRAIN))),
        dev=select(DEV, np.flatnonzero(pc.equal(table["split"], DEV))),
        conditions=conditions,
    )


def _derived_conditions(run_dir: Path, setting: str, manifest: Path) -> dict[str, TrialList]:
    """The conditions of one setting, in the order of those that they come from."""
    again = f"remove {manifest.parent} and run codecfake conditions {run_dir} --add {setting}"
    table = _read_manifest(manifest, again)
    everything = _all_trials(run_dir, table, manifest, again)
    rows = condition_rows(table)
    names = sorted(rows, key=lambda name: derived_order(name, setting))
    trials = {name: everything.take(rows[name]) for name in names}
    return {
        name: replace(
            part, name=name, columns=part.columns | {PROCESSING: np.full(len(part), setting, dtype=object)}
        )
        for name, part in trials.items()
    }


def _read_manifest(path: Path, next_step: str) -> "pa.Table":
    present = parquet_columns(path, next_step=next_step)
    if missing := [column for column in COLUMNS if column not in present]:
        raise CodecfakeError(
            f"{path} has no column {missing[0]!r}",
            cause="the split was made by another version of codecfake",
            next_step=next_step,
        )
    wanted = [*COLUMNS, *(name for name in ABOUT if name in present)]
    table = read_parquet(path, wanted, next_step=next_step)
    if empty := [name for name in COLUMNS if table[name].null_count]:
        raise CodecfakeError(f"{path}: column {empty[0]!r} has empty cells", next_step=next_step)
    return table


def _all_trials(run_dir: Path, table: "pa.Table", path: Path, next_step: str) -> TrialList:
    """All rows of a manifest as one list without a name."""
    import pyarrow.compute as pc

    if pc.count_distinct(table["file"]).as_py() != table.num_rows:
        raise CodecfakeError(f"{path}: a file name occurs twice, so scores could not be told apart")
    refuse_escapes(table, paths=["path"], names=["file", "conditions"])

    words = table["label"].combine_chunks().dictionary_encode()
    try:
        by_word = np.array([Label.parse(word) for word in words.dictionary.to_pylist()], dtype=np.int64)
    except ValueError as error:
        raise CodecfakeError(f"{path}: {error}", next_step=next_step) from error
    return TrialList(
        "",
        run_dir,
        table["file"].to_pylist(),
        table["path"].to_pylist(),
        by_word[words.indices.to_numpy()],
        {ABOUT[name]: _column(table[name]) for name in ABOUT if name in table.column_names},
    )


def _column(column: "pa.ChunkedArray") -> np.ndarray:
    """A column as str objects, or as float64 where it holds numbers."""
    import pyarrow as pa

    return as_objects(column) if pa.types.is_string(column.type) else column.to_numpy()
