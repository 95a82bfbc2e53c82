"""Exporting a split of a run: resumable, with manifest, dataset card, Croissant metadata and checksums."""

import hashlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from codecfake.manifests.atomic import TEMPORARY_PREFIX, publish_text
from codecfake.manifests.digests import file_sha256
from codecfake.pipeline.exports import asvspoof, hugging_face, shar, tree, webdataset
from codecfake.pipeline.exports.card import CARD, LICENCES, write_card
from codecfake.pipeline.exports.contents import Contents, read_contents
from codecfake.pipeline.exports.croissant import CROISSANT, write_croissant
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.listing import MANIFEST, listing, write_manifest
from codecfake.pipeline.exports.record import absent, is_complete, publish_record, refuse_strangers
from codecfake.pipeline.exports.units import Unit, write_units
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_lock import run_lock

FORMATS = {
    "tree": tree.LAYOUT,
    "hf": hugging_face.LAYOUT,
    "webdataset": webdataset.LAYOUT,
    "shar": shar.LAYOUT,
    "asvspoof": asvspoof.LAYOUT,
}
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
    refuse_strangers(out, head)
    with run_lock(out, monitor.stop.set):
        lost = absent(out, _files_of(contents, layout, units))
        is_new = bool(lost) or not is_complete(out)
        if is_new:
            publish_record(out, head, is_complete=False)
            _remove_leftovers(out)
            _write(contents, out, format_name, units, lost, monitor)
            publish_record(out, head, is_complete=True)
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


def _files_of(contents: Contents, layout: Layout, units: list[Unit]) -> Iterator[str]:
    """Every file that a complete export has."""
    yield from (MANIFEST, CARD, LICENCES, CROISSANT, CHECKSUMS)
    for unit in units:
        yield from (unit.path, *layout.companions(unit))
    yield from layout.loose_lists(contents)
    yield from layout.loose_audio(contents)


def _write(
    contents: Contents,
    out: Path,
    format_name: str,
    units: list[Unit],
    lost: Collection[str],
    monitor: Monitor,
) -> None:
    layout: Layout = FORMATS[format_name]
    missing = [unit for unit in units if any(path in lost for path in (unit.path, *layout.companions(unit)))]
    if layout.write_loose:
        if any(path in lost for path in layout.loose_audio(contents)):
            _check_unread(contents, missing, monitor)
        layout.write_loose(contents, out, monitor)
    if layout.write_unit:
        write = layout.write_unit
        write_units(
            units,
            {unit.path for unit in missing},
            out,
            lambda unit, path: write(contents, out, unit, path, monitor),
            monitor,
        )
    located = layout.locations(contents) if layout.locations else _unit_of_row(contents, units)
    manifest = listing(contents, located)
    write_manifest(manifest, out)
    write_card(contents, out, format_name, layout.configurations(contents))
    monitor.say("Computing checksums")
    paths = [path for unit in units for path in (unit.path, *layout.companions(unit))]
    digests = _hash(out, [*paths, *layout.loose_lists(contents), MANIFEST])
    write_croissant(contents, manifest, out, digests, datetime.now(UTC).date().isoformat())
    digests |= _hash(out, [CARD, LICENCES, CROISSANT])
    publish_text(out / CHECKSUMS, "".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items())))


def _check_unread(contents: Contents, units: list[Unit], monitor: Monitor) -> None:
    """Read the audio that will be linked, but that none of the units to be written reads."""
    is_unread = np.ones(contents.table.num_rows, dtype=bool)
    for unit in units:
        is_unread[unit.rows] = False
    rows = np.flatnonzero(is_unread)
    if len(rows):
        monitor.begin("check", len(rows), "files")
        for _ in contents.read(rows, monitor):
            pass
        monitor.end()


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


def _remove_leftovers(out: Path) -> None:
    """Remove what a killed call left half-written; the lock is held, so nobody writes it now."""
    for leftover in out.rglob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_file():
            leftover.unlink()
