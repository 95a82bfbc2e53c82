"""Publishing shards, and reading what was published.

A shard is a folder ``shards/<codec>/<id>`` with ``audio/``, ``items.parquet`` and ``shard.json``. It is
written under a temporary name beside its place, checked, given ``shard.json`` last and renamed; so a shard that
is there is whole, and readers look at nothing else.
"""

import errno
import hashlib
import io
import shutil
import wave
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.manifests.atomic import (
    TEMPORARY_PREFIX,
    flush_all_to_disk,
    flush_to_disk,
    publish_json,
    temporary_sibling,
)
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.paths import refuse_escapes
from codecfake.manifests.records import DamagedFileError, read_json, read_parquet
from codecfake.manifests.schema import check_schema, item_schema

if TYPE_CHECKING:
    import pyarrow as pa

SHARDS = "shards"
AUDIO = "audio"
ITEMS = "items.parquet"
RECORD = "shard.json"
RETRY_PREFIX = "retry-"
NUMBER = (int, float)
RECORD_FIELDS = {
    "codec": str,
    "shard": str,
    "items_sha256": str,
    "source_seconds": NUMBER,
    "wall_seconds": NUMBER,
}
"""What every ``shard.json`` says, and code here relies on."""
WHEN_DAMAGED = "codecfake verify RUN"


class ShardDamaged(Exception):
    """What was written is not what was meant; the shard is not published."""


def shard_path(run_dir: Path, codec: str, shard_id: str) -> Path:
    """Where a shard is published."""
    return run_dir / SHARDS / codec / shard_id


def is_published(run_dir: Path, codec: str, shard_id: str) -> bool:
    """Whether a shard is there, whole."""
    return (shard_path(run_dir, codec, shard_id) / RECORD).is_file()


@contextmanager
def shard_draft(run_dir: Path, codec: str, shard_id: str) -> Iterator[Path]:
    """Yield a temporary folder beside a shard's place; it is removed unless it was published."""
    place = shard_path(run_dir, codec, shard_id)
    draft = temporary_sibling(place)
    (draft / AUDIO).mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def publish_shard(
    draft: Path, run_dir: Path, codec: str, shard_id: str, items: Sequence[Mapping[str, Any]], record: Mapping
) -> None:
    """Check a draft, flush it to disk, complete it and rename it to its place.

    Args:
        draft: A folder of ``shard_draft`` whose audio is written; nobody flushed it yet.
        run_dir: The run folder.
        codec: Codec id, or "real".
        shard_id: Id of the shard.
        items: One row per utterance, in the item schema.
        record: What ``shard.json`` is to say beside counts and digest.

    Raises:
        ShardDamaged: If a file is not what its row says, or a file is there that no row names.
    """
    flush_all_to_disk(_check_files(draft, items))
    complete_shard(draft, run_dir, codec, shard_id, items, record)


def complete_shard(
    draft: Path, run_dir: Path, codec: str, shard_id: str, items: Sequence[Mapping[str, Any]], record: Mapping
) -> None:
    """Publish a draft whose audio is right and on disk; takes what `publish_shard` takes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sorted(items, key=lambda row: row["utterance_id"])
    table = pa.Table.from_pylist(list(rows), schema=item_schema())
    check_schema(table, item_schema(), f"shard {codec}/{shard_id}")
    pq.write_table(table, draft / ITEMS)
    flush_to_disk(draft / ITEMS)
    flush_to_disk(draft / AUDIO)
    counts = {
        "utterances": len(rows),
        "published": sum(row["reason"] is None for row in rows),
        "items_sha256": file_sha256(draft / ITEMS),
    }
    publish_json(draft / RECORD, {"codec": codec, "shard": shard_id, **counts, **record})
    place = shard_path(run_dir, codec, shard_id)
    try:
        draft.rename(place)
    except OSError as error:
        # Only whole shards are ever renamed to places; is_published may not see yet what another machine did.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) and not is_published(run_dir, codec, shard_id):
            raise
    flush_to_disk(place.parent)


def _check_files(draft: Path, items: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Hold the files of a draft against their rows, and give them."""
    expected = {row["file"]: row for row in items if row["reason"] is None}
    found = {path.name for path in (draft / AUDIO).iterdir()}
    if found != expected.keys():
        raise ShardDamaged(f"{draft}: files and rows differ: {sorted(found ^ expected.keys())[:5]}")
    paths = [draft / AUDIO / name for name in expected]
    for path, row in zip(paths, expected.values(), strict=True):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise ShardDamaged(f"{path}: the bytes on disk are not those that were written")
        with wave.open(io.BytesIO(content)) as header:
            length = header.getnframes(), header.getframerate()
        if length != (row["samples"], row["sample_rate"]):
            raise ShardDamaged(f"{path}: {length[0]} samples at {length[1]} Hz were written")
    return paths


def published_shards(run_dir: Path) -> list[Path]:
    """Folders of all published shards, in the order of codec and id."""
    return sorted(
        path.parent for path in (run_dir / SHARDS).glob(f"*/*/{RECORD}") if not _is_draft(path.parent)
    )


def drafts(run_dir: Path) -> list[Path]:
    """Folders that a killed run left unpublished, or that are no whole shards any more: their record is gone."""
    found = (path for path in (run_dir / SHARDS).glob("*/*") if path.is_dir())
    return sorted(path for path in found if _is_draft(path) or not (path / RECORD).is_file())


def _is_draft(folder: Path) -> bool:
    return folder.name.startswith(TEMPORARY_PREFIX)


def read_record(shard: Path) -> dict[str, Any]:
    """Read ``shard.json`` of a published shard."""
    return read_json(shard / RECORD, RECORD_FIELDS, next_step=WHEN_DAMAGED)


def read_shard_items(shard: Path) -> "pa.Table":
    """Read the rows of one published shard.

    Raises:
        CodecfakeError: If it cannot be read, or names something outside of the run.
    """
    table = read_parquet(shard / ITEMS, schema=item_schema(), next_step=WHEN_DAMAGED)
    check_schema(table, item_schema(), str(shard / ITEMS))
    refuse_escapes(table, paths=["path"], names=["file", "codec"])
    return table


def read_items(run_dir: Path) -> "pa.Table":
    """Read the rows of all published shards, one per utterance and codec as `latest_items` picks them.

    Raises:
        DamagedFileError: If the rows of a shard are not those that were published; a split of them would name audio
            that never was.
    """
    shards = published_shards(run_dir)
    with ThreadPoolExecutor() as pool:
        return latest_items(shards, list(pool.map(_read_whole_items, shards)))


def _read_whole_items(shard: Path) -> "pa.Table":
    items = read_shard_items(shard)
    if not has_published_items(shard):
        raise DamagedFileError(
            f"{shard / ITEMS} is damaged: its sha256 is not that of {RECORD}",
            cause="it was changed since it was written",
            next_step=WHEN_DAMAGED,
        )
    return items


def has_published_items(shard: Path) -> bool:
    """Whether the rows of a shard are the bytes that its record names."""
    return file_sha256(shard / ITEMS) == read_record(shard)["items_sha256"]


def latest_items(shards: Sequence[Path], tables: "Sequence[pa.Table]") -> "pa.Table":
    """Join the rows of published shards, in their order; where a retry redid an utterance, its row counts.

    Args:
        shards: Folders of the shards.
        tables: The rows of each.

    Returns:
        One row per utterance and codec: the latest with audio, else the latest. Where a retry made the very bytes
        of an earlier row, that row counts: they are put back there.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_retry = [shard.name.startswith(RETRY_PREFIX) for shard in shards]
    table = pa.concat_tables(tables) if tables else item_schema().empty_table()
    if not any(is_retry):
        return table
    retried = _codecs_and_utterances(pa.concat_tables(compress(tables, is_retry))).combine_chunks()
    is_retried = np.asarray(pc.is_in(_codecs_and_utterances(table), value_set=retried))
    shard_of_row = np.repeat(np.arange(len(shards)), [len(part) for part in tables])
    rows = np.flatnonzero(is_retried)
    names = [shards[index].name for index in shard_of_row[rows]]
    is_kept = ~is_retried
    is_kept[rows[_latest_rows(table.take(rows), names)]] = True
    return table.filter(pa.array(is_kept))


def _codecs_and_utterances(table: "pa.Table") -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(table["codec"], table["utterance_id"], "/")


def _latest_rows(table: "pa.Table", shard_ids: list[str]) -> list[int]:
    """Pick a row per codec and utterance; a retry's id sorts behind that of every shard before it."""
    rows = table.select(["codec", "utterance_id", "reason", "sha256", "source_sha256"]).to_pylist()

    def rank(index: int) -> tuple[bool, bool, str]:
        is_retry = shard_ids[index].startswith(RETRY_PREFIX)
        return rows[index]["reason"] is None, is_retry, shard_ids[index]

    best: dict[tuple[str, str], int] = {}
    first: dict[tuple[str | None, ...], int] = {}
    for index in sorted(range(len(rows)), key=rank):
        row = rows[index]
        counts = first.setdefault(tuple(row.values()), index) if row["sha256"] else index
        best[row["codec"], row["utterance_id"]] = counts
    return sorted(best.values())
