"""The one place that publishes a file: written beside its place, flushed to disk, then renamed."""

import errno
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".tmp-"
"""Whatever starts with this is not published; readers skip it."""

FOLDER_FLUSH_REFUSED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
"""What SMB and some FUSE file systems answer, which flush files only."""
LINK_REFUSED = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
"""What a file system says that has no hard links, or none to there, or none left for the file."""

FLUSH_THREADS = 16
"""They wait for the disk, which takes what many of them wait for in one go."""


def temporary_sibling(path: Path) -> Path:
    """Name an unpublished sibling of ``path``, unique to this call."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{uuid.uuid4().hex[:12]}")


def set_aside(path: Path, mark: str) -> Path:
    """Rename a file or folder, so that nothing takes it for what it was; nothing is overwritten.

    Args:
        path: What is there.
        mark: Follows its name, before a number that is free.

    Returns:
        Its new place.
    """
    number = 1
    while (place := path.with_name(f"{path.name}{mark}{number}")).exists():
        number += 1
    return path.rename(place)


def flush_to_disk(path: Path) -> None:
    """Force the bytes of a file, or the entries of a folder, to stable storage."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in FOLDER_FLUSH_REFUSED or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def flush_all_to_disk(paths: Sequence[Path], threads: int = FLUSH_THREADS) -> None:
    """Force many files to stable storage; in all much faster than one after the other.

    Args:
        paths: Files that are written and closed; flushing their folders is left to the caller.
        threads: Files to wait for at once.
    """

    def flush_some(first: int) -> None:
        for path in paths[first::threads]:
            flush_to_disk(path)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(flush_some, range(min(threads, len(paths)))))


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """Yield a temporary path; publish it as ``path`` when the block ends without an error.

    A reader sees the old file or the new one, never a part. After an error the temporary file is removed
    and ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    try:
        yield temporary
        flush_to_disk(temporary)
        temporary.replace(path)
        flush_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def publish_text(path: Path, text: str) -> None:
    """Publish UTF-8 text as ``path``."""
    with published(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def publish_json(path: Path, content: Any) -> None:
    """Publish ``content`` as indented JSON."""
    publish_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
