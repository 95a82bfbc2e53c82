"""One writer at a time, on every machine that sees the folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.leases import TAKEOVER_SECONDS, Lease, LeaseHeld, lease_holder


@contextmanager
def sole_holder(
    lock_file: Path, refusal: Callable[[], CodecfakeError], on_loss: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a lock while the block runs; a process that dies, however it dies, holds it no longer.

    After the death of a process, others of the same machine get the lock at once, those of other machines after
    a minute or two.

    Args:
        lock_file: Is there as long as somebody holds the lock; its folder has to exist.
        refusal: Makes the error for a caller who finds it held.
        on_loss: Called from another thread when the lock was lost, because this process gave no sign of life for too
            long: the block should end without publishing more.

    Raises:
        CodecfakeError: That of ``refusal``, if another process holds it; or at the end of the block, if it was lost.
    """
    lease = Lease(lock_file, on_loss)
    try:
        lease.acquire()
    except LeaseHeld as error:
        raise refusal() from error
    try:
        yield
    finally:
        lease.release()
        if lease.is_lost:
            raise _loss(lock_file)


def _loss(lock_file: Path) -> CodecfakeError:
    successor = lease_holder(lock_file)
    return CodecfakeError(
        f"this process lost its lock {lock_file} and stopped; "
        + (f"now it is held by {successor}" if successor else "somebody has removed it"),
        cause=f"it was suspended, or the shared folder did not answer, for more than {TAKEOVER_SECONDS:.0f} s",
        next_step="leave the work to the other process, or repeat the command when that has ended",
    )
