"""What goes wrong in a process: it dies at a given step, its disk is slow, its clock jumps, its files run out.

A step is a change to the entries of a folder. The interpreter itself reports each to its audit hooks before it happens,
whichever library asks for it, so nothing of the code under test is replaced.
"""

import itertools
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STEPS = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}
"""`os.replace` reports itself as ``os.rename``."""
OTHER_FILE_EVENTS = {"open", "os.utime", "os.truncate", "shutil.rmtree"}
DAY = 86_400.0

Fault = Callable[[], None]


@dataclass(frozen=True)
class Step:
    """One change of the entries of a folder, as it was recorded."""

    kind: str
    folder: str

    @property
    def is_publication(self) -> bool:
        return self.kind == "os.rename"


def recorded_steps(log: Path) -> Fault:
    """Write every step into ``log``."""

    def begin() -> None:
        file = log.open("w", encoding="utf-8", errors="replace")

        def hook(event: str, arguments: tuple) -> None:
            if event in STEPS:
                path = os.fsdecode(arguments[-3 if event in ("os.rename", "os.link") else 0])
                file.write(f"{event}\t{Path(path).parent.name}\n")
                file.flush()

        sys.addaudithook(hook)

    return begin


def read_steps(log: Path) -> list[Step]:
    return [Step(*line.split("\t")) for line in log.read_text(encoding="utf-8").splitlines()]


def death_at(number: int, *, after: bool = False, alone: bool = False) -> Fault:
    """Die by SIGKILL before a step, or after it.

    Args:
        number: Of the step, from 0.
        after: Once it is done: when the process next touches a file.
        alone: Whether other processes of the group live on.
    """

    def begin() -> None:
        count = itertools.count()
        dying = False

        def hook(event: str, arguments: tuple) -> None:
            nonlocal dying
            is_step = event in STEPS
            if dying and (is_step or event in OTHER_FILE_EVENTS):
                _die(alone)
            if is_step and next(count) == number:
                if not after:
                    _die(alone)
                dying = True

        sys.addaudithook(hook)

    return begin


def _die(alone: bool) -> None:
    if alone:
        os.kill(os.getpid(), signal.SIGKILL)
    os.killpg(0, signal.SIGKILL)


def slow_disk(seconds: float) -> Fault:
    """Let every step and every flush take its time."""

    def begin() -> None:
        def hook(event: str, arguments: tuple) -> None:
            if event in STEPS:
                time.sleep(seconds)

        flush = os.fsync

        def slow_flush(descriptor: int) -> None:
            time.sleep(seconds)
            flush(descriptor)

        os.fsync = slow_flush
        sys.addaudithook(hook)

    return begin


def jumping_clock(seed: int) -> Fault:
    """Step the time of day back and forth by up to a year, at every look at it."""

    def begin() -> None:
        rng, now = random.Random(seed), time.time

        def jumped() -> float:
            return now() + rng.uniform(-365, 365) * DAY

        time.time = jumped
        time.time_ns = lambda: int(jumped() * 1e9)

    return begin


def few_open_files(limit: int) -> Fault:
    """Let the process have few files open at once."""

    def begin() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    return begin


def workers(count: int) -> Fault:
    """Let the process believe that it may use so many cores, and work on as many blocks of shards at once."""

    def begin() -> None:
        from codecfake.pipeline import local_devices

        os.sched_getaffinity = lambda pid: set(range(count))
        os.cpu_count = lambda: count
        local_devices.BLOCKS_PER_DEVICE = count

    return begin
