"""Signs of life of workers in the run folder, so that a lost one is noticed whatever the server knows of it."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

BEATS = ".beats"
BEAT_SECONDS = 10.0
LOST_AFTER_SECONDS = 45.0
"""Four beats missed; with the submission that follows, on busy machines too, a block is queued again within 90 s."""


@contextmanager
def beating(run_dir: Path, flow_run_id: str) -> Iterator[None]:
    """Write a sign of life every ten seconds while the block runs."""
    path = run_dir / BEATS / flow_run_id
    path.parent.mkdir(exist_ok=True)
    ended = Event()

    def beat() -> None:
        number = 0
        while True:
            with suppress(OSError):  # a full disk must not end what would make room
                path.write_text(str(number))
            number += 1
            if ended.wait(BEAT_SECONDS):
                return

    thread = Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.unlink(missing_ok=True)


class BeatWatch:
    """Tells which workers have gone silent, by this machine's clock alone.

    Args:
        run_dir: The run folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / BEATS
        self._last: dict[str, tuple[str, float]] = {}

    def is_lost(self, flow_run_id: str) -> bool:
        """Whether a run, asked for again and again since it started, has given no sign for too long."""
        now = time.monotonic()
        beat = ""
        with suppress(OSError):
            beat = (self._folder / flow_run_id).read_text()
        known, since = self._last.get(flow_run_id, (None, now))
        if beat != known:
            self._last[flow_run_id] = (beat, now)
            return False
        return now - since > LOST_AFTER_SECONDS

    def forget(self, flow_run_id: str) -> None:
        """Drop what is known of a run that has ended, and its sign of life."""
        self._last.pop(flow_run_id, None)
        (self._folder / flow_run_id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Drop the signs of life of all runs."""
        shutil.rmtree(self._folder, ignore_errors=True)
