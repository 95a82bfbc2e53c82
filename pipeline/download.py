"""Downloading one large file: resumed after any interruption, verified, then published."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import flush_to_disk, publish_json
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.https import refuse_plain_http
from codecfake.manifests.locks import sole_holder

if TYPE_CHECKING:
    import httpx

Report = Callable[[int, int | None], None]
"""Called with the bytes on disk and the bytes in all, where the server tells."""

ATTEMPTS = 6
ATTEMPTS_TO_CONNECT = 3
"""While no address has answered yet: a machine without a network should say so within seconds."""
BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0


@dataclass(frozen=True)
class Validators:
    """What the server said about the version of the file that the part on disk belongs to."""

    etag: str | None
    last_modified: str | None
    total_bytes: int | None

    @property
    def if_range(self) -> str | None:
        """The value of ``If-Range``; a weak ETag does not promise equal bytes."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None,
    mirrors: Sequence[str] = (),
    report: Report | None = None,
) -> str:
    """Download ``url`` to ``target``, going on where an earlier call was interrupted.

    The bytes are collected in ``<target>.part``. A file that is there already is only verified.

    Args:
        url: An https address; http is accepted from this machine alone.
        target: Where to publish the file.
        sha256: Hex sha256 of the file; None if nobody published one.
        mirrors: Other addresses of the same file, tried in turn.
        report: Called as the file grows.

    Returns:
        The hex sha256 of the file.

    Raises:
        CodecfakeError: If no address gives the file, the disk is too small, or the file has another sha256;
            in the last case the bytes are kept as ``<target>.bad-sha256``.
    """
    report = report or (lambda _done, _total: None)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _sole_writer(target):
        if target.exists():
            found = _hash_file(target).hexdigest()
            file = target
        else:
            file = _sibling(target, ".part")
            found = _collect([url, *mirrors], target, report)
        if sha256 is not None and found != sha256.lower():
            kept = _sibling(target, ".bad-sha256")
            file.replace(kept)
            _sibling(target, ".part.json").unlink(missing_ok=True)
            raise CodecfakeError(
                f"{target.name} has sha256 {found}, expected {sha256.lower()}; the bytes are kept as {kept}",
                cause="the file was damaged on its way, or its publisher replaced it",
                next_step="run the same command again to download it anew",
            )
        if file != target:
            flush_to_disk(file)
            file.replace(target)
            flush_to_disk(target.parent)
            _sibling(target, ".part.json").unlink(missing_ok=True)
    return found


def _collect(urls: list[str], target: Path, report: Report) -> str:
    """Fill the part file, turning to the next address after each failure; return its sha256."""
    import httpx

    part = _sibling(target, ".part")
    failures, answered = 0, False
    timeout = httpx.Timeout(30.0, connect=15.0)
    hooks = {"request": [refuse_plain_http]}
    with httpx.Client(follow_redirects=True, timeout=timeout, event_hooks=hooks) as client:
        while True:
            before = _size(part)
            try:
                return _continue(client, urls[0], target, report)
            except httpx.HTTPStatusError as error:
                answered = True
                last = f"{urls[0]} answered {error.response.status_code}"
                if error.response.status_code not in (408, 429) and error.response.is_client_error:
                    urls = urls[1:]
            except (httpx.TransportError, httpx.TooManyRedirects) as error:
                answered = answered or not isinstance(error, httpx.ConnectError)
                last = f"{urls[0]}: {error or type(error).__name__}"
            failures = 0 if _size(part) > before else failures + 1
            if not urls or failures >= (ATTEMPTS if answered else ATTEMPTS_TO_CONNECT):
                raise CodecfakeError(
                    f"{target.name} could not be downloaded: {last}",
                    cause="no connection to the internet, a proxy, or a server that is down",
                    next_step=f"run the same command again: it goes on after {_size(part):,} bytes",
                )
            urls = [*urls[1:], urls[0]]
            time.sleep(min(BACKOFF_SECONDS * 2**failures, LONGEST_BACKOFF_SECONDS))


def _continue(client: "httpx.Client", url: str, target: Path, report: Report) -> str:
    """Ask one address for what is missing, and append it."""
    import httpx

    part, sidecar = _sibling(target, ".part"), _sibling(target, ".part.json")
    known, offset = _read_validators(sidecar), _size(part)
    if offset and known and offset == known.total_bytes:
        return _hash_file(part).hexdigest()
    headers = {"Accept-Encoding": "identity"}
    if offset and known and known.if_range:
        headers |= {"Range": f"bytes={offset}-", "If-Range": known.if_range}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            # The part is no part of this file: the next request asks for all of it.
            sidecar.unlink(missing_ok=True)
            raise httpx.RemoteProtocolError(f"no bytes from {offset} on")
        response.raise_for_status()
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            start, _, size = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            total = int(size) if size.isdigit() else None
            if start.partition("-")[0] != str(offset):
                sidecar.unlink(missing_ok=True)
                raise httpx.RemoteProtocolError(f"asked for bytes from {offset} on, got {start}")
        else:
            offset = 0
        _check_free_space(target, (total or 0) - offset)
        digest = _hash_file(part) if offset else hashlib.sha256()
        with part.open("ab" if offset else "wb") as file:
            etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
            publish_json(sidecar, asdict(Validators(etag, modified, total)))
            report(offset, total)
            for chunk in response.iter_raw():  # as they come: a chunk size would lose the last ones
                file.write(chunk)
                digest.update(chunk)
                offset += len(chunk)
                report(offset, total)
    if total is not None and offset != total:
        raise httpx.RemoteProtocolError(f"{offset:,} of {total:,} bytes came")
    return digest.hexdigest()


@contextmanager
def _sole_writer(target: Path) -> Iterator[None]:
    def refusal() -> CodecfakeError:
        return CodecfakeError(
            f"another process downloads {target}", next_step="wait for it, then run the same command again"
        )

    with sole_holder(_sibling(target, ".lock"), refusal):
        yield


def _check_free_space(target: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(target.parent).free
    if needed_bytes > free_bytes:
        raise CodecfakeError(
            f"{target.name} needs {needed_bytes / 1e9:.1f} GB more, "
            f"{target.parent} has {free_bytes / 1e9:.1f} GB",
            next_step="free some space, or choose a folder on another disk",
        )


def _read_validators(sidecar: Path) -> Validators | None:
    try:
        return Validators(**json.loads(sidecar.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _hash_file(path: Path) -> "hashlib._Hash":
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sibling(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)
