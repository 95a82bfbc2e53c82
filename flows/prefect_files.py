"""Where Prefect keeps its files and reads its settings: never in a run folder, which somebody else may have made.

Its settings name logging handlers, and a handler may be any function of any module: reading them is running them.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codecfake.manifests.errors import CodecfakeError

_OUR_CODE = Path(__file__).resolve().parent
_LONGEST_NAME = 40


def prefect_home(run_dir: Path) -> Path:
    """Where the records of Prefect about a run folder lie: among the user's own files, which no run brings along.

    Raises:
        CodecfakeError: If nobody knows where the user's files are.
    """
    from platformdirs import user_state_path

    try:
        states = user_state_path("codecfake")
    except RuntimeError as error:
        raise no_home("your home folder", error) from error
    if not states.is_absolute():
        raise no_home(states, "it is no absolute path")
    place = run_dir.resolve()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", place.name)[:_LONGEST_NAME]
    return states / "prefect" / f"{name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:12]}"


def no_home(folder: Path | str, why: object) -> CodecfakeError:
    """Tell that Prefect's files cannot lie in ``folder``."""
    return CodecfakeError(
        f"the records of Prefect cannot be kept in {folder}: {why}",
        cause="your home folder is missing, or not yours to write to",
        next_step="export XDG_STATE_HOME=/a/folder/of/yours, or repeat the command with --no-prefect",
    )


@contextmanager
def away_from_here() -> Iterator[None]:
    """Stand in our own code while the block runs.

    Prefect takes settings from ``.env``, ``prefect.toml`` and ``pyproject.toml`` of the working directory whenever it
    makes them: when it is imported, when settings change for a while, and in every process of its own.
    """
    if given := os.environ.get("PREFECT_HOME"):
        os.environ["PREFECT_HOME"] = os.path.abspath(given)  # noqa: PTH100, keeps links
    before = Path.cwd()
    os.chdir(_OUR_CODE)
    try:
        yield
    finally:
        with suppress(OSError):  # removed meanwhile, or never this user's to enter
            os.chdir(before)
