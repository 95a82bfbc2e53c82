"""Holding a published split against its manifest."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.label_files import read_label_file
from codecfake.manifests.schema import check_schema, dataset_schema
from codecfake.pipeline.splitting import TREE_NAME
from codecfake.pipeline.tree import is_same_file, tree_folders

if TYPE_CHECKING:
    import pyarrow as pa


def check_tree(run_dir: Path, split: Path) -> Iterator[tuple[str, str]]:
    """Compare a split's tree and label files with its manifest.

    Args:
        run_dir: The run folder, to which the manifest's paths are relative.
        split: Folder of the split.

    Yields:
        Path relative to the run folder, and what is wrong with it.
    """
    import pyarrow.parquet as pq

    manifest = split / "manifest.parquet"
    where = manifest.relative_to(run_dir).as_posix()
    try:
        table = pq.read_table(manifest)
        check_schema(table, dataset_schema(), where)
    except (OSError, ValueError, CodecfakeError) as error:
        yield where, f"it cannot be read: {error}"
        return
    for folder, rows in tree_folders(table).items():
        part = table.take(rows)
        for path, problem in _check_folder(run_dir, split / TREE_NAME, folder, part):
            yield path.relative_to(run_dir).as_posix(), problem


def _check_folder(run_dir: Path, tree: Path, folder: str, part: "pa.Table") -> Iterator[tuple[Path, str]]:
    files, paths = part["file"].to_pylist(), part["path"].to_pylist()
    for file, path in zip(files, paths, strict=True):
        target, source = tree / folder / file, run_dir / path
        if not target.is_file():
            yield target, "it is gone"
        elif source.is_file() and not is_same_file(source, target):
            yield target, f"it is not the file {path}"
    label_path = tree / "label" / f"{Path(folder).name}.txt"
    if not label_path.is_file():
        yield label_path, "it is gone"
    elif _rows(read_label_file(label_path).entries) != _rows(part):
        yield label_path, "it does not say what the manifest says"


def _rows(table: "pa.Table") -> list[tuple[str, str, str]]:
    return sorted(zip(*(table[name].to_pylist() for name in ("file", "label", "method")), strict=True))
