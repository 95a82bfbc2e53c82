"""Checkpoint files from the Hugging Face hub: from the local cache or downloaded, verified either way."""

import hashlib
import io
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.https import hub_over_https
from codecfake.pipeline.download import Report

ANSWER_SECONDS = 5.0
"""How long the hub may take to say where a file is."""


class HubFile(NamedTuple):
    """A verified file in the cache of the Hugging Face libraries."""

    path: Path
    """In the snapshot folder of its commit."""
    sha256: str
    was_cached: bool


def cached_hub_file(repo: str, filename: str, revision: str, cache_dir: Path | None = None) -> Path | None:
    """Find a file of a hub repository in the local cache, unverified, without a network."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repo, filename, cache_dir=cache_dir, revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def fetch_hub_file(
    repo: str,
    filename: str,
    revision: str,
    sha256: str | None,
    cache_dir: Path | None = None,
    report: Report | None = None,
) -> HubFile:
    """Find a file of a hub repository in the local cache or download it, and verify its digest.

    A file that is cached needs no network. An interrupted download goes on where it stopped.

    Args:
        repo: Repository, ``owner/name``.
        filename: Path of the file in the repository.
        revision: Commit, tag or branch.
        sha256: Hex sha256 that the file has to have, or its beginning; None takes the digest that the hub keeps.
        cache_dir: Cache folder; None for the one that the Hugging Face libraries share.
        report: Called as a download goes on.

    Raises:
        CodecfakeError: If the file is neither cached nor to be had, or has another digest; one that was just
            downloaded is removed again.
    """
    cached = cached_hub_file(repo, filename, revision, cache_dir)
    if cached is not None:
        path, kept_by_hub = cached, cached.resolve().name  # the cache names the bytes as the hub does
    else:
        path, kept_by_hub = _download(repo, filename, revision, cache_dir, report)
    found = file_sha256(path)
    problem = _problem(path, found, sha256, kept_by_hub)
    if problem and cached is not None:
        raise CodecfakeError(
            f"{repo}/{filename} at {revision} {problem}",
            cause="the cached file is damaged, or the repository was changed",
            next_step=f"remove {path.resolve()} and run the same command again",
        )
    if problem:
        for copy in {path.resolve(), path}:
            copy.unlink()
        raise CodecfakeError(
            f"{repo}/{filename} at {revision} {problem}; it was not kept",
            cause="the file was damaged on its way, or the repository was changed",
            next_step="run the same command again; if the digest stays as it is, do not trust the repository",
        )
    return HubFile(path, found, was_cached=cached is not None)


def _problem(path: Path, found: str, pinned: str | None, kept_by_hub: str) -> str | None:
    expected = pinned.lower() if pinned else kept_by_hub
    if pinned or _is_hex(expected, 64):
        return None if found.startswith(expected) else f"has sha256 {found}, expected {expected}"
    if _is_hex(expected, 40) and (git_digest := _git_sha1(path)) != expected:
        return f"has git digest {git_digest}, expected {expected}"
    return None


def _download(
    repo: str, filename: str, revision: str, cache_dir: Path | None, report: Report | None
) -> tuple[Path, str]:
    """Download a file; also return what the hub names its bytes after: of large files, their sha256."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    hub_over_https()
    try:
        # Asked first, because the download itself tries an absent network for 24 s.
        about = get_hf_file_metadata(hf_hub_url(repo, filename, revision=revision), timeout=ANSWER_SECONDS)
        path = hf_hub_download(
            repo,
            filename,
            revision=revision,
            cache_dir=cache_dir,
            etag_timeout=ANSWER_SECONDS,
            tqdm_class=_bar_into(report) if report else None,
        )
    except (OSError, RuntimeError, _transport_error()) as error:
        raise CodecfakeError(
            f"{repo}/{filename} at {revision} is not in the local cache and could not be downloaded "
            f"({_first_line(error)})",
            cause=_cause(error),
            next_step="on a machine with a network, codecfake codecs fetch NAME --out FOLDER, then "
            "--weights FOLDER here; or name a mirror of the hub in HF_ENDPOINT; or use the small networks that "
            "come with codecfake: --weights mini",
        ) from error
    return Path(path), about.etag or ""


def _bar_into(report: Report) -> Any:
    """A progress bar of the kind that the hub client wants, which shows nothing and tells ``report``."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings, file=io.StringIO(), leave=False)

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            report(int(self.n), self.total and int(self.total))
            return shown

    return Bar


def _git_sha1(path: Path) -> str:
    """The digest that git, and so the hub, names a small file after."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _is_hex(text: str, digits: int) -> bool:
    return re.fullmatch(rf"[0-9a-f]{{{digits}}}", text) is not None


def _transport_error() -> type[Exception]:
    """The base of all errors of the HTTP library under the hub client; its releases use different ones."""
    from huggingface_hub.errors import HfHubHTTPError

    return next((base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"), HfHubHTTPError)


def _cause(error: Exception) -> str:
    from huggingface_hub import errors
    from huggingface_hub.constants import is_offline_mode

    if is_offline_mode():
        return "HF_HUB_OFFLINE is set, so nothing is downloaded"
    missing = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError)
    if isinstance(error, missing):
        return "the repository, the revision or the file does not exist, or needs a login"
    return "no network, or a proxy that HTTPS_PROXY does not name (HF_HUB_OFFLINE is not set)"


def _first_line(error: Exception) -> str:
    reason = error.__cause__ or error
    return (str(reason).strip() or type(reason).__name__).splitlines()[0]
