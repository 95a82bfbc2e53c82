"""The Codecfake tree, and archives of it that fit on Zenodo: 50 GB and 100 files per record."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codecfake.manifests.label_files import write_label_files
from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.tars import open_tar
from codecfake.pipeline.exports.units import Unit, cut
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.splitting import TREE_NAME
from codecfake.pipeline.tree import link_tree, tree_folders

ARCHIVE_BYTES = 45e9
LABELS = "label"
ARCHIVES = "archives"


def plan(contents: Contents) -> list[Unit]:
    """One archive per folder of the tree, or several where it is large; the labels in one of their own."""
    units = [Unit(f"{ARCHIVES}/{TREE_NAME}-{LABELS}.tar", LABELS, np.empty(0, dtype=np.int64))]
    for folder, rows in tree_folders(contents.table).items():
        name = f"{TREE_NAME}-{folder.replace('/', '-')}"
        parts = cut(contents, rows, ARCHIVE_BYTES)
        units += [Unit(f"{ARCHIVES}/{name}-{at:03d}.tar", folder, part) for at, part in enumerate(parts)]
    return units


def write_loose(contents: Contents, out: Path, monitor: Monitor) -> None:
    """Make the tree itself out of links, or of copies on another disk."""
    link_tree(contents.run_dir, contents.table, out / TREE_NAME, monitor.say)
    write_label_files(contents.table, out / TREE_NAME / LABELS)


def write_unit(contents: Contents, out: Path, unit: Unit, path: Path, monitor: Monitor) -> None:
    """Write an archive; its members are named ``Codecfake/train/NAME.wav``."""
    with open_tar(path) as tar:
        if unit.folder == LABELS:
            for labels in sorted((out / TREE_NAME / LABELS).glob("*.txt")):
                tar.add(f"{TREE_NAME}/{LABELS}/{labels.name}", labels.read_bytes())
        for row, content in contents.read(unit.rows, monitor):
            tar.add(f"{TREE_NAME}/{unit.folder}/{row['file']}", content)


def locations(contents: Contents) -> list[str]:
    """Where each row lies; a file of several conditions, in the first of them."""
    found = [""] * contents.table.num_rows
    names = contents.table["file"].to_pylist()
    for folder, rows in tree_folders(contents.table).items():
        for row in rows:
            found[row] = found[row] or f"{TREE_NAME}/{folder}/{names[row]}"
    return found


def loose_audio(contents: Contents) -> Iterator[str]:
    """Every link of the tree."""
    names = contents.table["file"].to_pylist()
    for folder, rows in tree_folders(contents.table).items():
        yield from (f"{TREE_NAME}/{folder}/{names[row]}" for row in rows)


def loose_lists(contents: Contents) -> list[str]:
    """The label files, one per folder of audio."""
    names = (folder.rpartition("/")[2] for folder in tree_folders(contents.table))
    return [f"{TREE_NAME}/{LABELS}/{name}.txt" for name in names]


LAYOUT = Layout(plan, write_unit, write_loose, loose_audio, loose_lists, locations)
