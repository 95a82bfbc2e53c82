"""The two file formats of ``torch.save``: what holds the pickle, and what holds the numbers."""

import struct
import zipfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from codecfake.detector.inert_pickle import MAXIMUM_BYTES, read_inert
from codecfake.detector.inert_records import RefusedPickleError, Storage

ZIP_MAGIC = b"PK\x03\x04"
OLD_MAGIC = 0x1950A86A20F9469CFC6C
OLD_PROTOCOL = 1001
MAXIMUM_FILE_BYTES = 1 << 30
"""Largest file that is read; those of the released networks have 2 to 16 MB."""

ZIP_ERRORS = (zipfile.BadZipFile, EOFError, ValueError, OverflowError, OSError, RuntimeError, struct.error)
"""What `zipfile` raises for damaged archives."""

ReadStorage = Callable[[Storage], bytes]


def read_archive(path: Path) -> tuple[Any, ReadStorage]:
    """Read a file of ``torch.save``.

    Args:
        path: The file.

    Returns:
        What its pickle holds, as `read_inert` gives it, and a function that reads the little-endian bytes of
        a storage.

    Raises:
        RefusedPickleError: If the file is no such file, is damaged, or holds more than a network. The
            function raises it for a storage that is not there in the size named.
    """
    if path.stat().st_size > MAXIMUM_FILE_BYTES:
        raise RefusedPickleError(f"more than {MAXIMUM_FILE_BYTES} bytes")
    content = path.read_bytes()
    if not content:
        raise RefusedPickleError("no bytes at all")
    if content.startswith(ZIP_MAGIC):
        return _read_zip(content)
    if content.startswith(b"\x80"):
        return _read_old(BytesIO(content))
    if content.startswith(b"version https://git-lfs"):
        raise RefusedPickleError("a pointer of Git LFS in place of the file")
    raise RefusedPickleError("bytes that torch.save does not write")


def _read_zip(content: bytes) -> tuple[Any, ReadStorage]:
    """The format since PyTorch 1.6: ``NAME/data.pkl`` and ``NAME/data/KEY`` in a zip archive."""
    try:
        archive = zipfile.ZipFile(BytesIO(content))
        entries = {entry.filename: entry for entry in archive.infolist()}
        twice = [name for name, count in Counter(archive.namelist()).items() if count > 1]
    except ZIP_ERRORS as error:
        raise RefusedPickleError(f"a damaged or cut-off archive ({error})") from error
    packed = [name for name, entry in entries.items() if entry.compress_type != zipfile.ZIP_STORED]
    if twice or packed or sum(entry.file_size for entry in entries.values()) > len(content):
        raise RefusedPickleError("an archive with compressed or repeated entries")

    def read(name: str, size: int | None = None) -> bytes:
        entry = entries.get(name)
        if entry is None or size not in (None, entry.file_size):
            raise RefusedPickleError(f"an archive without {name!r} in the size that it names")
        try:
            content = archive.read(entry)
        except ZIP_ERRORS as error:
            raise RefusedPickleError(f"a damaged archive: {name!r} ({error})") from error
        if len(content) != entry.file_size:
            raise RefusedPickleError(f"a cut-off archive: {name!r}")
        return content

    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or entries[pickles[0]].file_size > MAXIMUM_BYTES:
        raise RefusedPickleError("an archive without the data.pkl of one network")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}byteorder" in entries and read(f"{root}byteorder") != b"little":
        raise RefusedPickleError("numbers in big-endian order")

    network, _ = read_inert(BytesIO(read(pickles[0])))
    return network, lambda storage: read(f"{root}data/{storage.key}", storage.byte_count)


def _read_old(stream: BytesIO) -> tuple[Any, ReadStorage]:
    """The format before PyTorch 1.6: five pickles, then every storage after its number of elements."""
    if read_inert(stream)[0] != OLD_MAGIC or read_inert(stream)[0] != OLD_PROTOCOL:
        raise RefusedPickleError("a pickle that torch.save did not write")
    system, _ = read_inert(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise RefusedPickleError("numbers in big-endian order")
    network, storages = read_inert(stream)
    keys, _ = read_inert(stream)
    is_listing = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not is_listing or sorted(keys) != sorted(storages):
        raise RefusedPickleError("other storages than its network names")
    numbers = {}
    for key in keys:
        elements = int.from_bytes(stream.read(8), "little")
        numbers[key] = stream.read(storages[key].byte_count)
        if elements != storages[key].elements or len(numbers[key]) != storages[key].byte_count:
            raise RefusedPickleError("a cut-off or damaged file")
    return network, lambda storage: numbers[storage.key]
