"""Holding an export against its checksums and its lists, wherever it was sent."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from codecfake.manifests.checksums import MAXIMUM_BYTES, altered_files
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import read_plain
from codecfake.pipeline.exports.card import CARD, LICENCES
from codecfake.pipeline.exports.croissant import CROISSANT
from codecfake.pipeline.exports.export import CHECKSUMS
from codecfake.pipeline.exports.hugging_face import AUDIO_FOLDER
from codecfake.pipeline.exports.listing import MANIFEST
from codecfake.pipeline.exports.loose_audio import expected_audio, read_listing
from codecfake.pipeline.exports.naming import ENDING, stem_of
from codecfake.pipeline.exports.record import RECORD, format_of, is_complete
from codecfake.pipeline.exports.tree import ARCHIVES
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.split_folders import TREE_NAME

ALSO_IN = {"tree": {TREE_NAME: ARCHIVES, ARCHIVES: TREE_NAME}, "hf": {AUDIO_FOLDER: "data"}}
"""By format: folders of which the same audio lies in another one, so that a copy may do without them."""
HASH_THREADS = 4
FILES_PER_STEP = 256
GONE = "it is gone"


@dataclass(frozen=True)
class ExportCheck:
    """What was checked, and what is wrong."""

    folder: Path
    listed: int
    """Files that the checksums name."""
    loose_audio: int
    """Audio files beside archives, hashed."""
    left_out: int
    """Files of folders that are not there as a whole, and whose audio lies in another one: not unpacked, say."""
    damage: dict[str, str]
    """Paths relative to the folder, and what is wrong with each."""

    @property
    def is_whole(self) -> bool:
        """Whether everything that is there is as it was exported, and nothing is lost."""
        return not self.damage


def find_export(data: Path) -> Path | None:
    """The export that a folder is, or whose tree it is."""
    folders = (data, data.parent) if data.name == TREE_NAME else (data,)
    return next((folder for folder in folders if (folder / RECORD).is_file()), None)


def check_export(folder: Path, monitor: Monitor) -> ExportCheck:
    """Hash what an export holds; nothing is written.

    Args:
        folder: The export.
        monitor: Told about the progress.

    Returns:
        What is damaged, gone, or in a place that the lists do not name.

    Raises:
        CodecfakeError: If a list is whole by its checksum, and none that this version reads.
        Stopped: If the user asked to stop.
    """
    form, names = format_of(folder), _listed(folder / CHECKSUMS)
    damage: dict[str, str] = {}
    left_out = 0
    if not is_complete(folder):
        damage[RECORD] = "the export was stopped before its end"
    for path, problem in altered_files(folder / CHECKSUMS):
        monitor.raise_if_stopped()
        name = path.relative_to(folder).as_posix()
        if _may_lack(folder, form, name):
            left_out += 1
        else:
            damage[name] = problem
    if lacking := [name for name in (MANIFEST, CARD, LICENCES, CROISSANT) if name not in names]:
        is_there = (folder / CHECKSUMS).is_file()
        damage[CHECKSUMS] = f"it is cut short: {lacking[0]} is not in it" if is_there else GONE
    lists = (MANIFEST, CHECKSUMS, *(name for name in names if name.endswith(".jsonl")))
    if damage.keys() & lists or not (folder / MANIFEST).is_file():
        return ExportCheck(folder, len(names), 0, left_out, damage)
    listing = read_listing(folder)
    expected = expected_audio(folder, form, listing)
    packed = {name for name in listing["location"].unique().to_pylist() if not ENDING.search(name)}
    if unlisted := packed - names:
        damage[CHECKSUMS] = f"it is cut short: {min(unlisted)} is not in it"
    found = set(_audio_in(folder))
    for name in expected.keys() - found:
        if _may_lack(folder, form, name):
            left_out += 1
        else:
            damage[name] = GONE
    digests_of = dict(
        zip(map(stem_of, listing["file"].to_pylist()), listing["sha256"].to_pylist(), strict=True)
    )
    places = {name.partition("/")[0] for name in expected}
    digests = {
        name: expected.get(name)
        if name.partition("/")[0] in places
        else digests_of.get(stem_of(Path(name).name))
        for name in sorted(found)
    }
    damage |= _check_audio(folder, digests, monitor)
    return ExportCheck(folder, len(names), len(found), left_out, dict(sorted(damage.items())))


def _listed(sums: Path) -> set[str]:
    try:
        lines = read_plain(sums, MAXIMUM_BYTES).decode(errors="replace").splitlines()
    except OSError as error:
        refuse_exhaustion(error)
        return set()
    return {line.partition("  ")[2] for line in lines}


def _may_lack(folder: Path, form: str, name: str) -> bool:
    """Whether a file is of a folder that is not there, while the same audio lies in another one."""
    other = ALSO_IN.get(form, {}).get(name.partition("/")[0])
    return other is not None and (folder / other).is_dir() and not (folder / name).parent.exists()


def _audio_in(folder: Path) -> Iterator[str]:
    """Paths of audio files, but for what file managers leave."""
    for where, _, names in os.walk(folder):
        inside = Path(where).relative_to(folder)
        yield from (
            (inside / name).as_posix() for name in names if ENDING.search(name) and not name.startswith(".")
        )


def _check_audio(folder: Path, digests: dict[str, str | None], monitor: Monitor) -> dict[str, str]:
    def problem_of(name: str) -> str:
        if digests[name] is None:
            return "the lists do not name it in this place"
        try:
            is_same = file_sha256(folder / name) == digests[name]
            return "" if is_same else f"its sha256 is not that of {MANIFEST}"
        except OSError as error:
            refuse_exhaustion(error)
            return f"it cannot be read: {error}"

    damage: dict[str, str] = {}
    if not digests:
        return damage
    monitor.begin("check", len(digests), "files")
    names = list(digests)
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        for start in range(0, len(names), FILES_PER_STEP):
            monitor.raise_if_stopped()
            some = names[start : start + FILES_PER_STEP]
            problems = zip(some, pool.map(problem_of, some), strict=True)
            damage |= {name: problem for name, problem in problems if problem}
            monitor.advance(len(some))
    monitor.end()
    return damage
