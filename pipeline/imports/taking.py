"""Taking a dataset's files into a run, a shard at a time: linked or copied, hashed, decoded once."""

import errno
import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.imports.listing import Listing
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.provenance import now
from codecfake.pipeline.recording_checks import UnusableError, check_complete, check_content, check_header
from codecfake.pipeline.shard_store import AUDIO, SHARDS, complete_shard, shard_draft
from codecfake.pipeline.tree import is_same_file, link_file

READABLE = (Reason.SILENT, Reason.TOO_SHORT)
"""What a build would refuse, and a published test set is scored with."""
FAULTS_OF_A_FILE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EIO)
"""Errors that another file need not meet."""
DIFFERENT_COPIES = "different_copies"
"""Key of ``shard.json``: paths of files that differ from the one that was taken, by file name."""


def import_shard(
    home: Path,
    place: str,
    listing: Listing,
    codec: str,
    shard_id: str,
    rows: Sequence[Mapping[str, str]],
    pool: ThreadPoolExecutor,
    monitor: Monitor,
    *,
    is_retry: bool = False,
) -> None:
    """Take the files of a shard, and publish it; what cannot be read is quarantined with its reason.

    Args:
        home: Folder that holds ``shards``.
        place: Where that is in the run: empty, or ending with ``/``.
        listing: The dataset.
        codec: Codec of the files, or ``real``.
        shard_id: Id of the shard.
        rows: Rows of ``listing.files``.
        pool: Works on the files.
        monitor: Told about every file.
        is_retry: Publish only rows that have audio now, and nothing if there is none.

    Raises:
        Stopped: If the user asked to stop; nothing is published then.
    """
    started = time.monotonic()
    different: dict[str, list[str]] = {}
    with shard_draft(home, codec, shard_id) as draft:

        def take(row: Mapping[str, str]) -> tuple[dict[str, Any], str]:
            monitor.raise_if_stopped()
            item, way = take_file(
                listing.root / row["path"], draft, f"{place}{SHARDS}/{codec}/{shard_id}", row
            )
            if item["reason"] is None and (others := _different_copies(listing, row)):
                different[row["file"]] = others
            monitor.advance(1)
            return item, way

        taken = list(pool.map(take, rows))
        items = [item for item, _ in taken]
        ways = Counter(way for _, way in taken)
        if is_retry:
            items = [item for item in items if item["reason"] is None]
        if not items:
            return
        record = {
            "source_seconds": sum(item["seconds"] for item in items),
            "wall_seconds": time.monotonic() - started,
            "linked": ways["linked"],
            "copied": ways["copied"],
            "published_at": now(),
            DIFFERENT_COPIES: dict(sorted(different.items())),
        }
        complete_shard(draft, home, codec, shard_id, items, record)


def take_file(source: Path, draft: Path, place: str, row: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Put a file into a draft.

    Args:
        source: The file of the dataset.
        draft: Folder of a shard that is not published yet.
        place: Where the shard will be, relative to the run.
        row: Row of ``listing.files``; without a path it is only told that the file is missing.

    Returns:
        A row in the item schema, with a reason where the file cannot be used, and whether it was linked or copied.

    Raises:
        OSError: If the machine lacks something, and the file is not to blame.
    """
    item: dict[str, Any] = {
        "utterance_id": row["utterance_id"],
        "codec": row["codec"],
        "file": row["file"],
        "path": None,
        "reason": None,
        "message": None,
        "samples": 0,
        "seconds": 0.0,
        "sample_rate": 0,
        "source_sha256": None,
        "sha256": None,
        "clipped_samples": 0,
    }
    target = draft / AUDIO / source.name
    try:
        if row.get("path") == "":
            raise UnusableError(Reason.MISSING, "no list names it")
        way = _link(source, target)
        item |= _read(target) | {"path": f"{place}/{AUDIO}/{source.name}"}
    except UnusableError as problem:
        target.unlink(missing_ok=True)
        return item | {"reason": str(problem.reason), "message": str(problem)}, ""
    return item, way


def _link(source: Path, target: Path) -> str:
    try:
        # A hard link to a symbolic one would lead out of the run.
        source = Path(os.path.realpath(source))
        if not stat.S_ISREG(source.stat().st_mode):
            raise UnusableError(Reason.NOT_A_FILE, "not a regular file")
        way = link_file(source, target)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnusableError(Reason.MISSING, "no such file") from error
    except OSError as error:
        if error.errno not in FAULTS_OF_A_FILE:
            raise
        raise UnusableError(Reason.UNREADABLE, error.strerror) from error
    if way == "missing":
        raise UnusableError(Reason.MISSING, "no such file")
    return way


def _read(path: Path) -> dict[str, Any]:
    """Hash and decode a file that was taken: what is published is what was looked at."""
    import soundfile

    try:
        with path.open("rb", buffering=0) as file:
            if not path.stat().st_size:
                raise UnusableError(Reason.EMPTY, "zero bytes")
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                check_header(sound)
                check_complete(sound)
                _decode(sound)
                return {
                    "samples": sound.frames,
                    "seconds": sound.frames / sound.samplerate,
                    "sample_rate": sound.samplerate,
                    "sha256": digest,
                }
    except soundfile.LibsndfileError as error:
        raise UnusableError(Reason.UNREADABLE, error.error_string.strip()) from error
    except OSError as error:
        refuse_exhaustion(error)
        raise UnusableError(Reason.UNREADABLE, error.strerror or str(error)) from error


def _decode(sound: Any) -> None:
    try:
        check_content(sound)
    except UnusableError as problem:
        if problem.reason not in READABLE:
            raise


def _different_copies(listing: Listing, row: Mapping[str, str]) -> list[str]:
    """Further copies of a file that hold other bytes."""
    first = listing.root / row["path"]
    others = listing.copies.get(row["file"], [])
    return [
        path
        for path in others
        if (listing.root / path).is_file() and not _is_copy(first, listing.root / path)
    ]


def _is_copy(first: Path, other: Path) -> bool:
    try:
        return is_same_file(first, other)
    except OSError as error:
        refuse_exhaustion(error)
        return False  # what cannot be read is not known to be the same
