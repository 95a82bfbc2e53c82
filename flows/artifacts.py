"""What the Prefect UI shows of a run beside its tasks: progress, shards per codec, and the error rates at the end."""

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectHTTPStatusError

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.status import run_status

UPDATE_SECONDS = 10.0
LARGEST_PICTURE_BYTES = 200_000
"""A larger one makes the page of the UI slow."""

SERVER_FAILURES = (httpx.HTTPError, PrefectHTTPStatusError)
"""A picture of the work must not end the work."""


class ShownProgress(Monitor):
    """Passes everything on to another monitor, and shows the current stage as a progress artifact."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self.stop = monitor.stop
        self._monitor = monitor
        self._lock = Lock()
        self._artifact = None
        self._total, self._done, self._shown_at = 0.0, 0.0, 0.0

    def say(self, text: str) -> None:
        """Tell the user one thing."""
        self._monitor.say(text)

    def begin(self, stage: str, total: float, unit: str) -> None:
        """Start a stage."""
        self._monitor.begin(stage, total, unit)
        key = re.sub("[^a-z0-9]+", "-", stage.lower()).strip("-")
        with self._lock, suppress(*SERVER_FAILURES):
            self._total, self._done, self._shown_at = total, 0.0, time.monotonic()
            self._artifact = create_progress_artifact(0.0, key=key, description=stage)

    def advance(self, amount: float) -> None:
        """Count work of the current stage."""
        self._monitor.advance(amount)
        with self._lock:
            self._done += amount
            if time.monotonic() - self._shown_at > UPDATE_SECONDS:
                self._show()

    def end(self) -> None:
        """End the current stage."""
        self._monitor.end()
        with self._lock:
            self._show()
            self._artifact = None

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        if self._artifact and self._total:
            with suppress(*SERVER_FAILURES):
                update_progress_artifact(self._artifact, min(100.0, 100 * self._done / self._total))


@contextmanager
def shown_status(run_dir: Path) -> Iterator[None]:
    """Show at the end of the block, however it ends, what the run folder holds."""
    try:
        yield
    finally:
        # Where there is no run yet, what ended the block says so.
        with suppress(CodecfakeError, OSError, *SERVER_FAILURES):
            show_status(run_dir)


def show_status(run_dir: Path) -> None:
    """Show shards, hours and failures per codec as a table artifact of the current flow run."""
    status = run_status(saved_config(run_dir))
    rows = [
        {
            "codec": part.codec,
            "shards": f"{part.shards_published}/{part.shards}",
            "files": part.utterances,
            "hours": round(part.hours, 3),
            "quarantined": part.quarantined,
        }
        for part in status.codecs
    ]
    create_table_artifact(rows, key="shards-per-codec", description=f"Run folder: `{run_dir}`")


def show_evaluation(detector_dir: Path) -> None:
    """Show the report of an evaluation as a Markdown artifact of the current flow run, its pictures inside."""

    def embedded(match: re.Match) -> str:
        picture = detector_dir / match[2]
        if not picture.is_file() or picture.stat().st_size > LARGEST_PICTURE_BYTES:
            return f"{match[1]}: `{picture}`"
        content = base64.b64encode(picture.read_bytes()).decode()
        return f"![{match[1]}](data:image/png;base64,{content})"

    text = (detector_dir / "evaluation.md").read_text(encoding="utf-8")
    report = re.sub(r"!\[([^\]]*)\]\(([^)/]+\.png)\)", embedded, text)
    with suppress(*SERVER_FAILURES):
        create_markdown_artifact(f"{report}\n\nDetector: `{detector_dir}`\n", key="evaluation")
