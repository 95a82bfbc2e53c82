"""Scores that no published file holds yet: appended while a condition is scored, so that a kill loses seconds."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from codecfake.manifests.atomic import TEMPORARY_PREFIX
from codecfake.manifests.paths import open_no_link

FILE = f"{TEMPORARY_PREFIX}scores.tsv"
SECONDS_TO_DISK = 5.0
"""How much scoring a power cut may lose; a kill loses one batch."""


class ScoreJournal:
    """Appends lines ``file<TAB>score``; on opening, reads what is there and cuts off a torn end.

    Args:
        scores_dir: Folder of the scores, which has to exist.
    """

    def __init__(self, scores_dir: Path) -> None:
        self.path = scores_dir / FILE
        self.scores: dict[str, float] = {}
        """What an earlier call left, by file name."""
        whole = self._read() if self.path.is_file() else 0
        self._handle: BinaryIO = open_no_link(self.path, "ab")
        self._handle.truncate(whole)
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()

    def append(self, files: Sequence[str], scores: Sequence[float]) -> None:
        """Add scores; they survive a kill of the process."""
        lines = [f"{file}\t{value!r}\n" for file, value in zip(files, scores, strict=True)]
        self._handle.write("".join(lines).encode())
        self._handle.flush()
        if time.monotonic() - self._flushed > SECONDS_TO_DISK:
            os.fsync(self._handle.fileno())
            self._flushed = time.monotonic()

    def remove(self) -> None:
        """Delete the journal, when published files hold everything in it."""
        self._handle.close()
        self.path.unlink(missing_ok=True)

    def _read(self) -> int:
        """Read the whole lines, and return how many bytes they are."""
        whole = 0
        with self.path.open("rb") as handle:
            for line in handle:
                file, _, value = line.decode(errors="replace").rstrip("\n").partition("\t")
                try:
                    score = float(value)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                self.scores[file] = score
                whole += len(line)
        return whole
