"""A small run with a codec of train and one that is met in the evaluation alone, for the tests of exports."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import outside_codec
import pytest
from run_helpers import build_here, manifest, settings

from codecfake.pipeline.exports.export import ExportReport, export_run
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.weights import mini_folder

SPLIT = "published-seed0"


@contextmanager
def built_run(folder: Path, corpora) -> Iterator[Path]:
    """Build real, F04 and X1 of 21 utterances; X1 can be found while the block runs."""
    site, weights = outside_codec.install(folder / "outside")
    for suffix in ("safetensors", "json"):
        shutil.copy(mini_folder() / f"F04.{suffix}", weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        config = settings(corpora, _Weights(weights), folder / "run", codecs="F04,X1")
        build_here(config)
        yield config.out


class _Weights:
    def __init__(self, weights: Path) -> None:
        self.weights = weights


def export(run: Path, out: Path, form: str, monitor: Monitor | None = None) -> ExportReport:
    return export_run(run, out, form, SPLIT, monitor or Monitor())


def rows_by_file(run: Path) -> dict[str, dict]:
    return {row["file"]: row for row in manifest(run)}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Content of every file below a folder, but for the lock and what carries the day."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    }
