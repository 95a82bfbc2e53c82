"""Official checkpoints on this machine: found, downloaded, verified, and copied for another machine."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.manifests.atomic import publish_json, published
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.download import Report, download
from codecfake.pipeline.monitor import Monitor, count_into
from codecfake.pipeline.weights_hub import cached_hub_file, fetch_hub_file

CACHE_VARIABLE = "CODECFAKE_WEIGHTS"
"""Environment variable that names another folder for checkpoints that are not on the hub."""

SHA256_DIGITS = 64

RECORD = "fetched.json"
"""Digests of the files beside it, as they were when they were fetched."""


@dataclass(frozen=True)
class OfficialFiles:
    """The files of an official checkpoint, all here and verified."""

    folder: Path
    """They lie below it as their publisher names them."""
    sha256: Mapping[str, str]
    """Digest of each, by its path below the folder."""
    fetched: frozenset[str] = frozenset()
    """Paths of those that were not here before."""

    @property
    def digest(self) -> str:
        """Of one file, its own; of several, the sha256 of their sorted lines "path digest"."""
        if len(self.sha256) == 1:
            return next(iter(self.sha256.values()))
        lines = "".join(f"{path} {digest}\n" for path, digest in sorted(self.sha256.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def weights_cache() -> Path:
    """The folder of checkpoints that are not on the hub."""
    from platformdirs import user_cache_dir

    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser() if given else Path(user_cache_dir("codecfake")) / "weights"


def missing_files(official: OfficialCheckpoint, folder: Path | None = None) -> list[WeightsFile]:
    """The files that are not here, without looking into those that are, and without a network.

    Args:
        official: The checkpoint.
        folder: Where to look; the caches when absent.
    """
    if folder is None and is_on_hub(official):
        here = [cached_hub_file(official.repository, file.path, official.revision) for file in official.files]
    else:
        folder = folder or weights_cache() / official.name
        here = [path if (path := folder / file.path).is_file() else None for file in official.files]
    return [file for file, path in zip(official.files, here, strict=True) if path is None]


def fetch_official(card: CodecCard, monitor: Monitor) -> OfficialFiles:
    """Bring a codec's official checkpoint into the cache; what is there already is only verified.

    An interrupted download goes on where it stopped. Where neither the card nor the hub knows a digest, the one
    of the first download is recorded, and holds from then on.

    Args:
        card: Of the codec.
        monitor: Shows the downloads.

    Raises:
        CodecfakeError: If a file is not to be had, was altered or cut short, or the card names no checkpoint.
    """
    official = official_checkpoint(card)
    if is_on_hub(official):
        return _fetch_from_hub(official, monitor)
    return _fetch_from_addresses(card, official, monitor)


def copy_official(card: CodecCard, out: Path, monitor: Monitor) -> OfficialFiles:
    """Fetch a codec's official checkpoint into a folder of weights, for a machine without a network.

    The folder is what ``--weights`` takes there. A checkpoint that is there already is only verified.

    Args:
        card: Of the codec.
        out: The folder of weights; each checkpoint has a folder of its own in it.
        monitor: Shows the downloads.

    Raises:
        CodecfakeError: As ``fetch_official``, and if a file in ``out`` is another one.
    """
    official = official_checkpoint(card)
    folder = out / official.name
    missing = missing_files(official, folder)
    if missing:
        cached = fetch_official(card, monitor)
        _record(folder, official, cached)
        for file in missing:
            with published(folder / file.path) as temporary:
                shutil.copyfile(cached.folder / file.path, temporary)
    return replace(verify_official(card, folder), fetched=frozenset(file.path for file in missing))


def verify_official(card: CodecCard, folder: Path) -> OfficialFiles:
    """Hash a checkpoint's files in a folder that holds all of them, and compare with what is known of them.

    Raises:
        CodecfakeError: If one is not the published one, or not the one that was fetched.
    """
    official = official_checkpoint(card)
    recorded = _recorded(folder)
    digests = {}
    for file in official.files:
        path = folder / file.path
        digests[file.path] = found = file_sha256(path)
        expected = _expected(file, recorded)
        if not found.startswith(expected):
            known_from = "its publisher" if file.sha256 else str(folder / RECORD)
            raise CodecfakeError(
                f"{path} has sha256 {found}, expected {expected} (from {known_from})",
                cause="the file was altered or cut short, or is another version",
                next_step=f"remove it, then codecfake codecs fetch {card.id}, with --out where it lies in a folder "
                f"of yours; weights of your own in this format belong into FOLDER/{card.id}/",
            )
    return OfficialFiles(folder, digests)


def hash_files(official: OfficialCheckpoint, folder: Path) -> OfficialFiles:
    """Hash what a folder holds under the names of a checkpoint's files; they need not be the published ones.

    Raises:
        CodecfakeError: If it holds none of them.
    """
    here = [file.path for file in official.files if (folder / file.path).is_file()]
    if not here:
        expected = ", ".join(file.path for file in official.files)
        raise CodecfakeError(f"{folder} holds no weights", next_step=f"put there {expected}")
    return OfficialFiles(folder, {path: file_sha256(folder / path) for path in here})


def official_checkpoint(card: CodecCard) -> OfficialCheckpoint:
    """The checkpoint that a card names.

    Raises:
        CodecfakeError: If it names none.
    """
    if card.checkpoint is None:
        raise CodecfakeError(
            f"{card.id} ({card.title}) names no official checkpoint",
            next_step="give a folder with its weights: --weights PATH",
        )
    return card.checkpoint


def addresses(official: OfficialCheckpoint, file: WeightsFile) -> tuple[str, ...]:
    """Where a file may be had, in the order in which it is tried."""
    if official.repository is None:
        return file.urls
    on_hub = f"https://huggingface.co/{official.repository}/resolve/{official.revision}/{file.path}"
    return (*file.urls, on_hub)


def is_on_hub(official: OfficialCheckpoint) -> bool:
    """Whether all files come through the hub's own client and cache: none has an address of its own."""
    return not any(file.urls for file in official.files)


def _fetch_from_hub(official: OfficialCheckpoint, monitor: Monitor) -> OfficialFiles:
    revision, digests, fetched = official.revision, {}, set()
    for file in official.files:
        with _shown(monitor, file) as report:
            here = fetch_hub_file(official.repository, file.path, revision, file.sha256, report=report)
        folder = here.path.parents[len(PurePosixPath(file.path).parts) - 1]
        revision = folder.name  # the commit, from which the rest must be too
        digests[file.path] = here.sha256
        if not here.was_cached:
            fetched.add(file.path)
    return OfficialFiles(folder, digests, frozenset(fetched))


def _fetch_from_addresses(card: CodecCard, official: OfficialCheckpoint, monitor: Monitor) -> OfficialFiles:
    folder = weights_cache() / official.name
    missing = missing_files(official, folder)
    for file in missing:
        expected = _expected(file, _recorded(folder))
        whole = expected if len(expected) == SHA256_DIGITS else None
        url, *mirrors = addresses(official, file)
        try:
            with _shown(monitor, file) as report:
                found = download(url, folder / file.path, sha256=whole, mirrors=mirrors, report=report)
        except CodecfakeError as error:
            error.next_step += (
                f"; where there is no network: codecfake codecs fetch {card.id} --out FOLDER on a machine that has "
                "one, then --weights FOLDER here"
            )
            raise
        if not found.startswith(expected):
            (folder / file.path).unlink()
            raise CodecfakeError(
                f"{file.path} of {official.name} has sha256 {found}, expected {expected}...; it was not kept",
                cause="the file was damaged on its way, or its publisher replaced it",
                next_step="run the same command again to download it anew",
            )
        _record(folder, official, OfficialFiles(folder, {file.path: found}))
    here = verify_official(card, folder)
    _record(folder, official, here)
    return replace(here, fetched=frozenset(file.path for file in missing))


def _expected(file: WeightsFile, recorded: Mapping[str, Any]) -> str:
    """The sha256 that a file must have, or its beginning; empty where nobody knows."""
    return (file.sha256 or recorded.get(file.path, {}).get("sha256", "")).lower()


@contextmanager
def _shown(monitor: Monitor, file: WeightsFile) -> Iterator[Report]:
    """Yield a callback that shows a download as a stage, which begins with the first bytes."""
    count = None

    def report(done: int, total: int | None) -> None:
        nonlocal count
        total = total or int(file.megabytes * 1e6)
        if count is None:
            monitor.begin(f"Download {file.path}", total, "bytes")
            count = count_into(monitor)
        count(done, total)

    try:
        yield report
    finally:
        if count is not None:
            monitor.end()


def _recorded(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CodecfakeError(
            f"{path} is damaged ({error}); it holds the digests of the files beside it",
            next_step=f"remove {folder} and fetch the checkpoint again",
        ) from error


def _record(folder: Path, official: OfficialCheckpoint, here: OfficialFiles) -> None:
    """Keep in ``folder`` the digests of files that it has none of yet, with where they come from."""
    recorded = _recorded(folder)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    new = {
        file.path: {
            "sha256": here.sha256[file.path],
            "bytes": (here.folder / file.path).stat().st_size,
            "url": addresses(official, file)[0],
            "time": now,
        }
        for file in official.files
        if file.path in here.sha256 and file.path not in recorded
    }
    if new:
        publish_json(folder / RECORD, recorded | new)
