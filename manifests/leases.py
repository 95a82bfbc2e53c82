"""A lock for folders that several machines share: a file with its holder's identity, touched as long as it lives.

It needs only what every shared file system has: a file that is created once, and a rename that replaces. Locks of the
system (``flock``) may be missing there, or hold on one machine alone. No clock of a machine is read: how old a sign
of life is, the file system tells, which stamps the lease and a new file beside it alike.
"""

import errno
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

from codecfake.manifests.atomic import LINK_REFUSED
from codecfake.manifests.holders import Holder
from codecfake.manifests.plain_files import open_plain

REFRESH_SECONDS = 10.0
TAKEOVER_SECONDS = 60.0
"""Without a sign of life, after which a holder of another machine may have died."""
WATCH_SECONDS = 25.0
"""To wait for one more: after an outage of the file server, a living holder needs a moment."""
MAXIMUM_BYTES = 1 << 16
"""Of a lease that is looked at; one of ours has some 400."""
ATTEMPTS = 5
"""While other processes take and release the lease between our looking and our acting."""


class LeaseHeld(Exception):
    """Another process holds the lease, or is taking it over."""


class Lease:
    """One attempt of this process to hold a lease file.

    Args:
        path: The lease file; its folder has to exist.
        on_loss: Called from another thread when the lease turns out to be lost.
    """

    def __init__(self, path: Path, on_loss: Callable[[], None]) -> None:
        self._path, self._on_loss = path, on_loss
        self._content = json.dumps(asdict(Holder.this_process()), indent=2).encode()
        self._released = Event()
        self._refreshing = Thread(target=self._refresh, name=f"lease {path.name}", daemon=True)
        self.is_lost = False
        """Whether another process has it now, or may have it."""

    def acquire(self) -> None:
        """Take the lease: a free one, or that of a holder who has died.

        Raises:
            LeaseHeld: If somebody else has it.
        """
        for _ in range(ATTEMPTS):
            if _create(self._path, self._content):
                break
            found = _look(self._path)
            if found is None:
                continue
            if not _is_abandoned(self._path, found):
                raise LeaseHeld
            if self._take_over(found):
                break
        else:
            raise LeaseHeld
        self._refreshing.start()

    def release(self) -> None:
        """End the lease; notices, at last, if it was lost."""
        self._released.set()
        self._refreshing.join()
        # What cannot be removed now is abandoned when this process ends.
        with suppress(OSError), _sole_right_to_change(self._path, self._content) as is_ours:
            if is_ours and self._is_mine():
                self._path.unlink()
            else:
                self.is_lost = True

    def _take_over(self, abandoned: "_Look") -> bool:
        with _sole_right_to_change(self._path, abandoned.content) as is_ours:
            found = _look(self._path)
            if not is_ours or found is None or found.content != abandoned.content:
                return False
            draft = _new_sibling(self._path)
            draft.write_bytes(self._content)
            with suppress(FileNotFoundError):  # NFS may carry out a rename, lose the answer and repeat it
                draft.replace(self._path)
            return self._is_mine()

    def _refresh(self) -> None:
        refreshed = time.monotonic()
        while not self._released.wait(REFRESH_SECONDS):
            try:
                is_mine = self._is_mine()
                if is_mine:
                    os.utime(self._path)
                    refreshed = time.monotonic()
            except OSError:  # a file server that is away for a moment
                is_mine = time.monotonic() - refreshed < TAKEOVER_SECONDS
            if not is_mine:
                self.is_lost = True
                self._on_loss()
                return

    def _is_mine(self) -> bool:
        found = _look(self._path)
        return found is not None and found.content == self._content


def lease_holder(path: Path) -> Holder | None:
    """Who holds a lease; ``None`` if nobody does, or the holder is not written yet."""
    found = _look(path)
    return found and found.holder


@dataclass(frozen=True)
class _Look:
    """A lease as it was at one moment."""

    content: bytes
    refreshed_ns: int

    @property
    def holder(self) -> Holder | None:
        """``None`` if it was killed before it had written its name, or the file is not of this version."""
        try:
            return Holder.parse(json.loads(self.content))
        except (ValueError, TypeError, RecursionError):
            return None


def _look(path: Path) -> _Look | None:
    """Open the lease, for opening asks the file server, while ``stat`` may be answered from memory."""
    try:
        with open_plain(path) as file:
            content = file.read(MAXIMUM_BYTES)
            return _Look(content, os.fstat(file.fileno()).st_mtime_ns)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ESTALE:  # another machine replaced it just now
            return None
        raise


def _is_abandoned(path: Path, found: _Look) -> bool:
    holder = found.holder
    if holder and holder.is_of_this_system:
        return not holder.is_running
    # A sign of life from far in the future: the clock was put back since, and only waiting tells.
    if abs(_age(path, found)) < TAKEOVER_SECONDS:
        return False
    time.sleep(WATCH_SECONDS)
    return _look(path) == found


def _age(path: Path, found: _Look) -> float:
    """Seconds since the last sign of life, by the clock of the file system."""
    probe = _new_sibling(path)
    try:
        probe.touch(exist_ok=False)
        return (probe.stat().st_mtime_ns - found.refreshed_ns) / 1e9
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def _sole_right_to_change(path: Path, content: bytes) -> Iterator[bool]:
    """Yield whether this process may replace or remove a lease of this content; no other one can meanwhile.

    Two processes may find a lease abandoned at once. Had the slower one no need of this right, it would replace the
    new lease of the faster one.
    """
    right = path.with_name(f"{path.name}.{sha256(content).hexdigest()[:16]}")
    owner = json.dumps(asdict(Holder.this_process())).encode()
    is_ours = _create(right, owner)
    if not is_ours and (found := _look(right)) and _owner_died(right, found):
        with _sole_right_to_change(right, found.content) as may_clear:
            again = _look(right)
            if may_clear and again and again.content == found.content:
                right.unlink(missing_ok=True)
        is_ours = _create(right, owner)
    try:
        yield is_ours
    finally:
        if is_ours:
            right.unlink(missing_ok=True)


def _owner_died(right: Path, found: _Look) -> bool:
    """Whether the owner of a right was killed while it had it."""
    owner = found.holder
    if owner and owner.is_of_this_system:
        return not owner.is_running
    return abs(_age(right, found)) > TAKEOVER_SECONDS


def _create(path: Path, content: bytes) -> bool:
    """Create a file with all its content at once, unless it is there: whoever is killed here leaves no empty one."""
    draft = _new_sibling(path)
    try:
        draft.write_bytes(content)
        try:
            os.link(draft, path)
        except FileExistsError:
            # NFS may make the link, lose the answer and try again.
            return draft.stat().st_nlink > 1
        except OSError as error:
            if error.errno not in LINK_REFUSED:
                raise
            return _create_without_links(path, content)
        return True
    finally:
        draft.unlink(missing_ok=True)


def _create_without_links(path: Path, content: bytes) -> bool:
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _new_sibling(path: Path) -> Path:
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}")
