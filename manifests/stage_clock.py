"""How long the stages of reading and computing take, summed over all threads."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class StageClock:
    """Sums the wall seconds of named stages; threads may share it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        """By stage."""
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage, whatever ends it."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - began)

    def each(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Add the time until each of the items is there."""
        iterator = iter(items)
        while True:
            with self.measure(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def add(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage."""
        with self._lock:
            self.seconds[stage] += seconds
