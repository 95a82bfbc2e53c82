"""Counting, decoding and hashing everything that was published."""

import errno
import hashlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.atomic import publish_json
from codecfake.manifests.derived import MANIFEST
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.reasons import Reason
from codecfake.manifests.records import DamagedFileError, read_json
from codecfake.pipeline.audio import refuse_oversized
from codecfake.pipeline.by_hand import is_by_hand
from codecfake.pipeline.conditions.checking import check_manifest, derived_stores
from codecfake.pipeline.described_damage import described_damage
from codecfake.pipeline.devices import cpu_count
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shard_check import check_shard, describe
from codecfake.pipeline.shard_store import drafts, latest_items, published_shards, shard_path
from codecfake.pipeline.source import SOURCE
from codecfake.pipeline.source_check import unknown_utterances
from codecfake.pipeline.split_audio import stale_audio
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

    @property
    def is_by_hand(self) -> bool:
        """Whether no command mends it."""
        return is_by_hand(self.problem)


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
    missing = [name for name in planned if name not in present]
    damage: list[Damage] = []
    with ThreadPoolExecutor(max(READERS, cpu_count())) as pool:
        tables = []
        for table, problems in pool.map(partial(check_shard, run_dir), shards):
            tables.append(table)
            damage += [Damage(path, problem) for path, problem in problems]
        unreadable = {shard for shard, table in zip(shards, tables, strict=True) if not table.num_rows}
        absent = unreadable | {shard_path(run_dir, *name) for name in missing}
        items, derived = latest_items(shards, tables), []
        stale = [Damage(path, problem) for path, problem in _check_references(run_dir, items, splits, absent)]
        for table, problems in pool.map(partial(check_shard, run_dir), derived_shards):
            derived.append(_anonymous(table))
            damage += [Damage(path, problem) for path, problem in problems]
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
    damaged = {run_dir / entry.path for entry in damage}
    damage += [entry for entry in stale if run_dir / entry.path / MANIFEST not in damaged]
    for split, store in stores:
        if split / MANIFEST not in damaged:  # nothing of the setting is wrong once that is back
            damage += [Damage(path, problem) for path, problem in check_manifest(run_dir, split, store)]
    report = VerifyReport(
        shards=len(shards) + len(derived_shards),
        missing_shards=tuple(f"{codec}/{shard}" for codec, shard in missing),
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


def _check_references(
    run_dir: Path, items: "pa.Table", splits: Sequence[Path], absent: Collection[Path]
) -> Iterator[tuple[str, str]]:
    """What names the audio of a run, or is named by it: splits, and the source manifest."""
    if problem := unknown_utterances(run_dir, items):
        yield SOURCE, problem
    again = {shard.relative_to(run_dir).as_posix() for shard in absent}
    for split in splits:
        if problem := stale_audio(split, items, again):
            yield split.relative_to(run_dir).as_posix(), problem


def _anonymous(items: "pa.Table") -> "pa.Table":
    """Rows of processed files without codec and utterance, so that no retry redoes what they were made from."""
    import pyarrow as pa

    blank = pa.repeat("", len(items))
    for name in ("codec", "utterance_id"):
        position = items.schema.get_field_index(name)
        items = items.set_column(position, items.schema.field(position), blank)
    return items


def _check_files(run_dir: Path, monitor: Monitor, rows: "pa.RecordBatch") -> list[Damage]:
    damage = []
    for row in rows.to_pylist():
        monitor.raise_if_stopped()
        if problem := _problem_of(run_dir / row["path"], row):
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
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                refuse_oversized(sound)
                samples, sample_rate = len(sound.read(sound.frames, dtype="int16")), sound.samplerate
    except (OSError, soundfile.SoundFileError) as error:
        refuse_exhaustion(error)
        return describe(error)
    if (samples, sample_rate) != (row["samples"], row["sample_rate"]):
        return f"{samples} samples at {sample_rate} Hz, not as in the manifest"
    return ""
