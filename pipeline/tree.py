"""The Codecfake tree: ``train/``, ``dev/`` and ``test/C1/`` ... out of hard links over the audio store."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os.path import samestat
from pathlib import Path
from shutil import copyfile
from stat import S_ISREG
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.atomic import (
    LINK_REFUSED,
    TEMPORARY_PREFIX,
    flush_to_disk,
    published,
    temporary_sibling,
)
from codecfake.manifests.dataset import condition_rows, digest_table
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.paths import refuse_escapes
from codecfake.manifests.splits import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

THREADS = 4
LINKS_PER_TASK = 2_000
LINKS_PER_REPORT = 100_000


@dataclass(frozen=True)
class TreeReport:
    """What a tree is made of, in files."""

    folder: Path
    linked: int
    copied: int
    """Files that the file system did not let us link; they take their size once more."""
    kept: int
    """Files that were already there and right."""
    strangers: int
    """Files in the folders of the tree that no manifest row names; left alone."""


def link_tree(
    run_dir: Path, table: "pa.Table", tree_dir: Path, report: Callable[[str], None], *, mend: bool = False
) -> TreeReport:
    """Make the published folder layout out of links to the audio of a run.

    A new tree is made beside its place and renamed at the end; what a killed call left there is used again.
    In a tree that exists, right files are kept, missing ones added, and other files left alone.

    Args:
        run_dir: The run, to which the paths of the manifest are relative.
        table: A dataset table.
        tree_dir: The folder to make, usually ``Codecfake``.
        report: Receives lines about the progress.
        mend: Whether other files in the places of those of the run are damage, to be replaced.

    Returns:
        What was linked, copied and kept.

    Raises:
        CodecfakeError: If a path of the manifest leaves its folder, audio is missing, or another file stands
            in the place of one of the tree (it is not overwritten, but to mend).
    """
    refuse_escapes(table, paths=["path"], names=["file", "codec", "conditions"])
    is_new = not tree_dir.exists()
    temporary = f"{TEMPORARY_PREFIX}{tree_dir.name}-{digest_table(table)[:12]}"
    work_dir = tree_dir.with_name(temporary) if is_new else tree_dir
    removed = "" if is_new else TEMPORARY_PREFIX if mend else None
    folders = tree_folders(table)
    total = sum(len(rows) for rows in folders.values())
    report(f"Linking {total:,} files into the tree {tree_dir.name}")

    outcomes: Counter[str] = Counter()
    examples: dict[str, str] = {}
    strangers = 0
    files, paths, digests = (table[name].combine_chunks() for name in ("file", "path", "sha256"))
    for folder, rows in folders.items():
        (work_dir / folder).mkdir(parents=True, exist_ok=True)
        names = files.take(rows).to_pylist()
        strangers += _count_strangers(work_dir / folder, set(names), removed)
        meant = digests.take(rows).to_pylist() if mend else None
        for outcome, name in _link_all(
            run_dir, work_dir / folder, names, paths.take(rows).to_pylist(), meant
        ):
            outcomes[outcome] += 1
            examples.setdefault(outcome, f"{folder}/{name}")
            if (done := outcomes.total()) % LINKS_PER_REPORT == 0:
                report(f"Linked {done:,} of {total:,} files")
        flush_to_disk(work_dir / folder)
    _refuse_failures(outcomes, examples)
    if is_new:
        work_dir.mkdir(parents=True, exist_ok=True)
        work_dir.rename(tree_dir)
        flush_to_disk(tree_dir.parent)
    if outcomes["copied"]:
        report(f"Copied {outcomes['copied']:,} files: the file system refused to link them")
    kept_strangers = 0 if is_new else strangers
    return TreeReport(tree_dir, outcomes["linked"], outcomes["copied"], outcomes["kept"], kept_strangers)


def tree_folders(table: "pa.Table") -> dict[str, np.ndarray]:
    """Give the rows of a dataset table that each folder of its tree holds."""
    import pyarrow.compute as pc

    folders = {name: np.flatnonzero(pc.equal(table["split"], name)) for name in SPLITS[:2]}
    return folders | {f"test/{name}": rows for name, rows in condition_rows(table).items()}


def _link_all(
    run_dir: Path, folder: Path, names: list[str], paths: list[str], digests: list[str] | None
) -> Iterator[tuple[str, str]]:
    def link_one(position: int) -> tuple[str, str]:
        # Plain strings: making two paths takes as long as making a link.
        source, target = f"{run_dir}/{paths[position]}", f"{folder}/{names[position]}"
        outcome = link_file(source, target)
        if outcome == "different" and digests:
            outcome = _replace_damaged(Path(source), Path(target), digests[position])
        return outcome, names[position]

    def link_some(start: int) -> list[tuple[str, str]]:
        return [link_one(position) for position in range(start, min(start + LINKS_PER_TASK, len(names)))]

    with ThreadPoolExecutor(THREADS) as pool:
        for outcomes in pool.map(link_some, range(0, len(names), LINKS_PER_TASK)):
            yield from outcomes


def link_file(source: str | Path, target: str | Path) -> str:
    """Make ``target`` the same file as ``source``, or a copy where links are refused.

    Returns:
        ``linked``, ``copied``, ``kept`` (it was there), ``different`` (another file is there) or ``missing``.
    """
    try:
        os.link(source, target)
        return "linked"
    except FileNotFoundError:
        return "missing"
    except FileExistsError:
        return "kept" if is_same_file(source, target) else "different"
    except OSError as error:
        if error.errno not in LINK_REFUSED:
            raise
    if os.path.lexists(target):
        return "kept" if is_same_file(source, target) else "different"
    with published(Path(target)) as temporary:
        copyfile(source, temporary)
    return "copied"


def _replace_damaged(source: Path, target: Path, digest: str) -> str:
    """Put ``source`` in the place of ``target``, unless it is ``source`` that is damaged."""
    if file_sha256(source) != digest:
        return "kept"
    temporary = temporary_sibling(target)
    outcome = link_file(source, temporary)
    temporary.replace(target)
    return outcome


def is_same_file(first: str | Path, second: str | Path) -> bool:
    """Tell whether two paths are one file, or two files of one content."""
    try:
        # A Path takes longer than the call itself.
        ours, theirs = os.stat(first), os.stat(second)  # noqa: PTH116
    except OSError:
        return False
    if not (S_ISREG(ours.st_mode) and S_ISREG(theirs.st_mode)):
        return False
    if samestat(ours, theirs):
        return True
    return ours.st_size == theirs.st_size and file_sha256(Path(first)) == file_sha256(Path(second))


def _count_strangers(folder: Path, names: set[str], removed: str | None) -> int:
    """Count the entries of a folder that are not of the tree, and remove those whose names start with ``removed``."""
    with os.scandir(folder) as entries:
        strangers = [entry.path for entry in entries if entry.name not in names]
    for stranger in map(Path, strangers):
        if removed is not None and stranger.name.startswith(removed):
            stranger.unlink()
    return len(strangers)


def _refuse_failures(outcomes: Counter[str], examples: dict[str, str]) -> None:
    if outcomes["missing"]:
        raise CodecfakeError(
            f"{outcomes['missing']:,} files of the manifest are not in the audio store, such as "
            f"{examples['missing']}",
            cause="files of published shards were moved or deleted",
            next_step="codecfake verify RUN",
        )
    if outcomes["different"]:
        raise CodecfakeError(
            f"{outcomes['different']:,} files of the tree are other files than the run's, such as "
            f"{examples['different']}; none was overwritten",
            next_step="move them away, or make the tree in another folder",
        )
