"""Reading protocols: text tables of a million rows into trial lists, with a note on every oddity."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.detector.trials import Rejected, TrialList, as_objects
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.plain_files import read_plain

if TYPE_CHECKING:
    import pyarrow as pa


MAXIMUM_BYTES = 1 << 30
"""Of a protocol; the largest of the field has some 60 MB."""
KEPT_REJECTED = 1_000
"""Contradictory lines of a list that are told one by one."""
FILE_NAME = r"^[^\pC]+$"
"""RE2 pattern of a name that can stand in a score file: no tab, no line end, nothing that cannot be seen."""


def read_words(path: Path, columns: Sequence[str], notes: list[str]) -> "pa.Table":
    """Read a table whose columns are separated by spaces or tabs, without a header.

    Args:
        path: The text file.
        columns: Names of the leading columns; further ones of a line are ignored.
        notes: Receives a sentence about lines that have fewer columns.

    Returns:
        A table of strings with ``columns``.

    Raises:
        CodecfakeError: If it is no text file.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    text = _read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    lines = pa.array(text.split("\n"), pa.string())
    words = r"\s+".join(rf"(?P<{name}>\S+)" for name in columns)
    parsed = pc.extract_regex(lines, rf"^\s*{words}(?:\s.*)?$")
    good = parsed.is_valid()
    blank = pc.match_substring_regex(lines, r"^\s*$")
    bad = len(lines) - pc.sum(pc.or_(good, blank)).as_py() if len(lines) else 0
    if bad:
        notes.append(f"{path.name}: {bad:,} lines have fewer than {len(columns)} columns and were left out")
    return pa.Table.from_struct_array(parsed.filter(good)).select(list(columns))


def read_header_csv(path: Path, columns: Sequence[str], notes: list[str]) -> "pa.Table":
    """Read columns of a CSV file with a header, as strings.

    Args:
        path: The CSV file.
        columns: Names of the columns.
        notes: Receives a sentence about rows that have another number of cells.

    Raises:
        CodecfakeError: If it is no CSV file, or lacks one of the columns.
    """
    import pyarrow as pa

    rows = csv.reader(StringIO(_read_text(path), newline=""))
    try:
        header = next(filter(None, rows), list(columns))
        if absent := [name for name in columns if name not in header]:
            raise CodecfakeError(
                f"{path} has no column {absent[0]!r}", cause="it is not the file of that name"
            )
        places = [header.index(name) for name in columns]
        filled = [row for row in rows if row]
    except csv.Error as error:
        raise CodecfakeError(
            f"{path} cannot be read: line {rows.line_num}: {error}", cause="it is not the file of that name"
        ) from error
    good = [row for row in filled if len(row) == len(header)]
    if bad := len(filled) - len(good):
        notes.append(f"{path.name}: {bad:,} lines have not {len(header)} cells and were left out")
    cells = [pa.array([row[place] for row in good], pa.string()) for place in places]
    return pa.table(cells, names=list(columns))


def _read_text(path: Path) -> str:
    """Read a whole text file; bytes that are no UTF-8 are escaped, so that they spoil their own line alone."""
    return read_plain(path, MAXIMUM_BYTES).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "backslashreplace")


def build_list(
    name: str,
    index: AudioIndex,
    files: "pa.Array | pa.ChunkedArray",
    words: "pa.Array | pa.ChunkedArray",
    *,
    folders: Sequence[str],
    notes: list[str],
    elsewhere: bool = True,
    why_missing: str = "",
    about: Mapping[str, "pa.Array | pa.ChunkedArray"] | None = None,
    rejected: list[Rejected] | None = None,
) -> TrialList:
    """Make a trial list out of a protocol's columns, and find its audio.

    Rows with an unknown label or a name that no score file can hold, and further rows of a file, are left out;
    missing audio is not. ``notes`` receives a sentence about each of them.

    Args:
        name: Name of the list.
        index: The audio.
        files: File names, N of them.
        words: Label words, beside ``files``.
        folders: Folders to look in first.
        notes: Receives the sentences.
        elsewhere: Whether to look in other folders too.
        why_missing: What is known about files that are missing.
        about: Further columns, beside ``files``.
        rejected: Receives the lines that give a file another label than an earlier one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    labels, is_label = _parse_labels(words)
    is_name = np.asarray(pc.match_substring_regex(_combined(files), FILE_NAME))
    known = is_label & is_name
    encoded = _combined(files).dictionary_encode()
    file_of = encoded.indices.to_numpy()
    _, first_of, name_of = np.unique(np.where(known, file_of, -1), return_index=True, return_inverse=True)
    first = np.zeros(len(encoded), dtype=bool)
    first[first_of] = True
    if unknown := int(np.count_nonzero(~known)):
        notes.append(f"{name}: {unknown:,} lines have no known label or file name and were left out")
    if repeated := int(np.count_nonzero(known & ~first)):
        notes.append(f"{name}: {repeated:,} lines name a file once more and were left out")
    other = np.flatnonzero(known & (labels != labels[first_of][name_of]))
    if len(other):
        notes.append(f"{name}: {len(other):,} of these lines give a file another label; the first counts")
    if rejected is not None:
        for line in other[:KEPT_REJECTED].tolist():
            here, before = (Label(labels[at]).published_name for at in (line, first_of[name_of[line]]))
            why = f"{here} here and {before} before; it stays {before}"
            rejected.append(Rejected(name, _combined(files)[line].as_py(), why, is_contradiction=True))
    rows = np.flatnonzero(known & first)
    chosen = pa.array(rows)
    kept = _combined(files).take(chosen)
    paths, missing = index.locate(kept, folders, elsewhere=elsewhere)
    trials = TrialList(
        name,
        index.root,
        kept.to_pylist(),
        paths,
        labels[rows],
        {key: as_objects(_combined(column).take(chosen)) for key, column in (about or {}).items()},
    )
    if missing.any():
        example = trials.files[int(np.argmax(missing))]
        lost = np.bincount(trials.labels[missing], minlength=len(Label))
        notes.append(
            f"{name}: {lost.sum():,} of {len(trials):,} files are missing ({lost[Label.BONA_FIDE]:,} bona fide, "
            f"{lost[Label.SPOOF]:,} spoof), such as {example}{why_missing and '; '}{why_missing}"
        )
    return trials


def constant(value: str, length: int) -> "pa.Array":
    """A column that says the same of every trial."""
    import pyarrow as pa

    return pa.repeat(value, length)


def _combined(column: "pa.Array | pa.ChunkedArray") -> "pa.Array":
    import pyarrow as pa

    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _parse_labels(words: "pa.Array | pa.ChunkedArray") -> tuple[np.ndarray, np.ndarray]:
    """Class indices, shape (N,), and which of the words are labels at all."""
    encoded = _combined(words).dictionary_encode()
    codes = []
    for word in encoded.dictionary.to_pylist():
        try:
            codes.append(int(Label.parse(word)))
        except ValueError:
            codes.append(-1)
    labels = np.array(codes, dtype=np.int64)[encoded.indices.to_numpy()]
    return labels, labels >= 0
