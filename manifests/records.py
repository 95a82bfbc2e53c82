"""Reading the JSON and Parquet files that this program has written, which may be damaged since."""

import json
from collections.abc import Iterator, Mapping, Sequence
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
        DamagedFileError: If it is none, or lacks a column.
        OSError: If it cannot be opened.
    """
    import pyarrow.parquet as pq

    with _refused(path, next_step):
        return pq.read_table(path, columns=columns, schema=schema)


def parquet_columns(path: Path, *, next_step: str = "") -> list[str]:
    """Names of the columns of a Parquet file; errors are those of `read_parquet`."""
    import pyarrow.parquet as pq

    with _refused(path, next_step):
        return pq.read_schema(path).names


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
