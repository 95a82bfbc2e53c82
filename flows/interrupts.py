"""Ctrl-C and SIGTERM that cannot get lost: an exception alone is swallowed where it meets the end of an object."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Timer, main_thread
from types import FrameType

AGAIN_SECONDS = 0.05

_listening: list[Event] = []
_came = Event()


def handle_interrupts() -> None:
    """Let Ctrl-C and SIGTERM raise ``KeyboardInterrupt``, and remember it; Ctrl-C only where it is not ignored."""
    sys.unraisablehook = _tell_others
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def was_interrupted() -> bool:
    """Whether there was an interrupt since the command began."""
    return _came.is_set()


@contextmanager
def set_when_interrupted(stop: Event) -> Iterator[None]:
    """Set an event as soon as there is an interrupt while the block runs, or if there was one before."""
    _listening.append(stop)
    if _came.is_set():
        stop.set()
    try:
        yield
    finally:
        _listening.remove(stop)


def _tell_others(swallowed: "sys.UnraisableHookArgs") -> None:
    """Print what was swallowed, as usual, but for interrupts: those come again."""
    if swallowed.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(swallowed)
    elif not sys.is_finalizing():
        Timer(AGAIN_SECONDS, signal.pthread_kill, (main_thread().ident, signal.SIGTERM)).start()


def _interrupt(number: int, frame: FrameType | None) -> None:
    _came.set()
    for stop in _listening:
        stop.set()
    raise KeyboardInterrupt
