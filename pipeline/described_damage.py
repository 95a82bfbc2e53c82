"""Damage of what a run says about itself beside shards and splits: its stamp, its source manifest, its detectors."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from codecfake.manifests.checksums import MAXIMUM_BYTES, altered_files
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import read_plain
from codecfake.manifests.records import read_json
from codecfake.pipeline.by_hand import FROM_BACKUP
from codecfake.pipeline.config import SAVED_AS as CONFIG
from codecfake.pipeline.fingerprint import SAVED_AS as STAMP
from codecfake.pipeline.fingerprint import digest
from codecfake.pipeline.imports.record import KEY as IMPORTED
from codecfake.pipeline.retry_numbers import lost_plans, plan_folder
from codecfake.pipeline.shard_store import ITEMS, published_shards
from codecfake.pipeline.source import CHECKSUMS_SUFFIX, RETRIES, SOURCE
from codecfake.pipeline.splitting import current_splits

DETECTORS = "detectors"
DESCRIPTION = "model.json"
WEIGHTS = "model.safetensors"
DAMAGED = ".damaged-"
"""Stands in the name of a detector that `codecfake retry` set aside."""
PLAN_IS_GONE = "it is gone; its audio is there, and what is still quarantined is planned anew"


def described_damage(run_dir: Path) -> Iterator[tuple[Path, str]]:
    """Hold the stamp of a run, its source manifest and the weights of its detectors against their digests.

    Yields:
        Path, and what is wrong with it.
    """
    yield from _stamp_damage(run_dir)
    yield from source_damage(run_dir)
    for plan in retry_plans(run_dir):
        yield from source_damage(plan)
    for number in lost_plans(run_dir):
        yield plan_folder(run_dir, number), PLAN_IS_GONE
    for folder in detectors(run_dir):
        yield from detector_damage(folder)


def source_damage(run_dir: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong with the source manifest of a run, or of a retry; a build that just began has none."""
    source = run_dir / SOURCE
    if not os.path.lexists(source):
        if _is_needed(run_dir):
            yield source, "it is gone"
        return
    names = [source.name, source.with_suffix(".csv").name]
    yield from listed_damage(source.with_suffix(CHECKSUMS_SUFFIX), names)


def _is_needed(folder: Path) -> bool:
    """Whether a run or a retry came as far as to have a source manifest; an import makes its shards before that."""
    is_planned = (folder / ITEMS).is_file()  # what a retry is to do
    return is_planned or bool(
        current_splits(folder) or ((folder / CONFIG).is_file() and published_shards(folder))
    )


def listed_damage(checksums: Path, names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Hold files against a list of digests, which has to name them.

    Args:
        checksums: The list.
        names: Files beside it.

    Yields:
        Path, and what is wrong with it.
    """
    try:
        lines = read_plain(checksums, MAXIMUM_BYTES).decode().splitlines()
        unnamed = [name for name in names if name not in {line.partition("  ")[2] for line in lines}]
    except FileNotFoundError:
        unnamed = list(names)
    except (OSError, UnicodeDecodeError):
        unnamed = []  # told below
    for name in unnamed:
        if not os.path.lexists(checksums.parent / name):
            yield checksums.parent / name, "it is gone"
    if unnamed:
        state = (
            "it lists too little"
            if checksums.is_file()
            else "it is gone, or the run is older than such lists"
        )
        again = f"sha256sum {' '.join(sorted(names))} > {checksums.name}"
        yield checksums, f"{state}; retry, or once you trust the files beside it, type there: {again}"
    yield from altered_files(checksums)


def _stamp_damage(run_dir: Path) -> Iterator[tuple[Path, str]]:
    path = run_dir / STAMP
    try:
        stamp = read_json(path, {"digest": str})
    except FileNotFoundError:
        if (run_dir / CONFIG).exists():
            yield path, f"it is gone; {FROM_BACKUP}"
        return
    except (OSError, CodecfakeError) as error:
        refuse_exhaustion(error)
        yield path, f"it cannot be read: {getattr(error, 'what', error)}; {FROM_BACKUP}"
        return
    # The digest of an import is that of the lists of the dataset.
    if IMPORTED not in stamp and digest(stamp.get("fingerprint", {})) != stamp["digest"]:
        yield path, f"its digest is not that of its fingerprint; {FROM_BACKUP}"


def retry_plans(run_dir: Path) -> list[Path]:
    """Folders of the retries of a run."""
    return sorted((run_dir / RETRIES).glob("[0-9]*"))


def detectors(run_dir: Path) -> list[Path]:
    """Folders of the trained detectors of a run, without those that were set aside."""
    names = (DESCRIPTION, WEIGHTS)
    found = {path.parent for name in names for path in (run_dir / DETECTORS).glob(f"[!.]*/{name}")}
    return sorted(folder for folder in found if DAMAGED not in folder.name)


def detector_damage(folder: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong with the weights of a trained detector."""
    weights, description = folder / WEIGHTS, folder / DESCRIPTION
    try:
        described = read_json(description, {"weights_sha256": str})["weights_sha256"]
    except FileNotFoundError:
        again = f"codecfake train RUN --name {folder.name}, as before"
        yield description, f"it is gone; bring it back from a backup, or train again: {again}"
        return
    except (OSError, CodecfakeError) as error:
        refuse_exhaustion(error)
        yield description, f"it cannot be read: {getattr(error, 'what', error)}"
        return
    try:
        if file_sha256(weights) != described:
            yield weights, "its sha256 is not that of model.json"
    except FileNotFoundError:
        yield weights, "it is gone"
    except OSError as error:
        refuse_exhaustion(error)
        yield weights, f"it cannot be read: {error}"
