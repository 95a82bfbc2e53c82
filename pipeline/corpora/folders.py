"""The folder walk that the corpus readers share: names only, no recording is touched."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.plain_files import is_folder, read_plain
from codecfake.pipeline.corpora.listing import Finding, find, printable

MAXIMUM_TEXT_BYTES = 1 << 26
"""Several times what the longest text of the corpora takes."""
AUDIO_SUFFIXES = (".wav", ".flac")
"""Extensions, in lower case, that make an entry a recording; whether it is one is for the inspection."""


@dataclass
class FolderScan:
    """Entries under a folder of speaker folders, as POSIX paths relative to the root of the corpus."""

    recordings: list[str] = field(default_factory=list)
    other_files: list[str] = field(default_factory=list)
    other_folders: list[str] = field(default_factory=list)

    def __iadd__(self, other: "FolderScan") -> "FolderScan":
        self.recordings += other.recordings
        self.other_files += other.other_files
        self.other_folders += other.other_folders
        return self

    def findings(self) -> Iterator[Finding]:
        """Yield what the scan saw but did not list as a recording."""
        if self.other_files:
            yield find("not-audio", "neither .wav nor .flac, or hidden: ignored", self.other_files)
        if self.other_folders:
            yield find("folder-not-searched", "folders where recordings should be", self.other_folders)


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file of a corpus, odd bytes replaced; none if it is absent, a pipe or far too large."""
    try:
        return read_plain(path, MAXIMUM_TEXT_BYTES).decode("utf-8-sig", "replace").splitlines()
    except OSError:
        return []


def scan_speaker_folders(root: Path, folder: str) -> FolderScan:
    """Walk ``root/folder/<speaker>/<recording>`` without touching the recordings themselves.

    Whatever is named like audio is a recording here, also a folder or a dangling link.

    Args:
        root: Root of the corpus.
        folder: POSIX path, relative to ``root``, of the folder that holds the speaker folders.

    Raises:
        CodecfakeError: If ``root/folder`` cannot be read; an unreadable speaker folder is only noted.
    """
    scan = FolderScan()
    try:
        top = list(_entries(root / folder))
    except OSError as error:
        raise CodecfakeError(f"{root / folder} cannot be read: {error.strerror}") from error
    for name, has_entries in top:
        path = f"{folder}/{name}"
        if not has_entries or _is_recording(name):
            (scan.recordings if _is_recording(name) else scan.other_files).append(path)
            continue
        try:
            inside = list(_entries(root / path))
        except OSError:
            scan.other_folders.append(path)
            continue
        for inner_name, inner_is_folder in inside:
            inner = f"{path}/{inner_name}"
            if _is_recording(inner_name):
                scan.recordings.append(inner)
            else:
                (scan.other_folders if inner_is_folder else scan.other_files).append(inner)
    scan.recordings.sort()
    return scan


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield name and whether it is a folder; a plain file costs no stat."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, is_folder(entry)


def _is_recording(name: str) -> bool:
    return name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")


def locate_corpus(root: Path, nested: tuple[str, ...], layouts: tuple[str, ...], corpus: str) -> Path:
    """Find the folder that holds one of ``layouts``: ``root`` itself or one of its ``nested`` folders.

    Args:
        root: What the user gave.
        nested: Folder names under which the corpus unpacks, for a root given one level too high.
        layouts: POSIX paths of folders, any of which makes a folder the root of the corpus.
        corpus: Name of the corpus in ``codecfake corpora fetch``.

    Raises:
        CodecfakeError: If there is no such folder; says what was looked for and what is there.
    """
    for candidate in (root, *(root / name for name in nested)):
        if any((candidate / layout).is_dir() for layout in layouts):
            return candidate
    looked_for = " or ".join(f"{layout}/" for layout in layouts)
    cause = "the path is another folder, or the corpus is not unpacked there"
    if any(layout in (root.name, f"{root.parent.name}/{root.name}") for layout in layouts):
        cause = "the path is the audio folder itself; give the folder that holds the corpus"
    raise CodecfakeError(
        f"{root} does not hold the {corpus} corpus: looked for {looked_for}; found {_describe_folder(root)}",
        cause=cause,
        next_step=f"codecfake corpora fetch {corpus} --out DIR",
    )


def _describe_folder(folder: Path) -> str:
    try:
        names = sorted(printable(entry.name) for entry in folder.iterdir())
    except FileNotFoundError:
        return "no such folder"
    except NotADirectoryError:
        return "a file"
    except OSError as error:
        return f"an unreadable folder ({error.strerror})"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more if names else "an empty folder"
