"""Counting, decoding and hashing everything that was published."""

import errno
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.atomic import publish_json
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.reasons import Reason
from codecfake.manifests.records import DamagedFileError, read_json
from codecfake.manifests.schema import item_schema
from codecfake.pipeline.conditions.checking import check_manifest, derived_stores
from codecfake.pipeline.described_damage import described_damage
from codecfake.pipeline.devices import cpu_count
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.object_store import is_plain
from codecfake.pipeline.shard_store import (
    AUDIO,
    ITEMS,
    RECORD,
    drafts,
    latest_items,
    published_shards,
    read_record,
    read_shard_items,
)
from codecfake.pipeline.splitting import current_splits
from codecfake.pipeline.tree_check import check_tree

if TYPE_CHECKING:
    import pyarrow as pa

SAVED_AS = "verify.json"
WRITING_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
"""What a finished run on a read-only disk says; it can be checked all the same."""
READERS = 8
"""At least so many files are read at once: on few cores too, one waits for the disk while another is hashed."""

FILES_PER_TASK = 64
CHECKED_COLUMNS = ["codec", "utterance_id", "path", "samples", "sample_rate", "sha256"]


@dataclass(frozen=True)
class Damage:
    """Something published that is not as it was published."""

    path: str
    """Relative to the run folder."""
    problem: str
    codec: str = ""
    utterance_id: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """What was checked, and what is wrong."""

    shards: int
    missing_shards: tuple[str, ...]
    """Planned, not published."""
    files: int
    seconds: float
    """Seconds of audio decoded."""
    splits: int
    unpublished: tuple[str, ...]
    """Drafts that a killed run left; the next build clears them away."""
    damage: tuple[Damage, ...]

    @property
    def is_whole(self) -> bool:
        """Whether everything planned is there and as it was published."""
        return not self.damage and not self.missing_shards


def verify(run_dir: Path, planned: Sequence[tuple[str, str]], monitor: Monitor) -> VerifyReport:
    """Check every published shard, split and robustness condition, and write the report into the run folder.

    Args:
        run_dir: The run folder.
        planned: Codec and id of every shard of the plan.
        monitor: Told about the progress.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    shards = published_shards(run_dir)
    splits = current_splits(run_dir)
    stores = [(split, store) for split in splits for store in derived_stores(split)]
    derived_shards = [shard for _, store in stores for shard in published_shards(store)]
    present = {(shard.parent.name, shard.name) for shard in shards}
    damage: list[Damage] = []
    with ThreadPoolExecutor(max(READERS, cpu_count())) as pool:
        tables = []
        for table, problems in pool.map(partial(_check_shard, run_dir), shards):
            tables.append(table)
            damage += problems
        items, derived = latest_items(shards, tables), []
        for table, problems in pool.map(partial(_check_shard, run_dir), derived_shards):
            derived.append(_anonymous(table))
            damage += problems
        items = pa.concat_tables([items, *derived])
        items = items.filter(items["sha256"].is_valid())
        monitor.begin("Verifying", len(items), "files")
        parts = items.select(CHECKED_COLUMNS).to_batches(FILES_PER_TASK)
        for problems in pool.map(partial(_check_files, run_dir, monitor), parts):
            damage += problems
        monitor.end()
    for path, problem in described_damage(run_dir):
        damage.append(Damage(path.relative_to(run_dir).as_posix(), problem))
    for split in splits:
        damage += [Damage(path, problem) for path, problem in check_tree(run_dir, split)]
    for split, store in stores:
        damage += [Damage(path, problem) for path, problem in check_manifest(run_dir, split, store)]
    report = VerifyReport(
        shards=len(shards) + len(derived_shards),
        missing_shards=tuple(f"{codec}/{shard}" for codec, shard in planned if (codec, shard) not in present),
        files=len(items),
        seconds=pc.sum(items["seconds"]).as_py() or 0.0,
        splits=len(splits),
        unpublished=tuple(path.relative_to(run_dir).as_posix() for path in drafts(run_dir)),
        damage=tuple(damage),
    )
    try:
        publish_json(run_dir / SAVED_AS, asdict(report))
    except OSError as error:
        if error.errno not in WRITING_REFUSED:
            raise
        monitor.say(f"The report is not kept: {error}")
    return report


def read_damage(run_dir: Path) -> list[dict[str, Any]]:
    """The damaged audio files that the last `verify` found: rows with codec and utterance id."""
    path = run_dir / SAVED_AS
    if not path.is_file():
        return []
    again = f"codecfake verify {run_dir}"
    damage = read_json(path, {"damage": list}, next_step=again)["damage"]
    names = [field.name for field in fields(Damage)]
    for row in damage:
        if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in names):
            raise DamagedFileError(
                f"{path} is damaged: it holds {row!r:.80}", cause="it was changed since", next_step=again
            )
    return [row | {"reason": str(Reason.DAMAGED)} for row in damage if row["utterance_id"]]


def _check_shard(run_dir: Path, shard: Path) -> "tuple[pa.Table, list[Damage]]":
    """Read the rows of a shard, none if they are damaged, and look for files that are none of its own."""
    where = shard.relative_to(run_dir).as_posix()
    items, damaged = _read_shard(shard)
    if damaged:
        name, problem = damaged
        return items, [Damage(f"{where}/{name}", problem)]
    if misplaced := _misplaced(run_dir, shard, items):
        return item_schema().empty_table(), [Damage(where, misplaced)]
    names = {path.name for path in (shard / AUDIO).glob("*")}
    strangers = sorted(names - {Path(path).name for path in items["path"].to_pylist() if path})
    return items, [Damage(f"{where}/{AUDIO}/{name}", "no row of the shard names it") for name in strangers]


def _misplaced(run_dir: Path, shard: Path, items: "pa.Table") -> str:
    """Tell a shard that was copied or renamed from one that was published in its place."""
    import pyarrow.compute as pc

    record, place = read_record(shard), shard
    if (record["codec"], record["shard"]) != (shard.parent.name, shard.name):
        place = shard.parents[1] / record["codec"] / record["shard"]
    paths = items["path"].drop_null()
    inside = f"{shard.relative_to(run_dir).as_posix()}/{AUDIO}/"
    strangers = paths.filter(pc.invert(pc.starts_with(paths, inside)))
    if place == shard and 0 < len(paths) == len(strangers) and is_plain(strangers[0].as_py()):
        place = run_dir / strangers[0].as_py().partition(f"/{AUDIO}/")[0]
    if place == shard:
        return ""
    origin = os.path.relpath(place, run_dir)
    if place.exists():
        return f"a copy of {origin}; move it out of the run"
    return f"it was published as {origin}; rename it back"


def _anonymous(items: "pa.Table") -> "pa.Table":
    """Rows of processed files without codec and utterance, so that no retry redoes what they were made from."""
    import pyarrow as pa

    blank = pa.repeat("", len(items))
    for name in ("codec", "utterance_id"):
        position = items.schema.get_field_index(name)
        items = items.set_column(position, items.schema.field(position), blank)
    return items


def record_damage(shard: Path) -> tuple[str, str] | None:
    """Name what is damaged of the two files that describe a shard, and what is wrong with it."""
    return _read_shard(shard)[1]


def _read_shard(shard: Path) -> "tuple[pa.Table, tuple[str, str] | None]":
    """The rows of a shard, none if one of the files that describe it is damaged, with what is wrong then."""
    none = item_schema().empty_table()
    try:
        published_digest = read_record(shard)["items_sha256"]
    except (OSError, CodecfakeError) as error:
        refuse_exhaustion(error)
        return none, (RECORD, _describe(error))
    try:
        if file_sha256(shard / ITEMS) != published_digest:
            return none, (ITEMS, "its sha256 is not that of shard.json")
        return read_shard_items(shard), None
    except (OSError, ValueError, CodecfakeError) as error:
        refuse_exhaustion(error)
        return none, (ITEMS, _describe(error))


def _check_files(run_dir: Path, monitor: Monitor, rows: "pa.RecordBatch") -> list[Damage]:
    damage = []
    for row in rows.to_pylist():
        monitor.raise_if_stopped()
        problem = "its path leads out of the run folder"
        if is_plain(row["path"]):
            problem = _problem_of(run_dir / row["path"], row)
        if problem:
            damage.append(Damage(row["path"], problem, row["codec"], row["utterance_id"]))
        monitor.advance(1)
    return damage


def _problem_of(path: Path, row: dict[str, Any]) -> str:
    import soundfile

    try:
        with open_plain(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != row["sha256"]:
                return "its sha256 is not that of the manifest"
            file.seek(0)
            pcm, sample_rate = soundfile.read(file.fileno(), dtype="int16", closefd=False)
    except (OSError, soundfile.LibsndfileError) as error:
        refuse_exhaustion(error)
        return _describe(error)
    if (len(pcm), sample_rate) != (row["samples"], row["sample_rate"]):
        return f"{len(pcm)} samples at {sample_rate} Hz, not as in the manifest"
    return ""


def _describe(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is gone"
    return f"it cannot be read: {error.what if isinstance(error, CodecfakeError) else error}"
