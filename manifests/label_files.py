"""Codecfake's label files: ``file real|fake method`` per line, separated by spaces, without a header."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from codecfake.manifests.atomic import published
from codecfake.manifests.dataset import condition_rows
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.splits import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

LABEL_WORDS = tuple(label.published_name for label in Label)
FILE_NAME = r"[^\s\pZ\pC/\\]+"
"""RE2 pattern of a name that can stand in a label file; ``.`` and ``..`` are refused besides."""
LABEL = "|".join(LABEL_WORDS)
LINE = rf"^[ \t]*(?P<file>{FILE_NAME})[ \t]+(?P<label>{LABEL})[ \t]+(?P<method>\S+)[ \t\r]*\n?$"
LONGEST_LINE_BYTES = 1024
LINES_PER_BATCH = 65_536
KEPT_BAD_LINES = 1_000


@dataclass(frozen=True)
class BadLine:
    """A line that is no label, with its 1-based number."""

    number: int
    reason: str
    text: str


@dataclass(frozen=True)
class LabelFile:
    """What a label file says: ``entries`` has the string columns file, label (real|fake) and method."""

    path: Path
    entries: "pa.Table"
    bad_lines: tuple[BadLine, ...]
    """The first ``KEPT_BAD_LINES`` of them."""
    bad_line_count: int


def _numbered_lines(handle: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield every line with its number; None for one that is longer than a label can be."""
    number = 0
    while line := handle.readline(LONGEST_LINE_BYTES):
        number += 1
        is_long = len(line) == LONGEST_LINE_BYTES and not line.endswith(b"\n")
        if is_long:
            while (rest := handle.readline(LONGEST_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield number, None if is_long else line


def _explain(line: bytes | None) -> tuple[str, str]:
    """Say why a line is no label, and give its text."""
    if line is None:
        return f"longer than {LONGEST_LINE_BYTES:,} bytes", ""
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        return "not UTF-8 text", line.strip().decode(errors="backslashreplace")
    columns = re.split(r"[ \t]+", text)
    if len(columns) != 3:
        return f"{len(columns)} columns, expected 3: file, real|fake, method", text
    if "/" in columns[0] or "\\" in columns[0] or columns[0] in (".", ".."):
        return "the file name is a path; expected a name alone", text
    if columns[1] not in LABEL_WORDS:
        return f"label {columns[1]!r} is neither real nor fake", text
    return "the file name has characters that cannot be seen", text


def read_label_file(path: Path) -> LabelFile:
    """Read a label file; what cannot be read is reported, and never stops the reading.

    Blank lines are ignored; a byte order mark and Windows line ends are accepted. Memory does not grow with
    the length of a line nor with the number of bad lines.

    Args:
        path: The label file.

    Returns:
        Its labels in their order, and its bad lines.

    Raises:
        OSError: If it is absent, cannot be read, or is a folder, a pipe or a device.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = pa.schema([(name, pa.string()) for name in ("file", "label", "method")])
    tables, bad, bad_count = [schema.empty_table()], [], 0

    def parse(first: int, lines: list[bytes | None]) -> None:
        nonlocal bad_count
        binary = pa.array(lines, pa.binary())
        try:
            text = binary.cast(pa.string())
        except pa.ArrowInvalid:
            text = pa.array([_decoded(line) for line in lines], pa.string())
        columns = pc.extract_regex(text, LINE)
        is_path = pc.is_in(columns.field("file"), pa.array([".", ".."]))
        is_good = pc.and_(columns.is_valid(), pc.invert(is_path))
        tables.append(pa.Table.from_struct_array(columns.filter(is_good)).cast(schema))
        is_blank = pc.fill_null(pc.match_substring_regex(binary, r"^\s*$"), False)
        wrong = np.flatnonzero(~np.asarray(pc.or_(is_good, is_blank)))
        bad_count += len(wrong)
        for index in wrong[: KEPT_BAD_LINES - len(bad)]:
            reason, excerpt = _explain(lines[index])
            bad.append(BadLine(first + int(index), reason, excerpt[:200]))

    with BufferedReader(open_plain(path)) as handle:
        batch: list[bytes | None] = []
        number = 0
        for number, line in _numbered_lines(handle):
            batch.append(line)
            if len(batch) == LINES_PER_BATCH:
                parse(number - len(batch) + 1, batch)
                batch = []
        parse(number - len(batch) + 1, batch)
    return LabelFile(path, pa.concat_tables(tables), tuple(bad), bad_count)


def _decoded(line: bytes | None) -> str | None:
    try:
        return None if line is None else line.decode()
    except UnicodeDecodeError:
        return None


def write_label_files(table: "pa.Table", folder: Path) -> dict[str, int]:
    """Write ``train.txt``, ``dev.txt`` and one file per condition.

    Args:
        table: A dataset manifest; its order is the order of the lines.
        folder: Where the files go.

    Returns:
        Lines per file, by its name without ``.txt``.

    Raises:
        CodecfakeError: If a file name cannot stand in a label file, as one with a space.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_name = pc.match_substring_regex(table["file"], f"^{FILE_NAME}$")
    if not pc.all(is_name).as_py() and table.num_rows:
        name = table["file"].filter(pc.invert(is_name))[0].as_py()
        raise CodecfakeError(
            f"{name!r} cannot stand in a label file",
            cause="label files separate their columns by spaces, and name files without folders",
            next_step="rename the recording in the corpus, and build again",
        )
    lines = pc.binary_join_element_wise(table["file"], table["label"], table["method"], " ").combine_chunks()
    rows = {name: np.flatnonzero(pc.equal(table["split"], name)) for name in SPLITS[:2]}
    rows |= condition_rows(table)
    for name, index in rows.items():
        with published(folder / f"{name}.txt") as temporary, temporary.open("w", encoding="utf-8") as handle:
            handle.writelines(f"{line}\n" for line in lines.take(pa.array(index)).to_numpy(False))
    return {name: len(index) for name, index in rows.items()}
