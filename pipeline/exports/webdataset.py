"""WebDataset: tar files with ``KEY.wav`` (or the ending that the file has) and ``KEY.json`` side by side."""

import json
from pathlib import Path

import numpy as np

from codecfake.pipeline.exports.contents import Contents, about
from codecfake.pipeline.exports.groups import group_rows
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.naming import ending_of, stem_of
from codecfake.pipeline.exports.tars import open_tar
from codecfake.pipeline.exports.units import Unit, cut
from codecfake.pipeline.monitor import Monitor

SHARD_BYTES = 1e9
TRAIN = "train"


def plan(contents: Contents) -> list[Unit]:
    """Shards per group; those of train hold a seeded mixture, since readers shuffle only what is near."""
    units = []
    for group in group_rows(contents):
        mixed = np.random.default_rng(0).permutation(group.rows) if group.name == TRAIN else group.rows
        parts = cut(contents, mixed, SHARD_BYTES)
        units += [
            Unit(f"codecfake-{group.name}-{at:06d}.tar", group.name, part) for at, part in enumerate(parts)
        ]
    return units


def write_unit(contents: Contents, out: Path, unit: Unit, path: Path, monitor: Monitor) -> None:
    """Write a shard."""
    with open_tar(path) as tar:
        for row, content in contents.read(unit.rows, monitor):
            # A key ends at the first dot of a name.
            key = stem_of(row["file"]).replace(".", "%2E")
            tar.add(f"{key}{ending_of(row['path'])}", content)
            tar.add(f"{key}.json", json.dumps(about(row), ensure_ascii=False).encode())


LAYOUT = Layout(plan, write_unit)
