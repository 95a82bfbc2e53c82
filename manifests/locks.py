"""One writer at a time: a lock that the system frees when its process dies, however it dies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from codecfake.manifests.errors import CodecfakeError


@contextmanager
def sole_holder(lock_file: Path, refusal: Callable[[], CodecfakeError]) -> Iterator[None]:
    """Hold a lock while the block runs.

    Args:
        lock_file: Made when absent; its folder has to exist.
        refusal: Makes the error for a caller who finds it held.

    Raises:
        CodecfakeError: That of ``refusal``, if another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise refusal() from error
    try:
        yield
    finally:
        lock.release()
