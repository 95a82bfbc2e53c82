"""One clear progress display: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from codecfake.manifests.showing import for_terminal
from codecfake.pipeline.monitor import Monitor, count_into

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 15.0


class ConsoleMonitor(Monitor):
    """Shows the current stage on standard error, with what is left of it."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self._lock = Lock()
        self._bar = None
        self._stage, self._total, self._done, self._unit = "", 0.0, 0.0, ""
        self._began = self._spoke = 0.0

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self.console.print(for_terminal(text), markup=False, soft_wrap=True)

    def begin(self, stage: str, total: float, unit: str) -> None:
        """Show a new stage."""
        self._stage, self._total, self._done, self._unit = stage, total, 0.0, unit
        self._began = self._spoke = time.monotonic()
        if self.console.is_terminal:
            self._bar = _make_bar(self.console)
            self._task = self._bar.add_task(stage, total=total, amount=self._amount())
            self._bar.start()
        else:
            self.say(f"{stage}: {_format(total, unit)} to do")

    def advance(self, amount: float) -> None:
        """Move the bar, or speak now and then."""
        with self._lock:
            self._done += amount
            if self._bar:
                self._bar.update(self._task, completed=self._done, amount=self._amount())
            elif time.monotonic() - self._spoke >= SECONDS_BETWEEN_LINES:
                self._spoke = time.monotonic()
                self.say(f"{self._stage}: {self._amount()}, {self._time_left()} left")

    def end(self) -> None:
        """Close the stage with its time and, for audio, its speed."""
        if self._bar:
            self._bar.stop()
            self._bar = None
        seconds = time.monotonic() - self._began
        speed = f", {self._done / seconds:.1f}x real time" if self._unit == "s" and seconds else ""
        self.say(f"{self._stage}: {_format(self._done, self._unit)} in {_clock(seconds)}{speed}")

    def close(self) -> None:
        """Take the bar away, wherever the work stopped."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _amount(self) -> str:
        if self._unit != "s":
            return f"{self._done:,.0f} of {self._total:,.0f} {self._unit}"
        return f"{self._done / 3600:.3f} of {self._total / 3600:.3f} h of audio"

    def _time_left(self) -> str:
        seconds = time.monotonic() - self._began
        return _clock(seconds * (self._total - self._done) / self._done) if self._done else "?"


def _make_bar(console: "Console") -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _format(amount: float, unit: str) -> str:
    return f"{amount / 3600:.3f} h of audio" if unit == "s" else f"{amount:,.0f} {unit}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def steps_into(monitor: Monitor) -> Callable[[str, int, int | None], None]:
    """Turn a monitor into a callback that takes a step's name, the bytes done and, if known, their total."""
    current, counter = None, None

    def report(step: str, done: int, total: int | None) -> None:
        nonlocal current, counter
        monitor.raise_if_stopped()
        if step != current:
            if current:
                monitor.end()
            monitor.begin(step.capitalize(), total or done, "bytes")
            current, counter = step, count_into(monitor)
        counter(done, total or done)

    return report
