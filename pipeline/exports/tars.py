"""Tar archives that are the same bytes whenever and wherever they are written."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TarWriter:
    """Adds members with plain relative names, and without owner, time and machine."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, content: bytes) -> None:
        """Add a file."""
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self._archive.addfile(member, io.BytesIO(content))


@contextmanager
def open_tar(path: Path) -> Iterator[TarWriter]:
    """Open a new archive for writing."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        yield TarWriter(archive)
