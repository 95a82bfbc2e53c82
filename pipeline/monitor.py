"""How long work reports its progress and is told to stop; silent unless a front end listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event


class Stopped(Exception):
    """The user asked to stop; what was published stays, the rest is done by the next run."""


class Monitor:
    """Receives progress and carries the stop signal; this one stays silent.

    Methods may be called from several threads at once.
    """

    def __init__(self) -> None:
        self.stop = Event()

    def raise_if_stopped(self) -> None:
        """Leave the current work, between two utterances, when the user asked to stop.

        Raises:
            Stopped: If ``stop`` is set.
        """
        if self.stop.is_set():
            raise Stopped

    def say(self, text: str) -> None:
        """Tell the user one thing."""

    def begin(self, stage: str, total: float, unit: str) -> None:
        """Start a stage of ``total`` units ("utterances", or "s" for seconds of audio)."""

    def advance(self, amount: float) -> None:
        """Count ``amount`` units of the current stage as done."""

    def end(self) -> None:
        """End the current stage."""


def count_into(monitor: Monitor) -> Callable[[int, int], None]:
    """Turn a monitor into a callback that takes the work done so far and its total."""
    seen = 0

    def report(done: int, _total: int) -> None:
        nonlocal seen
        monitor.raise_if_stopped()
        monitor.advance(done - seen)
        seen = done

    return report


_listening: ContextVar[Monitor | None] = ContextVar("monitor", default=None)


@contextmanager
def listening(monitor: Monitor) -> Iterator[None]:
    """Make ``monitor`` the one that ``current_monitor`` gives while the block runs.

    For code between the front end and the work that may only pass plain values, as Prefect flows do.
    """
    token = _listening.set(monitor)
    try:
        yield
    finally:
        _listening.reset(token)


def current_monitor() -> Monitor:
    """The monitor that listens, or a silent one."""
    return _listening.get() or Monitor()
