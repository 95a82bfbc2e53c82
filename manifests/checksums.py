"""Lists of sha256 digests in the form that ``sha256sum --check`` reads."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from codecfake.manifests.atomic import publish_text
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import read_plain

MAXIMUM_BYTES = 1 << 28
"""Of a list that is read; a million lines take some 100 MB."""
CHECKSUMS = "SHA256SUMS"
"""Usual name of a list for a whole folder."""


def publish_checksums(path: Path, files: Mapping[Path, Path | None]) -> None:
    """Publish the digests of files.

    Args:
        path: The list.
        files: Where each file lies, in or below the folder of the list, and where it is to be read now, if elsewhere.
    """
    lines = [
        f"{file_sha256(files[file] or file)}  {file.relative_to(path.parent).as_posix()}\n"
        for file in sorted(files)
    ]
    publish_text(path, "".join(lines))


def altered_files(path: Path) -> Iterator[tuple[Path, str]]:
    """Hold files against their list; one that is not there says nothing.

    Yields:
        Path, and what is wrong with it.
    """
    try:
        lines = read_plain(path, MAXIMUM_BYTES).decode().splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        refuse_exhaustion(error)
        yield path, f"it cannot be read: {error}"
        return
    for line in lines:
        digest, _, name = line.partition("  ")
        file = path.parent / name
        if not name or not _is_below(file, path.parent):
            yield path, "it is no list of checksums"
            return
        try:
            if file_sha256(file) != digest:
                yield file, f"its sha256 is not that of {path.name}"
        except FileNotFoundError:
            yield file, "it is gone"
        except OSError as error:
            refuse_exhaustion(error)
            yield file, f"it cannot be read: {error}"


def _is_below(file: Path, folder: Path) -> bool:
    """Whether a file lies in or below a folder, links followed; a link to itself lies nowhere."""
    try:
        return file.resolve().is_relative_to(folder.resolve())
    except (RuntimeError, OSError, ValueError):
        return False
