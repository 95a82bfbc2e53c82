"""Publishing shards, and reading what was published.

A shard is a folder ``shards/<codec>/<id>`` with ``audio/``, ``items.parquet`` and ``shard.json``. It is
written under a temporary name beside its place, checked, given ``shard.json`` last and renamed; so a shard that
is there is whole, and readers look at nothing else.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.atomic import TEMPORARY_PREFIX, flush_to_disk, publish_json, temporary_sibling
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.schema import check_schema, item_schema

if TYPE_CHECKING:
    import pyarrow as pa

SHARDS = "shards"
AUDIO = "audio"
ITEMS = "items.parquet"
RECORD = "shard.json"
RETRY_PREFIX = "retry-"


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
    """Check a draft, complete it and rename it to its place.

    Args:
        draft: A folder of ``shard_draft`` whose audio is written and flushed.
        run_dir: The run folder.
        codec: Codec id, or "real".
        shard_id: Id of the shard.
        items: One row per utterance, in the item schema.
        record: What ``shard.json`` is to say beside counts and digest.

    Raises:
        ShardDamaged: If a file is not what its row says, or a file is there that no row names.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_files(draft, items)
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
    except OSError:
        if not is_published(run_dir, codec, shard_id):
            raise
    flush_to_disk(place.parent)


def _check_files(draft: Path, items: Sequence[Mapping[str, Any]]) -> None:
    import soundfile

    expected = {row["file"]: row for row in items if row["reason"] is None}
    found = {path.name for path in (draft / AUDIO).iterdir()}
    if found != expected.keys():
        raise ShardDamaged(f"{draft}: files and rows differ: {sorted(found ^ expected.keys())[:5]}")
    for name, row in expected.items():
        path = draft / AUDIO / name
        header = soundfile.info(path)
        if (header.frames, header.samplerate) != (row["samples"], row["sample_rate"]):
            raise ShardDamaged(f"{path}: {header.frames} samples at {header.samplerate} Hz were written")
        if file_sha256(path) != row["sha256"]:
            raise ShardDamaged(f"{path}: the bytes on disk are not those that were written")


def published_shards(run_dir: Path) -> list[Path]:
    """Folders of all published shards, in the order of codec and id."""
    return sorted(
        path.parent for path in (run_dir / SHARDS).glob(f"*/*/{RECORD}") if not _is_draft(path.parent)
    )


def drafts(run_dir: Path) -> list[Path]:
    """Folders that a killed run left unpublished."""
    return sorted(path for path in (run_dir / SHARDS).glob(f"*/{TEMPORARY_PREFIX}*"))


def _is_draft(folder: Path) -> bool:
    return folder.name.startswith(TEMPORARY_PREFIX)


def read_record(shard: Path) -> dict[str, Any]:
    """Read ``shard.json`` of a published shard."""
    return json.loads((shard / RECORD).read_text(encoding="utf-8"))


def read_shard_items(shard: Path) -> "pa.Table":
    """Read the rows of one published shard."""
    import pyarrow.parquet as pq

    return pq.read_table(shard / ITEMS, schema=item_schema())


def read_items(run_dir: Path) -> "pa.Table":
    """Read the rows of all published shards, one per utterance and codec.

    Where a retry redid an utterance, its row counts: the latest one with audio, else the latest.
    """
    import pyarrow as pa

    shards = published_shards(run_dir)
    with ThreadPoolExecutor() as pool:
        tables = list(pool.map(read_shard_items, shards))
    table = pa.concat_tables(tables) if tables else item_schema().empty_table()
    if not any(shard.name.startswith(RETRY_PREFIX) for shard in shards):
        return table
    lengths = [len(part) for part in tables]
    names = [shard.name for shard, length in zip(shards, lengths, strict=True) for _ in range(length)]
    return table.take(_latest_rows(table, names))


def _latest_rows(table: "pa.Table", shard_ids: list[str]) -> list[int]:
    """Pick a row per codec and utterance; a retry's id sorts behind that of every shard before it."""
    best: dict[tuple[str, str], tuple[tuple[bool, bool, str], int]] = {}
    columns = (table["codec"].to_pylist(), table["utterance_id"].to_pylist(), table["reason"].to_pylist())
    for index, (codec, utterance_id, reason) in enumerate(zip(*columns, strict=True)):
        shard_id = shard_ids[index]
        rank = (reason is None, shard_id.startswith(RETRY_PREFIX), shard_id)
        key = (codec, utterance_id)
        if key not in best or rank > best[key][0]:
            best[key] = (rank, index)
    return sorted(index for _, index in best.values())
