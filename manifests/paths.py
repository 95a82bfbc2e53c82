"""Names and paths in tables of others: none may lead out of the folder that they are relative to."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from codecfake.manifests.errors import CodecfakeError

if TYPE_CHECKING:
    import pyarrow as pa

ESCAPING_PATH = r"^[A-Za-z]:|[\\\x00]|(^|/)\.{0,2}(/|$)"
"""RE2 pattern of a path that is absolute or has an empty, ``.`` or ``..`` part."""
ESCAPING_NAME = r"^\.{0,2}$|[/\\\x00]"
"""RE2 pattern of what is no plain name of a file or folder."""
ESCAPING_STEM = r"[/\\\x00]"
"""RE2 pattern of what can be no part of such a name."""


def open_no_link(path: Path, mode: str) -> BinaryIO:
    """Open a file for writing, unless it is a symbolic link: in a folder of others that could lead anywhere.

    Raises:
        OSError: If it is one.
    """
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666))


def refuse_escapes(
    table: "pa.Table", *, paths: Sequence[str] = (), names: Sequence[str] = (), stems: Sequence[str] = ()
) -> None:
    """Refuse a table that names something outside of its folder.

    Args:
        table: Columns of strings, or of lists of strings.
        paths: Columns of relative paths.
        names: Columns of plain names of files or folders.
        stems: Columns of what becomes a part of the name of a file.

    Raises:
        CodecfakeError: With the first such path or name.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for columns, pattern in ((paths, ESCAPING_PATH), (names, ESCAPING_NAME), (stems, ESCAPING_STEM)):
        for column in columns:
            values = table[column]
            values = pc.unique(pc.list_flatten(values) if pa.types.is_list(values.type) else values)
            wrong = values.filter(pc.match_substring_regex(values, pattern))
            if len(wrong):
                raise CodecfakeError(
                    f"the manifest names {wrong[0].as_py()!r}, which could lead out of the run folder",
                    cause="manifests hold plain names of files, and paths relative to their run",
                )
