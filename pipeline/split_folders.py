"""The folder of a split: published whole, replaced by another one, or mended in its place.

A split that holds the same files as before is never replaced: what is known by the digest of its manifest, as detectors
and robustness conditions are, stays valid.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import TEMPORARY_PREFIX, flush_to_disk, set_aside
from codecfake.manifests.checksums import CHECKSUMS, altered_files
from codecfake.manifests.derived import MANIFEST
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.label_files import write_label_files
from codecfake.manifests.records import read_parquet
from codecfake.manifests.schema import check_schema, dataset_schema
from codecfake.pipeline.tree import link_tree

if TYPE_CHECKING:
    import pyarrow as pa

TREE_NAME = "Codecfake"
SUPERSEDED = ".superseded-"


def has_manifest(folder: Path, table: "pa.Table") -> bool:
    """Whether a split's manifest can be read, and says of every file what ``table`` says."""
    try:
        return read_parquet(folder / MANIFEST).equals(table)
    except (OSError, ValueError, CodecfakeError) as error:
        refuse_exhaustion(error)
        return False


def replace_files(work_dir: Path, folder: Path) -> None:
    """Rename the files of ``work_dir`` into the split they mend, each over its old self."""
    for path in sorted(work_dir.iterdir()):
        if path.is_file():
            flush_to_disk(path)
            path.replace(folder / path.name)
    flush_to_disk(folder)
    remove_drafts(folder)


def publish_folder(work_dir: Path, folder: Path) -> Path | None:
    """Rename ``work_dir`` to ``folder``; what is there moves aside, what killed calls left goes."""
    flush_to_disk(work_dir)
    superseded = set_aside(folder, SUPERSEDED) if folder.exists() else None
    work_dir.rename(folder)
    flush_to_disk(folder.parent)
    remove_drafts(folder)
    return superseded


def remove_drafts(folder: Path) -> None:
    """Clear away what killed calls left of a split."""
    for stale in folder.parent.glob(f"{TEMPORARY_PREFIX}{folder.name}-*"):
        shutil.rmtree(stale, ignore_errors=True)


def finish_replacements(splits: Path) -> None:
    """Publish what a call that was killed between the two renames of `publish_folder` has made whole."""
    for work_dir in sorted(splits.glob(f"{TEMPORARY_PREFIX}*")):
        folder = splits / work_dir.name.removeprefix(TEMPORARY_PREFIX).rpartition("-")[0]
        is_whole = (work_dir / CHECKSUMS).is_file() and (work_dir / TREE_NAME).is_dir()
        if is_whole and not folder.exists() and any(splits.glob(f"{folder.name}{SUPERSEDED}*")):
            work_dir.rename(folder)
            flush_to_disk(splits)


def mend_tree(run_dir: Path, split: Path, report: Callable[[str], None]) -> None:
    """Make the damaged links and label files of a published split again, out of its manifest.

    Raises:
        CodecfakeError: If the manifest is damaged, or audio is missing.
    """
    table = read_parquet(split / MANIFEST)
    check_schema(table, dataset_schema(), str(split / MANIFEST))
    for path, problem in altered_files(split / CHECKSUMS):
        raise CodecfakeError(f"{path}: {problem}")
    link_tree(run_dir, table, split / TREE_NAME, report, mend=True)
    write_label_files(table, split / TREE_NAME / "label")
