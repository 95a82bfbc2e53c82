"""One measured stretch of work, and how long it must be to say something."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = ("read", "resample", "network", "write")
MOST_GROWTH = 8
SURE_SHARE = 0.25
"""Of the wanted time: a run that took as long tells how long others will take."""


@dataclass(frozen=True)
class Round:
    """What one stretch of work took."""

    audio_seconds: float
    utterances: int
    wall_seconds: float
    cpu_seconds: float
    """Of all threads of the process."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds by stage, added up over the threads."""
    halved_batches: int = 0

    @property
    def speed(self) -> float:
        """Seconds of audio per second."""
        return self.audio_seconds / self.wall_seconds


class Stopwatch:
    """Wall and CPU seconds of a block."""

    wall_seconds: float
    cpu_seconds: float


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure a block; the figures are there when it has ended."""
    watch = Stopwatch()
    began, cpu_before = time.perf_counter(), time.process_time()
    yield watch
    watch.wall_seconds = time.perf_counter() - began
    watch.cpu_seconds = time.process_time() - cpu_before


def settle_count(wall_seconds_of: Callable[[int], float], unit: int, seconds: float) -> int:
    """Find how many utterances take about ``seconds`` seconds, by taking more and more of them.

    Args:
        wall_seconds_of: Runs so many utterances and gives the seconds it took.
        unit: The count is a multiple of it.
        seconds: Wanted wall seconds.
    """
    wall_seconds_of(unit)  # warms up
    count = unit
    while (wall := wall_seconds_of(count)) < SURE_SHARE * seconds:
        growth = min(MOST_GROWTH, max(2.0, 0.5 * seconds / wall))
        count = unit * round(growth * count / unit)
    return unit * max(1, round(count / unit * seconds / wall))
