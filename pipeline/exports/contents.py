"""What an export is made of: the files of one split, with transcripts and licences, and their bytes."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.manifests.derived import PROCESSING, derived_manifests
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.paths import refuse_escapes
from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.records import read_json, read_parquet
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.exports.licences import AS_PUBLISHED, codec_licences, licences_of_corpora
from codecfake.pipeline.fingerprint import SAVED_AS as STAMP
from codecfake.pipeline.fingerprint import read_stamp
from codecfake.pipeline.imports.record import ImportRecord, read_import
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.source import current_source
from codecfake.pipeline.splitting import SPLITS_FOLDER

if TYPE_CHECKING:
    import pyarrow as pa

READ_AHEAD = 256
"""Files in memory at once."""
READ_THREADS = 8
SIZES_PER_TASK = 2_000


@dataclass(frozen=True)
class Contents:
    """A split of a run, ready to be written in another format."""

    run_dir: Path
    split: str
    summary: dict[str, Any]
    """The split's ``splits.json``."""
    stamp: dict[str, Any]
    """The run's ``run.json``."""
    weights: str
    """official, mini or other: a folder's name is the user's own business."""
    imported: ImportRecord | None
    """What the run was imported from, if it was not built."""
    table: "pa.Table"
    """The dataset manifest, with ``transcript``, ``corpus_licence``, ``codec_licence``, ``weights_licence``; where the
    split has robustness conditions, their rows follow, and ``processing`` names their setting, empty for the others."""

    @property
    def origin(self) -> dict[str, str]:
        """What decided the audio, as far as this run knows."""
        if self.imported is None:
            return self.stamp["fingerprint"]
        lists = {f"sha256 of {path}": digest for path, digest in self.imported.lists.items()}
        return {"imported from": self.imported.dataset, "licence": self.imported.licence} | lists

    @property
    def is_published(self) -> bool:
        """Whether others published the dataset, and it was imported."""
        return self.imported is not None and not self.imported.is_rebuilt

    @cached_property
    def audio_bytes(self) -> np.ndarray:
        """Size of every file without headers, shape (N,).

        A build writes mono PCM of 16 bits, so that its samples tell; an import holds files of any kind.
        """
        if self.imported is None:
            return self.table["samples"].to_numpy() * 2
        paths = self.table["path"].to_pylist()
        parts = [paths[start : start + SIZES_PER_TASK] for start in range(0, len(paths), SIZES_PER_TASK)]
        with ThreadPoolExecutor(READ_THREADS) as pool:
            return np.array(
                [size for sizes in pool.map(self._sizes, parts) for size in sizes], dtype=np.int64
            )

    @property
    def setting(self) -> "pa.Array | pa.ChunkedArray":
        """Name of the robustness condition that each row is under, empty for audio as it was built; N strings."""
        import pyarrow as pa

        if PROCESSING in self.table.column_names:
            return self.table[PROCESSING]
        return pa.repeat("", self.table.num_rows)

    @property
    def settings(self) -> list[str]:
        """Names of the robustness conditions."""
        return sorted(set(self.setting.unique().to_pylist()) - {""})

    def rows(self, index: np.ndarray) -> list[dict[str, Any]]:
        """Rows as dictionaries, with ``path`` relative to the run."""
        return self.table.take(index).to_pylist()

    def read(self, index: np.ndarray, monitor: Monitor) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield rows with the bytes of their audio, in the order of ``index``; counted by the monitor.

        Raises:
            CodecfakeError: If a file is missing, or is not the one that was published.
            Stopped: If the user asked to stop.
        """
        with ThreadPoolExecutor(READ_THREADS) as pool:
            for start in range(0, len(index), READ_AHEAD):
                rows = self.rows(index[start : start + READ_AHEAD])
                for row, content in zip(rows, pool.map(self._read_file, rows), strict=True):
                    monitor.raise_if_stopped()
                    yield row, content
                    monitor.advance(1)

    def _read_file(self, row: dict[str, Any]) -> bytes:
        try:
            with open_plain(self.run_dir / row["path"]) as file:
                content = file.readall()
        except OSError as error:
            raise self._unreadable(row["path"], error) from error
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise self._damaged(row["path"], "is not the file that was published")
        return content

    def _sizes(self, paths: list[str]) -> list[int]:
        sizes = []
        for path in paths:
            try:
                sizes.append((self.run_dir / path).stat().st_size)
            except OSError as error:
                raise self._unreadable(path, error) from error
        return sizes

    def _unreadable(self, path: str, error: OSError) -> CodecfakeError:
        return self._damaged(path, f"cannot be read: {error.strerror}")

    def _damaged(self, path: str, what: str) -> CodecfakeError:
        return CodecfakeError(
            f"{path} {what}; an export holds the published bytes or none",
            cause="the file was moved, changed or damaged after the build",
            next_step=f"codecfake verify {self.run_dir}",
        )


def about(row: dict[str, Any]) -> dict[str, Any]:
    """A row as others see it: without the path inside the run."""
    return {name: value for name, value in row.items() if name != "path"}


def read_contents(run_dir: Path, split: str) -> Contents:
    """Read a split of a run for an export.

    Args:
        run_dir: The run folder.
        split: Name of one of its splits.

    Raises:
        CodecfakeError: If the split is not there, or names files outside the run.
    """
    import pyarrow as pa

    folder = run_dir / SPLITS_FOLDER / split
    if not (folder / "manifest.parquet").is_file():
        raise CodecfakeError(f"{run_dir} has no split {split!r}", next_step=f"codecfake splits {run_dir}")
    resplit = f"remove {folder} and run codecfake splits {run_dir}"
    imported = read_import(run_dir)
    stamp = read_json(run_dir / STAMP, {}) if imported else read_stamp(run_dir)
    weights = (imported.weights or AS_PUBLISHED) if imported else saved_config(run_dir).weights
    clean = read_parquet(folder / "manifest.parquet", next_step=resplit)
    table = _with_conditions(clean, folder).combine_chunks()
    refuse_escapes(table, paths=["path"], names=["file", "codec", "conditions"])
    source = current_source(run_dir)
    spoken = dict(zip(source["utterance_id"].to_pylist(), source["transcript"].to_pylist(), strict=True))
    corpora = licences_of_corpora(_distinct(table, "corpus"), stamp, imported)
    codecs = {name: codec_licences(name, weights) for name in _distinct(table, "codec")}
    added = {
        "transcript": [spoken.get(name) or "" for name in table["utterance_id"].to_pylist()],
        "corpus_licence": [corpora[name] for name in table["corpus"].to_pylist()],
        "codec_licence": [codecs[name].code for name in table["codec"].to_pylist()],
        "weights_licence": [codecs[name].weights for name in table["codec"].to_pylist()],
    }
    for name, values in added.items():
        table = table.append_column(
            pa.field(name, pa.string(), nullable=False), pa.array(values, pa.string())
        )
    summary = read_json(folder / "splits.json", {}, next_step=resplit)
    known = weights if weights in ("official", "mini") else "other"
    return Contents(run_dir, split, summary, stamp, known, imported, table)


def _with_conditions(clean: "pa.Table", split: Path) -> "pa.Table":
    """Append the rows of the robustness conditions of a split, if it has any, and say which setting each is under."""
    import pyarrow as pa

    manifests = derived_manifests(split)
    if not manifests:
        return clean
    tables = {"": clean} | {setting: read_parquet(path) for setting, path in manifests.items()}
    field = pa.field(PROCESSING, pa.string(), nullable=False)
    return pa.concat_tables(
        [
            table.append_column(field, pa.array([setting] * len(table), pa.string()))
            for setting, table in tables.items()
        ]
    )


def _distinct(table: "pa.Table", column: str) -> list[str]:
    import pyarrow.compute as pc

    return pc.unique(table[column]).to_pylist()
