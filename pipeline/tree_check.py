"""Holding a published split against its manifest."""

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.checksums import CHECKSUMS
from codecfake.manifests.derived import MANIFEST
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.label_files import read_label_file
from codecfake.manifests.paths import refuse_escapes
from codecfake.manifests.records import read_parquet
from codecfake.manifests.schema import check_schema, dataset_schema
from codecfake.pipeline.by_hand import MOVE_OUT_OF_TREE
from codecfake.pipeline.described_damage import listed_damage
from codecfake.pipeline.splitting import LISTED, TREE_NAME
from codecfake.pipeline.tree import LINKS_PER_TASK, THREADS, is_same_file, tree_folders

if TYPE_CHECKING:
    import pyarrow as pa


def check_tree(run_dir: Path, split: Path) -> Iterator[tuple[str, str]]:
    """Compare a split's manifests with their digests, its tree and label files with its manifest.

    Args:
        run_dir: The run folder, to which the manifest's paths are relative.
        split: Folder of the split.

    Yields:
        Path relative to the run folder, and what is wrong with it.
    """
    manifest = split / MANIFEST
    where = manifest.relative_to(run_dir).as_posix()
    try:
        table = read_parquet(manifest)
        check_schema(table, dataset_schema(), where)
        refuse_escapes(table, paths=["path"], names=["file", "codec", "conditions"])
    except FileNotFoundError:
        yield where, "it is gone"
        return
    except (OSError, ValueError, CodecfakeError) as error:
        refuse_exhaustion(error)
        yield where, f"it cannot be read: {error}"
        return
    for path, problem in listed_damage(split / CHECKSUMS, LISTED):
        yield path.relative_to(run_dir).as_posix(), problem
    tree, folders = split / TREE_NAME, tree_folders(table)
    for folder, rows in folders.items():
        part = table.take(rows)
        for path, problem in _check_folder(run_dir, tree, folder, part):
            yield path.relative_to(run_dir).as_posix(), problem
    names = [Path(folder).name for folder in folders]
    for path, problem in (
        *_strangers(tree / "test", names[2:]),
        *_strangers(tree / "label", [f"{name}.txt" for name in names]),
    ):
        yield path.relative_to(run_dir).as_posix(), problem


def _check_folder(run_dir: Path, tree: Path, folder: str, part: "pa.Table") -> Iterator[tuple[Path, str]]:
    def check_some(some: "pa.RecordBatch") -> list[tuple[Path, str]]:
        problems = []
        for file, path in zip(some["file"].to_pylist(), some["path"].to_pylist(), strict=True):
            # Plain strings: making two paths takes as long as looking at two files.
            source, target = f"{run_dir}/{path}", f"{tree}/{folder}/{file}"
            if not is_same_file(source, target):
                if not Path(target).is_file():
                    problems.append((Path(target), "it is gone"))
                elif Path(source).is_file():
                    problems.append((Path(target), f"it is not the file {path}"))
        return problems

    with ThreadPoolExecutor(THREADS) as pool:
        for problems in pool.map(check_some, part.select(["file", "path"]).to_batches(LINKS_PER_TASK)):
            yield from problems
    yield from _strangers(tree / folder, part["file"].to_pylist())
    label_path = tree / "label" / f"{Path(folder).name}.txt"
    if not label_path.is_file():
        yield label_path, "it is gone"
    elif not _says_the_same(read_label_file(label_path).entries, part):
        yield label_path, "it does not say what the manifest says"


def _strangers(folder: Path, names: Collection[str]) -> Iterator[tuple[Path, str]]:
    """What lies in a folder beside what is meant to: people train on whatever a folder holds."""
    try:
        with os.scandir(folder) as entries:
            found = {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return  # the files that are gone with it are told one by one
    except OSError as error:
        refuse_exhaustion(error)
        yield folder, f"it cannot be read: {error}"
        return
    for name in sorted(found.difference(names)):
        if not name.startswith("."):  # what file managers and NFS leave
            yield folder / name, f"the manifest does not name it; {MOVE_OUT_OF_TREE}"


def _says_the_same(labels: "pa.Table", part: "pa.Table") -> bool:
    """Compare label lines with manifest rows; in the order in which they are written that is quick."""
    part = part.select(labels.column_names).cast(labels.schema)
    if labels.num_rows != part.num_rows:
        return False
    if labels.equals(part):
        return True
    order = [(name, "ascending") for name in labels.column_names]
    return labels.sort_by(order).equals(part.sort_by(order))
