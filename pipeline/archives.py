"""Unpacking a zip or tar archive from somebody else: no member may land outside the folder."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from codecfake.manifests.errors import CodecfakeError

Report = Callable[[int, int | None], None]


def unpack(archive: Path, folder: Path, report: Report) -> None:
    """Unpack ``archive`` into the new folder ``folder``.

    Args:
        archive: A .zip or a tar archive, compressed or not.
        folder: Folder to make.
        report: Called with the bytes unpacked (zip) or read (tar), and the bytes in all.

    Raises:
        CodecfakeError: If the archive is damaged, needs more space than there is, or holds a member with an
            absolute path, with ``..``, with a link out of the folder, or that is no file, folder or link.
    """
    folder.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, report)
        else:
            _unpack_tar(archive, folder, report)
    except (zipfile.BadZipFile, tarfile.ReadError, EOFError, zlib.error) as error:
        raise CodecfakeError(
            f"{archive} is damaged: {error}",
            cause="its download was cut short, or its bytes changed on the disk",
            next_step=f"move {archive} and {archive.name}.sha256 away and run the same command again",
        ) from error


def _unpack_zip(archive: Path, folder: Path, report: Report) -> None:
    with zipfile.ZipFile(archive) as members:
        infos = members.infolist()
        total = sum(info.file_size for info in infos)
        free = shutil.disk_usage(folder).free
        if total > free:
            raise CodecfakeError(
                f"{archive.name} unpacks to {total / 1e9:.1f} GB, {folder.parent} has {free / 1e9:.1f} GB",
                next_step="free some space, or choose a folder on another disk",
            )
        for info in infos:
            _refuse_unsafe_name(archive, info.orig_filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _unsafe(archive, info.filename, "a link")
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
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as members:
        for member in members:
            _refuse_unsafe_name(archive, member.name)
            try:
                members.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise _unsafe(archive, member.name, str(error)) from error
            report(raw.tell(), total)


def _refuse_unsafe_name(archive: Path, name: str) -> None:
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or path.root:
            raise _unsafe(archive, name, "an absolute path")
        if ".." in path.parts:
            raise _unsafe(archive, name, "a path with ..")


def _unsafe(archive: Path, name: str, why: str) -> CodecfakeError:
    return CodecfakeError(
        f"{archive} holds the member {name!r}, which could be written outside its folder: {why}",
        cause="this is not the published archive",
        next_step=f"move {archive} and {archive.name}.sha256 away and fetch it again",
    )
