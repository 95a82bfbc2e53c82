"""Putting audio that a retry made again back where it was, so that nothing that names it changes.

What a retry gives with the bytes that were recorded is as good as what was damaged: manifests, detectors and robustness
conditions stay valid. Rows are never changed; the damaged file is, atomically.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from codecfake.manifests.atomic import flush_to_disk
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.pipeline.object_store import is_plain
from codecfake.pipeline.shard_store import (
    AUDIO,
    RETRY_PREFIX,
    published_shards,
    read_items,
    read_shard_items,
    shard_draft,
)
from codecfake.pipeline.tree import link_file
from codecfake.pipeline.verification import read_damage

COLUMNS = ["codec", "utterance_id", "path", "sha256"]


def restore_audio(run_dir: Path, say: Callable[[str], None]) -> None:
    """Replace damaged audio by what a retry made of it with the same bytes; the caller holds the run lock.

    Args:
        run_dir: The run.
        say: Told how many files were put back.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    retries = [shard for shard in published_shards(run_dir) if shard.name.startswith(RETRY_PREFIX)]
    if not retries:
        return
    retries.sort(key=lambda shard: shard.name, reverse=True)
    tables = [read_shard_items(shard).select(COLUMNS) for shard in retries]
    items = read_items(run_dir).select(COLUMNS)
    retried = pa.concat_tables(tables)["utterance_id"].combine_chunks()
    rows = items.filter(pc.is_in(items["utterance_id"], value_set=retried)).to_pylist()
    wanted = {(row["codec"], row["utterance_id"]): row for row in rows}
    restored = 0
    for table in tables:
        for made in table.to_pylist():
            lost = wanted[made["codec"], made["utterance_id"]]
            if made["sha256"] and made["sha256"] == lost["sha256"]:
                restored += _restore(run_dir, made["path"], lost)
    if restored:
        say(f"Put {restored:,} files back in their places: they came out as they were")


def remaining_damage(run_dir: Path) -> list[dict[str, Any]]:
    """The damaged audio files that the last `verify` found, without those that are as they should be by now."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = read_damage(run_dir)
    if not found:
        return []
    items = read_items(run_dir).select(["path", "sha256"])
    paths = pa.array([row["path"] for row in found], pa.string())
    rows = items.filter(pc.is_in(items["path"], value_set=paths)).to_pylist()
    digests = {row["path"]: row["sha256"] for row in rows}
    return [
        row
        for row in found
        if row["path"] not in digests or not _is_whole(run_dir, row["path"], digests[row["path"]])
    ]


def _restore(run_dir: Path, made: str, lost: dict[str, Any]) -> bool:
    if made == lost["path"] or not is_plain(made):
        return False
    source, target = run_dir / made, run_dir / lost["path"]
    with suppress(OSError):
        if target.samefile(source):
            return False
    is_lost = is_plain(lost["path"]) and not _is_whole(run_dir, lost["path"], lost["sha256"])
    if not is_lost or not _is_whole(run_dir, made, lost["sha256"]):
        return False
    # In a draft of the shard, which the next build clears away if this one is killed.
    with shard_draft(run_dir, lost["codec"], target.parent.parent.name) as draft:
        link_file(source, draft / AUDIO / target.name)
        target.parent.mkdir(exist_ok=True)
        (draft / AUDIO / target.name).replace(target)
        flush_to_disk(target.parent)
    return True


def _is_whole(run_dir: Path, path: str, sha256: str) -> bool:
    try:
        return is_plain(path) and file_sha256(run_dir / path) == sha256
    except OSError as error:
        refuse_exhaustion(error)
        return False
