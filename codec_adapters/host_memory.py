"""Memory of large activations on a CPU: kept by the process instead of returned to the system and zeroed again."""

import ctypes
import platform
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
"""Options of glibc's mallopt."""


def keep_freed_memory() -> None:
    """Tell glibc to reuse what activations leave; where there is another C library, do nothing.

    The system zeroes the pages of fresh activations: that took 40 % of the time of DAC on two cores, and as much of
    the time of the first convolutions of XLS-R on four utterances. What is kept is bounded by the largest batch. The
    settings hold until the process ends.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for option, value in ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)):
        libc.mallopt(option, value)
