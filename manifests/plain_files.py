"""Opening files that anybody may have put there: plain ones only, and none larger than is meant.

Opening a pipe waits for its other end, and a device such as ``/dev/zero`` never ends.
"""

import errno
import os
import stat
from io import FileIO
from pathlib import Path


def open_plain(path: Path) -> FileIO:
    """Open a plain file for reading, without a buffer.

    Raises:
        OSError: If it is absent or cannot be read; also for a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "neither a file nor a link to one", str(path))
        return FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, maximum_bytes: int) -> bytes:
    """Read a plain file that is not larger than ``maximum_bytes``.

    Raises:
        OSError: As of `open_plain`; also for a larger file.
    """
    with open_plain(path) as file:
        if os.fstat(file.fileno()).st_size > maximum_bytes:
            raise OSError(errno.EFBIG, f"larger than {maximum_bytes:,} bytes", str(path))
        return file.readall()


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder, or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
