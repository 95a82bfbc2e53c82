"""Deriving the robustness conditions of a split: shard by shard, what is published is not done again."""

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.dataset import condition_rows
from codecfake.manifests.derived import MANIFEST, derived_file, derived_folder, derived_name
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.paths import refuse_escapes
from codecfake.manifests.reasons import Reason
from codecfake.manifests.records import read_parquet
from codecfake.manifests.schema import check_schema, dataset_schema
from codecfake.pipeline.conditions.deriving import Deriver, Row
from codecfake.pipeline.conditions.processing import Setting
from codecfake.pipeline.conditions.store import (
    derived_table,
    evaluated_rows,
    publish_manifest,
    start_store,
)
from codecfake.pipeline.devices import cpu_count
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.provenance import now
from codecfake.pipeline.retry_numbers import next_number
from codecfake.pipeline.run_lock import run_lock
from codecfake.pipeline.shard_store import (
    AUDIO,
    RETRY_PREFIX,
    drafts,
    is_published,
    publish_shard,
    published_shards,
    read_items,
    shard_draft,
    shard_path,
)
from codecfake.pipeline.shards import Shard, cut_shards
from codecfake.pipeline.splitting import SPLITS_FOLDER

if TYPE_CHECKING:
    import pyarrow as pa

ROW_COLUMNS = [
    "file",
    "label",
    "codec",
    "conditions",
    "utterance_id",
    "speaker",
    "path",
    "samples",
    "seconds",
    "sample_rate",
    "sha256",
]
UNREAD = (Reason.MISSING, Reason.UNREADABLE, Reason.DAMAGED)
"""Why a file of the split was not processed that may be mended."""


@dataclass(frozen=True)
class DerivedSetting:
    """What a split holds of one setting."""

    setting: str
    folder: Path
    derived: int
    """Files that this call wrote."""
    kept: int
    """Files that were there."""
    quarantined: tuple[dict[str, Any], ...]
    """File, reason and message of everything that could not be processed."""
    conditions: dict[str, dict[str, int]]
    """Bona fide and fake files by condition."""
    clipped_files: int
    """Files with samples beyond full scale."""


def derive_conditions(
    run_dir: Path, split: str, settings: Sequence[Setting], chosen: Sequence[str] | None, monitor: Monitor
) -> list[DerivedSetting]:
    """Process the evaluation files of a split, bona fide and fake alike.

    A call that was stopped is finished by the same call. Files that were missing, unreadable or damaged are tried
    again by it; what else could not be processed stays quarantined.

    Args:
        run_dir: The run folder.
        split: Name of the split.
        settings: What to do to the files, one condition per setting and condition of the split.
        chosen: Conditions such as C1, or codecs such as F01; all when None.
        monitor: Told about the progress.

    Raises:
        CodecfakeError: If the split or a condition is not there, its manifest is damaged, or nothing at all could
            be processed.
        Stopped: If the user asked to stop.
    """
    folder = run_dir / SPLITS_FOLDER / split
    with run_lock(run_dir, monitor.stop.set):
        clean = read_parquet(folder / MANIFEST, next_step=f"codecfake verify {run_dir}")
        check_schema(clean, dataset_schema(), str(folder / MANIFEST))
        refuse_escapes(clean, paths=["path"], names=["file", "codec", "conditions"])
        evaluated = evaluated_rows(clean, None).select(ROW_COLUMNS)
        rows = evaluated_rows(clean, chosen).select(ROW_COLUMNS).to_pylist()
        _refuse_taken_names(clean, settings)
        voices = _bona_fide(evaluated)
        derivers = [Deriver(run_dir, setting, voices) for setting in settings]
        return [_derive(deriver, folder, clean, evaluated, rows, monitor) for deriver in derivers]


def _bona_fide(rows: "pa.Table") -> list[Row]:
    import pyarrow.compute as pc

    return rows.filter(pc.equal(rows["label"], Label.BONA_FIDE.published_name)).to_pylist()


def _cut(rows: Sequence[Row], evaluated: "pa.Table", prefix: str = "") -> list[Shard]:
    """Cut files into shards, the same in every call: those that belong to the same conditions are chosen together."""
    sets = {tuple(names) for names in evaluated["conditions"].to_pylist()}
    numbers = {names: number for number, names in enumerate(sorted(sets))}
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["codec"], numbers[tuple(row["conditions"])]), []).append(row)
    return [
        shard
        for (codec, number), members in groups.items()
        for shard in cut_shards(codec, members, f"{prefix}{number:03d}-")
    ]


def _derive(
    deriver: Deriver,
    split: Path,
    clean: "pa.Table",
    evaluated: "pa.Table",
    rows: Sequence[Row],
    monitor: Monitor,
) -> DerivedSetting:
    setting = deriver.setting
    if setting.needs_other_voices and len({row["speaker"] for row in deriver.voices}) < 2:
        raise CodecfakeError(f"{setting.name} needs bona fide evaluation files of two speakers")
    if len({derived_file(row["file"], setting.name) for row in rows}) != len(rows):
        raise CodecfakeError(f"{split}: two evaluation files differ in their ending alone")
    store = derived_folder(split, setting.name)
    start_store(store, split, setting, max(evaluated["sample_rate"].to_pylist()))
    for leftover in drafts(store):
        shutil.rmtree(leftover, ignore_errors=True)
    todo = [shard for shard in _cut(rows, evaluated) if not is_published(store, shard.codec, shard.id)]
    todo += _cut(_unread(store, setting, rows), evaluated, f"{RETRY_PREFIX}{next_number(store):03d}-")
    monitor.begin(setting.name, round(sum(row["seconds"] for shard in todo for row in shard.utterances)), "s")
    with ThreadPoolExecutor(cpu_count()) as pool:
        derived = sum(_derive_shard(deriver, store, shard, pool, monitor) for shard in todo)
    monitor.end()
    table = derived_table(store, setting.name, clean)
    publish_manifest(store, table)
    return _sum_up(store, setting.name, table, derived)


def _unread(store: Path, setting: Setting, rows: Sequence[Row]) -> list[Row]:
    """The files that an earlier call could not read: they may have been mended since."""
    items = read_items(store)
    reasons = dict(zip(items["file"].to_pylist(), items["reason"].to_pylist(), strict=True))
    return [row for row in rows if reasons.get(derived_file(row["file"], setting.name)) in UNREAD]


def _derive_shard(
    deriver: Deriver,
    store: Path,
    shard: Shard,
    pool: ThreadPoolExecutor,
    monitor: Monitor,
) -> int:
    """Publish a shard, of a retry only what can be read now; give how many rows it has."""
    began = time.monotonic()
    place = shard_path(store, shard.codec, shard.id).relative_to(deriver.run_dir) / AUDIO
    with shard_draft(store, shard.codec, shard.id) as draft:

        def derive(row: Row) -> dict[str, Any]:
            monitor.raise_if_stopped()
            item = deriver.derive(row, draft / AUDIO)
            monitor.advance(row["seconds"])
            return item if item["reason"] else item | {"path": (place / item["file"]).as_posix()}

        items = list(pool.map(derive, shard.utterances))
        if shard.id.startswith(RETRY_PREFIX):
            items = [item for item in items if item["reason"] not in UNREAD]
        if not items:
            return 0
        if not published_shards(store):
            _refuse_hopeless(deriver.setting, items)
        record = {
            "source_seconds": round(sum(row["seconds"] for row in shard.utterances), 3),
            "wall_seconds": round(time.monotonic() - began, 3),
            "published_at": now(),
        }
        publish_shard(draft, store, shard.codec, shard.id, items, record)
        return len(items)


def _refuse_hopeless(setting: Setting, items: Sequence[dict[str, Any]]) -> None:
    """Blame the encoder, not the files, when it fails on every one of them."""
    if all(item["reason"] == Reason.CODEC_ERROR for item in items):
        raise CodecfakeError(
            f"{setting.name} failed on each of {len(items):,} files, the first of them: {items[0]['message']}",
            cause="the encoder of this machine does not work",
            next_step="codecfake conditions --list",
        )


def _refuse_taken_names(clean: "pa.Table", settings: Sequence[Setting]) -> None:
    """Refuse a setting under which a condition would be called as another one of the split is."""
    names = set(condition_rows(clean))
    for setting in settings:
        if taken := sorted(names & {derived_name(name, setting.name) for name in names}):
            raise CodecfakeError(f"the split has a condition {taken[0]} already, of a codec of that name")


def _sum_up(store: Path, setting: str, table: "pa.Table", derived: int) -> DerivedSetting:
    items = read_items(store)
    failed = items.filter(items["reason"].is_valid()).select(["file", "reason", "message"]).to_pylist()
    labels = table["label"].combine_chunks()
    counts = {}
    for name, rows in condition_rows(table).items():
        found = Counter(labels.take(rows).to_pylist())
        counts[name] = {label.published_name: found[label.published_name] for label in Label}
    return DerivedSetting(
        setting=setting,
        folder=store,
        derived=derived,
        kept=len(items) - derived,
        quarantined=tuple(failed),
        conditions=counts,
        clipped_files=sum(count > 0 for count in items["clipped_samples"].to_pylist()),
    )
