"""Holding what describes a published shard, and what lies in its folder, against each other."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.schema import item_schema
from codecfake.pipeline.by_hand import MOVE_OUT_OF_RUN, RENAME_BACK
from codecfake.pipeline.shard_store import (
    AUDIO,
    ITEMS,
    RECORD,
    has_published_items,
    read_record,
    read_shard_items,
)

if TYPE_CHECKING:
    import pyarrow as pa

Problem = tuple[str, str]
"""A path, and what is wrong with it."""


def check_shard(run_dir: Path, shard: Path) -> "tuple[pa.Table, list[Problem]]":
    """Read the rows of a shard, none if they are damaged, and look for files that are none of its own.

    Args:
        run_dir: The run folder.
        shard: Folder of the shard.

    Returns:
        The rows, and problems with paths relative to the run folder.
    """
    where = shard.relative_to(run_dir).as_posix()
    items, damaged = _read_shard(shard)
    if damaged:
        name, problem = damaged
        return items, [(f"{where}/{name}", problem)]
    if misplaced := _misplaced(run_dir, shard, items):
        return item_schema().empty_table(), [(where, misplaced)]
    # Not what file managers and NFS leave.
    names = {path.name for path in (shard / AUDIO).glob("[!.]*")}
    strangers = sorted(names - {Path(path).name for path in items["path"].to_pylist() if path})
    unnamed = f"no row of the shard names it; {MOVE_OUT_OF_RUN}"
    return items, [(f"{where}/{AUDIO}/{name}", unnamed) for name in strangers]


def record_damage(shard: Path) -> Problem | None:
    """Name what is damaged of the two files that describe a shard, and what is wrong with it."""
    return _read_shard(shard)[1]


def describe(error: Exception) -> str:
    """What is wrong with a file that an error is about."""
    if isinstance(error, FileNotFoundError):
        return "it is gone"
    return f"it cannot be read: {error.what if isinstance(error, CodecfakeError) else error}"


def _misplaced(run_dir: Path, shard: Path, items: "pa.Table") -> str:
    """Tell a shard that was copied or renamed from one that was published in its place."""
    import pyarrow.compute as pc

    record, place = read_record(shard), shard
    if (record["codec"], record["shard"]) != (shard.parent.name, shard.name):
        place = shard.parents[1] / record["codec"] / record["shard"]
    paths = items["path"].drop_null()
    inside = f"{shard.relative_to(run_dir).as_posix()}/{AUDIO}/"
    strangers = paths.filter(pc.invert(pc.starts_with(paths, inside)))
    if place == shard and 0 < len(paths) == len(strangers):
        place = run_dir / strangers[0].as_py().partition(f"/{AUDIO}/")[0]
    if place == shard:
        return ""
    origin = os.path.relpath(place, run_dir)
    if place.exists():
        return f"a copy of {origin}; {MOVE_OUT_OF_RUN}"
    return f"it was published as {origin}; {RENAME_BACK}"


def _read_shard(shard: Path) -> "tuple[pa.Table, Problem | None]":
    """The rows of a shard, none if one of the files that describe it is damaged, with what is wrong then."""
    none = item_schema().empty_table()
    try:
        read_record(shard)
    except (OSError, CodecfakeError) as error:
        refuse_exhaustion(error)
        return none, (RECORD, describe(error))
    try:
        if not has_published_items(shard):
            return none, (ITEMS, "its sha256 is not that of shard.json")
        return read_shard_items(shard), None
    except (OSError, ValueError, CodecfakeError) as error:
        refuse_exhaustion(error)
        return none, (ITEMS, describe(error))
