"""The record of an export: which one a folder holds, whether it is complete, and which of its files are absent."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codecfake.manifests.atomic import TEMPORARY_PREFIX, publish_json
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.run_lock import LOCK

RECORD = "export.json"
IS_COMPLETE = "is_complete"


def publish_record(out: Path, head: Mapping[str, Any], *, is_complete: bool) -> None:
    """Say what a folder holds.

    Args:
        out: The export.
        head: What tells the export from any other.
        is_complete: Whether everything is there.
    """
    publish_json(out / RECORD, {**head, IS_COMPLETE: is_complete})


def is_complete(out: Path) -> bool:
    """Whether the call that wrote an export came to its end."""
    return bool(_read(out).get(IS_COMPLETE))


def format_of(out: Path) -> str:
    """In which format an export is, as far as its record tells."""
    return str(_read(out).get("format", ""))


def absent(out: Path, paths: Iterable[str]) -> set[str]:
    """Those of the files of an export that are not there; each folder is listed once, whatever it holds."""
    folders: dict[str, set[str]] = {}
    lost = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in folders:
            folders[folder] = _files_in(out / folder)
        if name not in folders[folder]:
            lost.add(path)
    return lost


def refuse_strangers(out: Path, head: Mapping[str, Any]) -> None:
    """Refuse a folder for an export that cannot be made there, or would overwrite something else.

    Args:
        out: Where the export goes.
        head: What tells it from any other.

    Raises:
        CodecfakeError: If it holds another export or files of the user, or cannot be a folder.
    """
    _refuse_what_is_no_folder(out)
    present = _read(out)
    if present and {name: value for name, value in present.items() if name != IS_COMPLETE} != head:
        is_other = any(present.get(name) != head[name] for name in ("format", "split"))
        raise CodecfakeError(
            f"{out} holds another export: {present.get('format')} of split {present.get('split')}",
            cause=""
            if is_other
            else "since then the run was split again or robustness conditions were added, removed or made anew, "
            "or another version of codecfake began it",
            next_step="give a new folder; nothing was written",
        )
    if not present and out.is_dir():
        # A call that was killed at its very start leaves its lock, and its record unpublished.
        own = (LOCK, f"{TEMPORARY_PREFIX}{RECORD}")
        strangers = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith(own))
        if strangers:
            raise CodecfakeError(
                f"{out} is no export, but holds {', '.join(strangers[:5])}",
                next_step="give a new or empty folder; nothing was written",
            )


def _refuse_what_is_no_folder(out: Path) -> None:
    nearest = next(path for path in (out, *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        what = "a link to what is not there" if nearest.is_symlink() and not nearest.exists() else "a file"
        raise CodecfakeError(f"{nearest} is {what}", next_step="give a new or empty folder")


def _files_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _read(out: Path) -> dict[str, Any]:
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
