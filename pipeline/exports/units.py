"""The files that an export consists of: cut by size, written one at a time, kept when they are there."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecfake.manifests.atomic import published
from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.monitor import Monitor

OVERHEAD_BYTES = 3_072
"""What a container adds to an utterance at most: headers, padding, a description."""


@dataclass(frozen=True)
class Unit:
    """One file of an export that holds many utterances."""

    path: str
    """Relative to the export."""
    folder: str
    """What it is a part of: a group, or a folder of the tree."""
    rows: np.ndarray
    """Rows of the contents, shape (N,), in their order in the file."""


def cut(contents: Contents, rows: np.ndarray, largest_bytes: float) -> list[np.ndarray]:
    """Cut rows into consecutive parts whose files stay below a size (an utterance is never cut)."""
    sizes = contents.audio_bytes[rows] + OVERHEAD_BYTES
    parts: list[np.ndarray] = []
    first, size = 0, 0
    for position, more in enumerate(sizes):
        if size + more > largest_bytes and position > first:
            parts.append(rows[first:position])
            first, size = position, 0
        size += int(more)
    return [*parts, rows[first:]] if len(rows) else []


def write_units(
    units: Sequence[Unit],
    missing: Collection[str],
    out: Path,
    write: Callable[[Unit, Path], None],
    monitor: Monitor,
) -> None:
    """Write the units that are not there yet; each appears under its name when it is whole.

    Args:
        units: All of them.
        missing: Paths of those to write.
        out: The export.
        write: Writes a unit to a temporary path, and counts its files with the monitor.
        monitor: Told about the progress.
    """
    monitor.begin("export", sum(len(unit.rows) for unit in units), "files")
    for unit in units:
        if unit.path not in missing:
            monitor.advance(len(unit.rows))
            continue
        with published(out / unit.path) as temporary:
            write(unit, temporary)
    monitor.end()
