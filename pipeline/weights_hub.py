"""Checkpoint files from the Hugging Face hub: from the local cache or downloaded, verified either way."""

import os
import re
from pathlib import Path

from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError

ANSWER_SECONDS = 5.0
"""How long the hub may take to say where a file is."""


def fetch_hub_file(
    repo: str, filename: str, revision: str, sha256: str | None, cache_dir: Path | None = None
) -> Path:
    """Find a file of a hub repository in the local cache or download it, and verify its sha256.

    A file that is cached needs no network. An interrupted download goes on where it stopped.

    Args:
        repo: Repository, ``owner/name``.
        filename: Path of the file in the repository.
        revision: Commit, tag or branch.
        sha256: Hex sha256 that the file has to have; None takes the one that the hub keeps of large files.
        cache_dir: Cache folder; None for the one that the Hugging Face libraries share.

    Returns:
        Path of the file in the cache.

    Raises:
        CodecfakeError: If the file is neither cached nor to be had, or has another sha256.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repo, filename, cache_dir=cache_dir, revision=revision)
    if isinstance(cached, str):
        path = Path(cached)
        kept_by_hub = path.resolve().name  # the cache names the bytes as the hub does
    else:
        path, kept_by_hub = _download(repo, filename, revision, cache_dir)
    expected = sha256.lower() if sha256 else kept_by_hub
    found = file_sha256(path)
    if _is_sha256(expected) and found != expected:
        raise CodecfakeError(
            f"{repo}/{filename} at {revision} has sha256 {found}, expected {expected}",
            cause="the cached file is damaged, or the repository was changed",
            next_step=f"remove {path.resolve()} and run the same command again",
        )
    return path


def _download(repo: str, filename: str, revision: str, cache_dir: Path | None) -> tuple[Path, str]:
    """Download a file; also return what the hub names its bytes after: of large files, their sha256."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        # Asked first, because the download itself tries an absent network for 24 s.
        about = get_hf_file_metadata(hf_hub_url(repo, filename, revision=revision), timeout=ANSWER_SECONDS)
        path = hf_hub_download(
            repo, filename, revision=revision, cache_dir=cache_dir, etag_timeout=ANSWER_SECONDS
        )
    except (OSError, RuntimeError, _transport_error()) as error:
        raise CodecfakeError(
            f"{repo}/{filename} at {revision} is not in the local cache and could not be downloaded "
            f"({_first_line(error)})",
            cause=_cause(error),
            next_step="use the small networks that come with codecfake: --weights mini; or give a folder "
            "that holds the checkpoint: --weights PATH",
        ) from error
    return Path(path), about.etag or ""


def _is_sha256(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


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
