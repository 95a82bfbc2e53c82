"""Exporting a split of a run: resumable, with manifest, dataset card, Croissant metadata and checksums."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codecfake.manifests.atomic import TEMPORARY_PREFIX, publish_json, publish_text
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.exports import asvspoof, hugging_face, shar, tree, webdataset
from codecfake.pipeline.exports.card import CARD, LICENCES, write_card
from codecfake.pipeline.exports.contents import Contents, read_contents
from codecfake.pipeline.exports.croissant import CROISSANT, write_croissant
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.listing import MANIFEST, listing, write_manifest
from codecfake.pipeline.exports.units import Unit, write_units
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_lock import LOCK, run_lock

FORMATS = {
    "tree": tree.LAYOUT,
    "hf": hugging_face.LAYOUT,
    "webdataset": webdataset.LAYOUT,
    "shar": shar.LAYOUT,
    "asvspoof": asvspoof.LAYOUT,
}
RECORD = "export.json"
CHECKSUMS = "SHA256SUMS"
HASH_THREADS = 4


@dataclass(frozen=True)
class ExportReport:
    """What an export holds."""

    folder: Path
    format: str
    split: str
    is_new: bool
    """False if it was complete before."""
    files: int
    """Audio files, each counted once."""
    hours: float
    packed: int
    """Archives, shards or Parquet files."""
    packed_bytes: int


def export_run(run_dir: Path, out: Path, format_name: str, split: str, monitor: Monitor) -> ExportReport:
    """Write a split of a run in the format of another tool.

    A call that was stopped is finished by the same call; what is whole stays as it is.

    Args:
        run_dir: The run folder.
        out: Folder of the export, new or empty, or that of an earlier call.
        format_name: One of ``FORMATS``.
        split: Name of the split.
        monitor: Told about the progress.

    Returns:
        What the export holds.

    Raises:
        CodecfakeError: If ``out`` holds something else, or audio of the run is missing or damaged.
        Stopped: If the user asked to stop.
    """
    contents = read_contents(run_dir, split)
    layout = FORMATS[format_name]
    units = layout.plan(contents) if layout.plan else []
    head = {
        "format": format_name,
        "split": split,
        "input_digest": contents.summary["input_digest"],
        "plan_digest": _digest_plan(units),
        **({"settings": contents.settings, "content": _digest_audio(contents)} if contents.settings else {}),
    }
    _refuse_strangers(out, head)
    with run_lock(out, monitor.stop.set):
        is_whole = all((out / unit.path).is_file() for unit in units)
        is_new = not (is_whole and _read_record(out).get("is_complete"))
        if is_new:
            publish_json(out / RECORD, head | {"is_complete": False})
            _remove_leftovers(out)
            _write(contents, out, format_name, units, monitor)
            publish_json(out / RECORD, head | {"is_complete": True})
    return ExportReport(
        folder=out,
        format=format_name,
        split=split,
        is_new=is_new,
        files=contents.table.num_rows,
        hours=sum(contents.table["seconds"].to_pylist()) / 3600,
        packed=len(units),
        packed_bytes=sum((out / unit.path).stat().st_size for unit in units),
    )


def _write(contents: Contents, out: Path, format_name: str, units: list[Unit], monitor: Monitor) -> None:
    layout: Layout = FORMATS[format_name]
    if layout.write_loose:
        layout.write_loose(contents, out, monitor)
    if layout.write_unit:
        write = layout.write_unit
        write_units(units, out, lambda unit, path: write(contents, out, unit, path, monitor), monitor)
    located = layout.locations(contents) if layout.locations else _unit_of_row(contents, units)
    manifest = listing(contents, located)
    write_manifest(manifest, out)
    write_card(contents, out, format_name, layout.configurations(contents))
    monitor.say("Computing checksums")
    paths = [path for unit in units for path in (unit.path, *layout.companions(unit))]
    digests = _hash(out, [*paths, MANIFEST])
    write_croissant(contents, manifest, out, digests, datetime.now(UTC).date().isoformat())
    digests |= _hash(out, [CARD, LICENCES, CROISSANT])
    publish_text(out / CHECKSUMS, "".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items())))


def _digest_plan(units: list[Unit]) -> str:
    """Hash which rows go into which file, so that two plans are never mixed in a folder."""
    digest = hashlib.sha256()
    for unit in units:
        digest.update(f"{unit.path}\n".encode())
        digest.update(unit.rows.astype("<i8").tobytes())
    return digest.hexdigest()


def _digest_audio(contents: Contents) -> str:
    """Hash of all audio: robustness conditions may be made anew while their names stay."""
    return hashlib.sha256("".join(contents.table["sha256"].to_pylist()).encode()).hexdigest()


def _unit_of_row(contents: Contents, units: list[Unit]) -> list[str]:
    found = [""] * contents.table.num_rows
    for unit in units:
        for row in unit.rows:
            found[row] = unit.path
    return found


def _hash(out: Path, paths: list[str]) -> dict[str, str]:
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        return dict(zip(paths, pool.map(lambda path: file_sha256(out / path), paths), strict=True))


def _refuse_strangers(out: Path, head: Mapping[str, Any]) -> None:
    present = _read_record(out)
    if present and {name: present.get(name) for name in head} != head:
        is_other = any(present.get(name) != head[name] for name in ("format", "split"))
        raise CodecfakeError(
            f"{out} holds another export: {present.get('format')} of split {present.get('split')}",
            cause=""
            if is_other
            else "the run was split again since, or another version of codecfake began it",
            next_step="give a new folder; nothing was written",
        )
    if not present and out.is_dir():
        # A call that was killed at its very start leaves its lock, and its record unpublished.
        own = (LOCK, f"{TEMPORARY_PREFIX}{RECORD}")
        strangers = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith(own))
        if strangers:
            raise CodecfakeError(
                f"{out} is no export, but holds {', '.join(strangers[:5])}",
                next_step="give a new or empty folder; nothing was written",
            )
    elif out.exists() and not out.is_dir():
        raise CodecfakeError(f"{out} is a file", next_step="give a new or empty folder")


def _read_record(out: Path) -> dict[str, Any]:
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _remove_leftovers(out: Path) -> None:
    """Remove what a killed call left half-written; the lock is held, so nobody writes it now."""
    for leftover in out.rglob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_file():
            leftover.unlink()
