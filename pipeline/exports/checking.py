"""Holding an export against its checksums and its manifest, wherever it was sent."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.checksums import altered_files
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import open_plain
from codecfake.pipeline.exports.export import CHECKSUMS
from codecfake.pipeline.exports.listing import MANIFEST
from codecfake.pipeline.exports.naming import ENDING, stem_of
from codecfake.pipeline.exports.record import RECORD, is_complete
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.split_folders import TREE_NAME

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("location", "file", "sha256")
HASH_THREADS = 4
FILES_PER_STEP = 256


@dataclass(frozen=True)
class ExportCheck:
    """What was checked, and what is wrong."""

    folder: Path
    listed: int
    """Files that the checksums name."""
    loose_audio: int
    """Audio files beside archives, hashed against the manifest."""
    damage: dict[str, str]
    """Paths relative to the folder, and what is wrong with each."""

    @property
    def is_whole(self) -> bool:
        """Whether everything is as it was exported."""
        return not self.damage


def find_export(data: Path) -> Path | None:
    """The export that a folder is, or whose tree it is."""
    folders = (data, data.parent) if data.name == TREE_NAME else (data,)
    return next((folder for folder in folders if (folder / RECORD).is_file()), None)


def check_export(folder: Path, monitor: Monitor) -> ExportCheck:
    """Hash what an export holds; nothing is written.

    Args:
        folder: The export; an archive may be unpacked or not.
        monitor: Told about the progress.

    Returns:
        What is damaged, gone, or named nowhere.

    Raises:
        Stopped: If the user asked to stop.
    """
    damage: dict[str, str] = {}
    if not is_complete(folder):
        damage[RECORD] = "the export was stopped before its end; the same command finishes it"
    sums = folder / CHECKSUMS
    if not sums.is_file():
        damage[CHECKSUMS] = "it is gone"
    for path, problem in altered_files(sums):
        monitor.raise_if_stopped()
        damage[path.relative_to(folder).as_posix()] = problem
    audio: list[Path] = []
    if MANIFEST not in damage and CHECKSUMS not in damage:
        audio = sorted(path for path in folder.rglob("*") if ENDING.search(path.name))
        damage |= _check_audio(folder, audio, monitor)
    listed = sums.read_bytes().count(b"\n") if CHECKSUMS not in damage else 0
    return ExportCheck(folder, listed, len(audio), damage)


def _check_audio(folder: Path, audio: list[Path], monitor: Monitor) -> dict[str, str]:
    rows = _read_manifest(folder / MANIFEST).to_pydict()
    digest_of = dict(zip(map(stem_of, rows["file"]), rows["sha256"], strict=True))

    def problem_of(path: Path) -> str:
        expected = digest_of.get(stem_of(path.name))
        if expected is None:
            return f"{MANIFEST} does not name it"
        try:
            return "" if file_sha256(path) == expected else f"its sha256 is not that of {MANIFEST}"
        except OSError as error:
            refuse_exhaustion(error)
            return f"it cannot be read: {error}"

    present = {path.relative_to(folder).as_posix() for path in audio}
    damage = {
        location: "it is gone"
        for location in rows["location"]
        if ENDING.search(location) and location not in present
    }
    monitor.begin("check", len(audio), "files")
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        for start in range(0, len(audio), FILES_PER_STEP):
            monitor.raise_if_stopped()
            some = audio[start : start + FILES_PER_STEP]
            problems = zip(some, pool.map(problem_of, some), strict=True)
            damage |= {path.relative_to(folder).as_posix(): problem for path, problem in problems if problem}
            monitor.advance(len(some))
    monitor.end()
    return damage


def _read_manifest(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.csv as csv

    columns = csv.ConvertOptions(
        include_columns=list(COLUMNS), column_types=dict.fromkeys(COLUMNS, pa.string())
    )
    with BufferedReader(open_plain(path)) as file:
        return csv.read_csv(file, csv.ReadOptions(), csv.ParseOptions(newlines_in_values=True), columns)
