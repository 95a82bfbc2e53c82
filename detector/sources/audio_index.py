"""Where the audio files below a folder are, by file name: one walk, then look-ups of a million names."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.atomic import TEMPORARY_PREFIX
from codecfake.manifests.plain_files import is_folder

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = ("wav", "flac", "ogg", "opus", "mp3")
SUFFIX = rf"\.(?i:{'|'.join(SUFFIXES)})$"
"""RE2 pattern of the ending that tells an audio file."""


FOLDERS = r"^.*[/\\]"
"""RE2 pattern of what stands before a file's name."""


def names_of(files: "pa.Array | pa.ChunkedArray") -> "pa.Array | pa.ChunkedArray":
    """Strip folders: lists are met by file name alone, and none of them leads out of its folder."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(files, FOLDERS, "")


def stems_of(files: "pa.Array | pa.ChunkedArray") -> "pa.Array | pa.ChunkedArray":
    """Strip folders and the ending of audio files, so ``p225_001.wav`` and ``p225_001`` meet."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(names_of(files), SUFFIX, "")


@dataclass(frozen=True)
class AudioIndex:
    """The audio files below a folder; a name is found with any audio ending (mirrors re-encode as FLAC)."""

    root: Path
    """Absolute."""
    folders: list[str]
    """POSIX paths relative to the root, ``""`` for the root itself, sorted."""
    folder_of: np.ndarray
    """Index into ``folders`` per file, shape (N,)."""
    names: "pa.Array"
    """File names, N strings."""
    stems: "pa.Array"
    """The names without their endings."""
    left_out: int = 0
    """Audio files whose names no list can hold."""

    @property
    def notes(self) -> list[str]:
        """What a user should know of the folder."""
        if not self.left_out:
            return []
        return [
            f"{self.left_out:,} audio files have characters in their names that cannot be printed; left out"
        ]

    @classmethod
    def scan(cls, root: Path) -> "AudioIndex":
        """Walk a folder; links to folders are followed, hidden and unpublished ones are not."""
        import pyarrow as pa

        root = Path(root).resolve()
        folders, counts, names, left_out = [], [], [], 0
        for folder, found, unprintable in sorted(_walk(root)):
            folders.append(folder)
            counts.append(len(found))
            names.append(found)
            left_out += unprintable
        joined = pa.concat_arrays([pa.array([], pa.string()), *names])
        folder_of = np.repeat(np.arange(len(folders)), counts)
        return cls(root, folders, folder_of, joined, stems_of(joined), left_out)

    def has_folder(self, name: str) -> bool:
        """Whether audio lies in a folder of that name, or below it; the root counts."""
        return bool(self._in_folders([name]).any())

    def locate(
        self, files: "pa.Array | pa.ChunkedArray", folders: Sequence[str], *, elsewhere: bool = True
    ) -> tuple[list[str], np.ndarray]:
        """Find files by name.

        Args:
            files: File names, with or without ending.
            folders: Names of folders to look in first, at any depth.
            elsewhere: Whether to look in every other folder then.

        Returns:
            POSIX paths relative to the root, N of them, and which are missing, shape (N,), bool. A missing
            file has the path where it was looked for.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        stems = stems_of(files)
        position = np.full(len(files), -1, dtype=np.int64)
        wanted = self._in_folders(folders)
        for mask in [wanted, ~wanted] if elsewhere else [wanted]:
            left, rows = np.flatnonzero(position < 0), np.flatnonzero(mask)
            if not (left.size and rows.size):
                continue
            found = pc.index_in(stems.take(pa.array(left)), value_set=self.stems.take(pa.array(rows)))
            found = np.asarray(pc.fill_null(found, -1))
            position[left[found >= 0]] = rows[found[found >= 0]]
        missing = position < 0
        return self._paths(files, position, folders[0] if folders else ""), missing

    def paths(self) -> list[str]:
        """POSIX paths of all files relative to the root, in the order of ``names``."""
        return self._paths(self.names, np.arange(len(self.names)), "")

    def _paths(self, files: "pa.Array | pa.ChunkedArray", position: np.ndarray, expected: str) -> list[str]:
        """Paths of the files at ``position``; where that is -1, the name below ``expected``."""
        prefixes = [f"{folder}/" if folder else "" for folder in self.folders]
        names = self.names.take(_indices(np.where(position < 0, None, position))).to_pylist()
        asked = names_of(files).to_pylist()
        fallback = f"{expected}/" if expected else ""
        return [
            f"{prefixes[self.folder_of[place]]}{name}" if name is not None else f"{fallback}{file}"
            for place, name, file in zip(position.tolist(), names, asked, strict=True)
        ]

    def _in_folders(self, names: Sequence[str]) -> np.ndarray:
        """Which files lie in or below a folder of one of the names, shape (N,), bool."""
        wanted = [bool({self.root.name, *folder.split("/")}.intersection(names)) for folder in self.folders]
        return np.array(wanted, dtype=bool)[self.folder_of]


def _indices(places: np.ndarray) -> "pa.Array":
    import pyarrow as pa

    return pa.array(places, pa.int64())


def _walk(root: Path) -> Iterator[tuple[str, "pa.Array", int]]:
    """Yield every folder with its sorted audio file names, and how many were left out."""
    import pyarrow as pa

    endings = tuple(f".{suffix}" for suffix in SUFFIXES)
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        status = (root / folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        found = []
        with os.scandir(root / folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith((".", TEMPORARY_PREFIX)):
                    continue
                if entry.name.lower().endswith(endings) and not is_folder(entry):
                    found.append(entry.name)
                elif is_folder(entry):
                    waiting.append(f"{folder}/{entry.name}" if folder else entry.name)
        # A line end would begin another row of a list, and names that are no UTF-8 cannot stand in any.
        kept = sorted(name for name in found if name.isprintable())
        yield folder, pa.array(kept, pa.string()), len(found) - len(kept)
