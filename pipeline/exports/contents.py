"""What an export is made of: the files of one split, with transcripts and licences, and their bytes."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import SPLITS, codec_role
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.exports.licences import codec_licences, corpus_licence
from codecfake.pipeline.fingerprint import SAVED_AS as STAMP
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.source import current_source
from codecfake.pipeline.splitting import SPLITS_FOLDER
from codecfake.pipeline.tree import ESCAPING_NAME, ESCAPING_PATH

if TYPE_CHECKING:
    import pyarrow as pa

READ_AHEAD = 256
"""Files in memory at once."""
READ_THREADS = 8


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
    table: "pa.Table"
    """The dataset manifest, with ``transcript``, ``corpus_licence``, ``codec_licence``, ``weights_licence``."""

    def groups(self) -> dict[str, np.ndarray]:
        """Rows of train, dev, ``test-real`` and ``test-C4`` for each condition; every file is in one group."""
        import pyarrow.compute as pc

        groups = {name: np.flatnonzero(pc.equal(self.table["split"], name)) for name in SPLITS[:2]}
        is_eval = np.asarray(pc.equal(self.table["split"], SPLITS[2]))
        for codec in sorted(
            pc.unique(self.table["codec"]).to_pylist(), key=lambda name: codec_role(name).order
        ):
            rows = np.flatnonzero(is_eval & np.asarray(pc.equal(self.table["codec"], codec)))
            groups[f"test-{codec_role(codec).condition or REAL}"] = rows
        return {name: rows for name, rows in groups.items() if len(rows)}

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
            content = (self.run_dir / row["path"]).read_bytes()
        except OSError as error:
            raise self._damaged(row, f"cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise self._damaged(row, "is not the file that was published")
        return content

    def _damaged(self, row: dict[str, Any], what: str) -> CodecfakeError:
        return CodecfakeError(
            f"{row['path']} {what}; an export holds the published bytes or none",
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
    import pyarrow.parquet as pq

    folder = run_dir / SPLITS_FOLDER / split
    if not (folder / "manifest.parquet").is_file():
        raise CodecfakeError(f"{run_dir} has no split {split!r}", next_step=f"codecfake splits {run_dir}")
    stamp = json.loads((run_dir / STAMP).read_text(encoding="utf-8"))
    weights = saved_config(run_dir).weights
    table = pq.read_table(folder / "manifest.parquet").combine_chunks()
    _refuse_escapes(table)
    source = current_source(run_dir)
    spoken = dict(zip(source["utterance_id"].to_pylist(), source["transcript"].to_pylist(), strict=True))
    corpora = {
        name: corpus_licence(name, stamp["fingerprint"]["corpora"]) for name in _distinct(table, "corpus")
    }
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
    summary = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    known = weights if weights in ("official", "mini") else "other"
    return Contents(run_dir, split, summary, stamp, known, table)


def _distinct(table: "pa.Table", column: str) -> list[str]:
    import pyarrow.compute as pc

    return pc.unique(table[column]).to_pylist()


def _refuse_escapes(table: "pa.Table") -> None:
    import pyarrow.compute as pc

    for column, pattern in (("path", ESCAPING_PATH), ("file", ESCAPING_NAME), ("codec", ESCAPING_NAME)):
        wrong = table[column].filter(pc.match_substring_regex(table[column], pattern))
        if len(wrong):
            raise CodecfakeError(
                f"the manifest names {wrong[0].as_py()!r}, which could lead out of the export",
                cause="manifests hold plain file names, and paths relative to their run",
            )
