"""Unpacking a zip or tar archive from somebody else: no member may land outside the folder."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from codecfake.manifests.errors import CodecfakeError

Report = Callable[[int, int | None], None]

LARGEST_EXPANSION = 20
"""Times its own size that an archive may become; recordings shrink to a third at best."""
SMALL_BYTES = 1e9
"""What any archive may become."""
MOST_MEMBERS = 1_000_000

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises for archives that are damaged, encrypted or packed in unknown ways."""


def unpack(archive: Path, folder: Path, report: Report) -> None:
    """Unpack ``archive`` into the new folder ``folder``.

    Args:
        archive: A .zip or a tar archive, compressed or not.
        folder: Folder to make.
        report: Called with the bytes unpacked (zip) or read (tar), and the bytes in all.

    Raises:
        CodecfakeError: If the archive is damaged, needs more space than there is or than an archive of its size
            should, or holds a member with an absolute path, with ``..``, or that is neither file nor folder.
    """
    folder.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, report)
        else:
            _unpack_tar(archive, folder, report)
    except DAMAGE as error:
        raise CodecfakeError(
            f"{archive} is damaged: {error}",
            cause="its download was cut short, or its bytes changed on the disk",
            next_step=f"move {archive} and {archive.name}.sha256 away and run the same command again",
        ) from error


def _unpack_zip(archive: Path, folder: Path, report: Report) -> None:
    with zipfile.ZipFile(archive) as members:
        infos = members.infolist()
        for info in infos:
            _refuse_unsafe_name(archive, info.orig_filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _unsafe(archive, info.filename, "a link or a device")
        total = sum(info.file_size for info in infos)
        _refuse_bomb(archive, len(infos), total)
        free = shutil.disk_usage(folder).free
        if total > free:
            raise CodecfakeError(
                f"{archive.name} unpacks to {total / 1e9:.1f} GB, {folder.parent} has {free / 1e9:.1f} GB",
                next_step="free some space, or choose a folder on another disk",
            )
        done = 0
        for info in infos:
            members.extract(info, folder)
            done += info.file_size
            report(done, total)


def _unpack_tar(archive: Path, folder: Path, report: Report) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise CodecfakeError(
            "this Python unpacks tar archives without the checks that they need",
            next_step="use Python 3.11.4 or newer",
        )
    total = archive.stat().st_size
    count = unpacked = 0
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as members:
        for member in members:
            _refuse_unsafe_name(archive, member.name)
            if not (member.isfile() or member.isdir()):
                # The filter lets links within the folder pass, and has been fooled about where they lead.
                raise _unsafe(archive, member.name, "a link or a device")
            count, unpacked = count + 1, unpacked + member.size
            _refuse_bomb(archive, count, unpacked)
            members.extract(member, folder, filter="data")
            report(raw.tell(), total)
            members.members.clear()  # it would remember all of them


def _refuse_unsafe_name(archive: Path, name: str) -> None:
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or path.root:
            raise _unsafe(archive, name, "an absolute path")
        if ".." in path.parts:
            raise _unsafe(archive, name, "a path with ..")


def _refuse_bomb(archive: Path, count: int, unpacked_bytes: int) -> None:
    largest = max(SMALL_BYTES, LARGEST_EXPANSION * archive.stat().st_size)
    if count > MOST_MEMBERS or unpacked_bytes > largest:
        raise CodecfakeError(
            f"{archive} would become {unpacked_bytes / 1e9:.1f} GB in {count:,} files; at most "
            f"{largest / 1e9:.1f} GB and {MOST_MEMBERS:,} files are unpacked of it",
            cause="this is not the published archive",
            next_step=f"move {archive} and {archive.name}.sha256 away and fetch it again",
        )


def _unsafe(archive: Path, name: str, why: str) -> CodecfakeError:
    return CodecfakeError(
        f"{archive} holds the member {name!r}, which could be written outside its folder: {why}",
        cause="this is not the published archive",
        next_step=f"move {archive} and {archive.name}.sha256 away and fetch it again",
    )
