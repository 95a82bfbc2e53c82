"""Reading lines of plain or gzipped text, and listing what could not be read of them."""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

GZIP_MAGIC = b"\x1f\x8b"
KEPT = 1_000
LONGEST_LINE = 4_096
"""In characters; of a longer line the start is given, and no format takes it for a trial."""
LABEL_WORDS = {word: label for label in Label for word in label.words}


@dataclass(frozen=True)
class BadLine:
    """A line that was set aside."""

    number: int
    """From 1 on."""
    reason: str
    """The same words for the same kind of fault."""
    text: str


@dataclass
class BadLines:
    """The lines of a file that were set aside, by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[BadLine] = field(default_factory=list)
    """The first ``KEPT`` of them."""

    def add(self, number: int, reason: str, text: str) -> None:
        """Set a line aside."""
        self.counts[reason] += 1
        if len(self.first) < KEPT:
            self.first.append(BadLine(number, reason, text[:200]))

    def summary(self, path: Path) -> str:
        """One sentence with the count of each reason and its first line."""
        parts = []
        for reason, count in self.counts.most_common():
            line = next((line for line in self.first if line.reason == reason), None)
            where = f", first in line {line.number}: {line.text!r}" if line else ""
            parts.append(f"{count:,} x {reason}{where}")
        return f"{path.name}: {self.counts.total():,} lines set aside: " + "; ".join(parts)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every line that is not blank with its number, from 1 on.

    A byte order mark and Windows line ends are accepted; bytes that are no UTF-8 are escaped.

    Raises:
        CodecfakeError: If the file is absent, or gzipped and damaged.
    """
    if not path.is_file():
        raise CodecfakeError(f"there is no file {path}", next_step="check the path")
    with path.open("rb") as handle:
        is_gzip = handle.read(2) == GZIP_MAGIC
    opened = gzip.open if is_gzip else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="backslashreplace") as lines:
            for number, line in enumerate(_cut_lines(lines), start=1):
                if line := line.strip():
                    yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CodecfakeError(
            f"{path} cannot be unpacked: {error}",
            cause="the download or copy was cut off",
            next_step="get the file again",
        ) from error


def _cut_lines(lines: TextIO) -> Iterator[str]:
    """Yield lines; in place of the end of a long one, which never is in memory, a mark that no format reads."""
    while line := lines.readline(LONGEST_LINE):
        is_long = len(line) == LONGEST_LINE and not line.endswith("\n")
        if is_long:
            while (rest := lines.readline(LONGEST_LINE)) and not rest.endswith("\n"):
                pass
        yield f"{line} ... (longer than {LONGEST_LINE:,} characters)" if is_long else line
