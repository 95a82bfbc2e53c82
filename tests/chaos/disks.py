"""Small disks in memory: full, or read-only, whenever a test wants it. Mounting takes the rights of root."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM = "256m"
BUSY_ATTEMPTS = 50


@contextmanager
def small_disk(place: Path) -> Iterator["SmallDisk"]:
    """Mount a tmpfs while the block runs.

    Raises:
        PermissionError: If this process may not.
    """
    place.mkdir(parents=True, exist_ok=True)
    if os.geteuid() or not _mount("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(place)):
        raise PermissionError("mounting a tmpfs takes root, and the right to mount")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @property
    def used_bytes(self) -> int:
        status = os.statvfs(self.place)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def leave(self, free_bytes: int) -> None:
        """Make it so small that only so much is free."""
        self._remount(f"size={self.used_bytes + free_bytes}")

    def refuse_writes(self) -> None:
        """Make it read-only."""
        self._remount("ro")

    def put_right(self) -> None:
        """Give room and let write."""
        self._remount(f"rw,size={ROOM}")

    def _remount(self, options: str) -> None:
        for _ in range(BUSY_ATTEMPTS):  # a file that is still being closed keeps it busy
            if _mount("-o", f"remount,{options}", str(self.place)):
                return
            time.sleep(0.1)
        raise OSError(f"could not remount with {options}")


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
