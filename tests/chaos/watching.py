"""A reader that looks at a folder all the time while commands work on it and are killed.

Whatever it sees under a name without a dot in front has to be whole: the bytes that an undisturbed run ends with, or,
where those tell the time, something that can be parsed.
"""

import json
import os
import signal
import time
from fnmatch import fnmatch
from pathlib import Path

from chaos.comparing import essence, matches, visible_files

PAUSE_SECONDS = 0.004


class Watcher:
    """A process that looks until it is told to stop.

    Args:
        folder: What to look at; need not be there yet.
        golden: Essence of every file of an undisturbed run.
        changing: Patterns of files that say something else at every step; they need only be whole.
        wholes: Patterns of folders that have to appear with everything in them.
        log: Where it writes what it found.
    """

    def __init__(
        self,
        folder: Path,
        golden: dict[str, str],
        changing: tuple[str, ...],
        wholes: tuple[str, ...],
        log: Path,
    ) -> None:
        self._log = log
        is_ready, ready = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _Eye(folder, golden, changing, wholes).watch(log, ready)
            finally:
                os._exit(0)
        os.close(ready)
        os.read(is_ready, 1)
        os.close(is_ready)

    def stop(self) -> tuple[int, list[str]]:
        """End it; gives how often it looked, and what was wrong."""
        os.kill(self._pid, signal.SIGTERM)
        os.waitpid(self._pid, 0)
        if not self._log.is_file():
            return 0, ["the watcher died"]
        found = json.loads(self._log.read_text(encoding="utf-8"))
        return found["looks"], found["wrong"]


class _Eye:
    def __init__(
        self, folder: Path, golden: dict[str, str], changing: tuple[str, ...], wholes: tuple[str, ...]
    ) -> None:
        self._folder, self._golden, self._changing = folder, golden, changing
        self._members: dict[str, list[str]] = {}
        for name in golden:
            for parent in Path(name).parents:
                if any(fnmatch(parent.as_posix(), whole) for whole in wholes):
                    self._members.setdefault(parent.as_posix(), []).append(name)
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._known_wholes: set[str] = set()
        self._stopped = False
        self._wrong: dict[str, None] = {}

    def watch(self, log: Path, ready: int) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        os.close(ready)
        looks, parent = 0, os.getppid()
        while not self._stopped and os.getppid() == parent:
            self._look()
            looks += 1
            time.sleep(PAUSE_SECONDS)
        self._look()
        log.write_text(json.dumps({"looks": looks + 1, "wrong": list(self._wrong)}), encoding="utf-8")

    def _stop(self, number: int, frame: object) -> None:
        self._stopped = True

    def _look(self) -> None:
        for whole, names in self._members.items():
            if whole not in self._known_wholes and (self._folder / whole).is_dir():
                missing = [name for name in names if not (self._folder / name).exists()]
                # It may have been moved away between the two looks.
                if missing and (self._folder / whole).is_dir():
                    self._wrong[f"{whole} was there without {missing[0]}"] = None
                self._known_wholes.add(whole)
        for name, path in visible_files(self._folder).items():
            try:
                status = path.stat()
                state = status.st_ino, status.st_size, status.st_mtime_ns
                if self._seen.get(name) != state:
                    self._seen[name] = state
                    self._check(name, path)
            except FileNotFoundError:
                continue

    def _check(self, name: str, path: Path) -> None:
        try:
            found = essence(path)
        except ValueError as error:
            self._wrong[f"{name} was not whole: {error}"] = None
            return
        if matches(name, self._changing):
            return
        if self._golden.get(name) != found:
            told = (
                "differs from that of an undisturbed run" if name in self._golden else "has no business there"
            )
            self._wrong[f"{name} {told}"] = None
