"""Seconds that the stages of a work take, added up over the threads that share it."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class StageClock:
    """Adds up wall seconds by stage; may be used by several threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seconds: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time that the block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        """Count ``seconds`` that were measured elsewhere."""
        with self._lock:
            self._seconds[name] += seconds

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far, rounded to milliseconds."""
        with self._lock:
            return {name: round(seconds, 3) for name, seconds in self._seconds.items()}
