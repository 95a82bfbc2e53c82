"""An object in a process of its own: its memory settings, threads and caches touch nothing else that is measured."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from codecfake.manifests.errors import CodecfakeError

_held: Any = None
"""What this process was started for."""


class Elsewhere:
    """Calls methods of an object that lives in another process."""

    def __init__(self, pool: ProcessPoolExecutor, make: Callable[..., Any], *args: Any) -> None:
        self._pool = pool
        self._made = pool.submit(_make, make, args)

    def wait(self) -> None:
        """Wait until the object is there; raises what making it raised."""
        with _alive():
            self._made.result()

    def call(self, method: str, *args: Any) -> Any:
        """Call a method there and give its result.

        Raises:
            CodecfakeError: If that process died.
        """
        with _alive():
            self._made.result()
            return self._pool.submit(_call, method, args).result()


@contextmanager
def elsewhere(make: Callable[..., Any], *args: Any) -> Iterator[Elsewhere]:
    """Begin to make an object in a fresh process, which ends with the block."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_when_told)
    try:
        yield Elsewhere(pool, make, *args)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise CodecfakeError(
            "a process that was being measured ended early", cause="the machine ran out of memory"
        ) from error


def _end_when_told() -> None:
    """Die of Ctrl-C without a word, and with the process that asked."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    Thread(target=watch, daemon=True).start()


def _make(make: Callable[..., Any], args: tuple) -> None:
    global _held
    _held = make(*args)


def _call(method: str, args: tuple) -> Any:
    return getattr(_held, method)(*args)
