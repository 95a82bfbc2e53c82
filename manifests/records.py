"""Reading the JSON and Parquet files that this program has written, which may be damaged since."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import open_plain, read_plain

if TYPE_CHECKING:
    import pyarrow as pa

MAXIMUM_JSON_BYTES = 1 << 28
"""The largest that is written names the files of a feature cache: 1,058,216 of them take some 70 MB."""

MOST_ROWS = 1 << 23
"""Of a table: eight times the published dataset."""
MOST_TABLE_BYTES = 1 << 30
BYTES_PER_ROW = 1 << 10
"""What a table may take in memory: the first in any case, else the second for each row; manifests take some 450."""
PLAIN_ENCODINGS = {"PLAIN", "RLE", "BIT_PACKED"}
"""Columns in these take in memory what their pages take; in others a value may stand once for every row."""
DICTIONARY_ENCODINGS = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}
BYTES_PER_VALUE = 8
"""Of a number, or of the offset of a text; a column without a single value has them too."""
ROWS_PER_LOOK = 1 << 16


class DamagedFileError(CodecfakeError):
    """A file is not what was once written."""


def read_json(path: Path, fields: Mapping[str, Any], *, next_step: str = "") -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        fields: What it has at least: names with their type, or a tuple of types.
        next_step: What to type when it is damaged.

    Raises:
        DamagedFileError: If it is no such object; the message names the file.
        OSError: If it cannot be read.
    """
    content = parse_json(read_plain(path, MAXIMUM_JSON_BYTES), path, next_step=next_step)
    if not isinstance(content, dict):
        raise _damaged(path, "it holds no settings by name", next_step)
    for name, kind in fields.items():
        if not isinstance(content.get(name), kind):
            raise _damaged(path, f"it has no {name!r} of the right kind", next_step)
    return content


def read_json_list(path: Path, *, next_step: str = "") -> list[Any]:
    """Do as `read_json` for a JSON array."""
    content = parse_json(read_plain(path, MAXIMUM_JSON_BYTES), path, next_step=next_step)
    if not isinstance(content, list):
        raise _damaged(path, "it holds no list", next_step)
    return content


def parse_json(content: bytes, where: object, *, next_step: str = "") -> Any:
    """Parse JSON that came from ``where``.

    Raises:
        DamagedFileError: If it is none, or nested too deeply.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"it is no JSON ({error})", next_step) from error


def read_parquet(
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    schema: "pa.Schema | None" = None,
    next_step: str = "",
) -> "pa.Table":
    """Read a Parquet file.

    Args:
        path: The file.
        columns: The columns wanted, all by default.
        schema: What to read it as, where others than that have to be refused.
        next_step: What to type when it is damaged.

    Raises:
        DamagedFileError: If it is none, lacks a column, or would take far more memory than any table of this program.
        OSError: If it cannot be opened.
    """
    import pyarrow.parquet as pq

    with _refused(path, next_step):
        wanted = columns if columns is not None else schema.names if schema is not None else None
        if excess := _excess(path, wanted):
            raise _damaged(path, excess, next_step)
        return pq.read_table(path, columns=columns, schema=schema)


def parquet_columns(path: Path, *, next_step: str = "") -> list[str]:
    """Names of the columns of a Parquet file; errors are those of `read_parquet`."""
    import pyarrow.parquet as pq

    with _refused(path, next_step):
        return pq.read_schema(path).names


def _excess(path: Path, columns: Sequence[str] | None) -> str:
    """What is too much of a table, found without reading it all at once: a small file may hold a large one."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        data = file.metadata
        groups = [data.row_group(number) for number in range(data.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    if columns is not None:
        chunks = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
    stored = sum(chunk.total_uncompressed_size for chunk in chunks)
    most = max(MOST_TABLE_BYTES, data.num_rows * BYTES_PER_ROW)
    if data.num_rows > MOST_ROWS or stored > most:
        return f"{data.num_rows:,} rows with {stored:,} bytes are more than any table here has"
    values = sum(chunk.num_values for chunk in chunks)
    if values * stored <= MOST_TABLE_BYTES:
        return ""  # even with its longest values in every row
    packed = [chunk for chunk in chunks if not PLAIN_ENCODINGS.issuperset(chunk.encodings)]
    # Delta encodings cannot be read as a dictionary.
    dictionaries = {
        chunk.path_in_schema for chunk in packed if DICTIONARY_ENCODINGS.intersection(chunk.encodings)
    }
    taken = stored + values * BYTES_PER_VALUE
    if taken > most:
        return f"{values:,} values in {data.num_rows:,} rows are more than any table here has"
    for size in _sizes(path, {chunk.path_in_schema for chunk in packed}, dictionaries):
        taken += size
        if taken > most:
            return f"its {data.num_rows:,} rows would take more than {most:,} bytes"
    return ""


def _sizes(path: Path, columns: Collection[str], dictionaries: Collection[str]) -> Iterator[int]:
    """Bytes that the values of some leaf columns take in memory, some rows after the other."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, read_dictionary=sorted(dictionaries)) as file:
        for batch in file.iter_batches(ROWS_PER_LOOK, columns=sorted(columns)):
            for column in batch.columns:
                values = column.flatten() if pa.types.is_list(column.type) else column
                if pa.types.is_dictionary(values.type):
                    yield pc.sum(pc.take(pc.binary_length(values.dictionary), values.indices)).as_py() or 0
                else:
                    yield values.nbytes


@contextmanager
def _refused(path: Path, next_step: str) -> Iterator[None]:
    """Turn what pyarrow raises for a damaged file into an error that names it."""
    import pyarrow as pa

    open_plain(path).close()
    try:
        yield
    except (pa.ArrowException, ValueError, OSError) as error:
        refuse_exhaustion(error)
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise _damaged(path, f"it is no such table ({what})", next_step) from error


def _damaged(where: object, what: str, next_step: str) -> DamagedFileError:
    return DamagedFileError(
        f"{where} is damaged: {what}",
        cause="it was changed or cut off since it was written",
        next_step=next_step,
    )
