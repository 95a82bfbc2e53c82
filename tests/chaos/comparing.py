"""What a folder shows to a reader, and what of it two runs of the same work have to agree on."""

import hashlib
import io
import json
import os
import re
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

OF_THE_MOMENT = {
    "date",
    "datePublished",
    "environment",
    "folder",
    "made",
    "process",
    "published_at",
    "seconds",
    "stage_seconds",
    "utterances_per_second",
    "waiting_percent",
    "wall_seconds",
}
"""Keys and columns that say when, where and how fast something was done; two calm runs differ in them."""
TIME_OF_DAY = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?")


def visible_files(folder: Path) -> dict[str, Path]:
    """Every file that a reader would look at, by its relative path: none whose name begins with a dot."""
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = Path(parent, name)
                found[path.relative_to(folder).as_posix()] = path
    return found


def essence(path: Path) -> str:
    """Hash what a file says, without what belongs to the moment of its making.

    Raises:
        ValueError: If it is not whole.
        OSError: If it cannot be read.
    """
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(_lasting(json.loads(content)), sort_keys=True).encode()
    elif path.suffix == ".html":
        content = TIME_OF_DAY.sub(b"", content)
    elif path.name == "history.csv":
        content = _lasting_columns(content.decode()).encode()
    elif path.suffix == ".pt" and not zipfile.is_zipfile(io.BytesIO(content)):
        raise ValueError("the end of its archive is missing")
    elif path.suffix == ".safetensors" and len(content) != _safetensors_size(content):
        raise ValueError("its tensors are cut off")
    return hashlib.sha256(content).hexdigest()


def essences(folder: Path, passing: tuple[str, ...]) -> dict[str, str]:
    """The essence of every visible file but for those whose pattern is in ``passing``."""
    return {
        name: essence(path)
        for name, path in sorted(visible_files(folder).items())
        if not matches(name, passing)
    }


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """In words: what is missing, what is too much, what says something else."""
    return [
        *(f"{name} is missing" for name in sorted(expected.keys() - found.keys())),
        *(f"{name} is too much" for name in sorted(found.keys() - expected.keys())),
        *(
            f"{name} differs"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ),
    ]


def _safetensors_size(content: bytes) -> int:
    """How long a file is by its own header."""
    length = int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8 : 8 + length])
    return 8 + length + max(one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__")


def _lasting(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _lasting(value) for key, value in content.items() if key not in OF_THE_MOMENT}
    return [_lasting(value) for value in content] if isinstance(content, list) else content


def _lasting_columns(text: str) -> str:
    if not text.endswith("\n"):
        raise ValueError("its last line is torn")
    header, *rows = [line.split(",") for line in text.splitlines()]
    kept = [place for place, name in enumerate(header) if name not in OF_THE_MOMENT]
    return "\n".join(",".join(row[place] for place in kept) for row in [header, *rows])
