"""Telling a lack of this machine from a fault of a file: what is lacking today would quarantine good audio for ever."""

import errno

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
"""Too many open files, of this process or of all; no memory; a file server that is away."""


def refuse_exhaustion(error: Exception) -> None:
    """Raise an error again if the machine lacked something; to be called before a file is blamed.

    Args:
        error: What reading a file ended with.

    Raises:
        OSError, MemoryError: The error itself.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in EXHAUSTED):
        raise error
