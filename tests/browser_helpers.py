"""A real browser for tests: it reads pages from disk, and tells what went wrong and what it asked the network for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


@dataclass
class Watched:
    """A browser window, and everything that a user of a page from disk must not meet."""

    page: object
    problems: list[str] = field(default_factory=list)
    """Console errors, uncaught exceptions, failed requests."""
    requests: list[str] = field(default_factory=list)
    """Addresses that are not on this disk."""
    dialogs: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        self.page.goto(path.resolve().as_uri())

    def require_silence(self) -> None:
        assert not self.problems
        assert not self.requests
        assert not self.dialogs


@contextmanager
def started_browser() -> Iterator[object]:
    """Start a browser without any history; skips where playwright or Chromium is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next((found for name in NAMES if (found := shutil.which(name))), None)
    if executable is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened_window(
    browser, *, scheme: str = "light", width: int = 1440, height: int = 900
) -> Iterator[Watched]:
    """Open a window with storage of its own."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    try:
        page = context.new_page()
        watched = Watched(page)
        _watch(page, watched)
        yield watched
    finally:
        context.close()


def _watch(page, watched: Watched) -> None:
    def tell(message) -> None:
        if message.type in ("error", "warning"):
            watched.problems.append(f"console: {message.text}")

    def requested(request) -> None:
        if not request.url.startswith(("file:", "data:")):
            watched.requests.append(request.url)

    def failed(request) -> None:
        # Leaving a page stops the audio that it still loads.
        if request.failure != "net::ERR_ABORTED":
            watched.problems.append(f"failed: {request.url} {request.failure}")

    def dismissed(dialog) -> None:
        watched.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("console", tell)
    page.on("pageerror", lambda error: watched.problems.append(f"exception: {error}"))
    page.on("request", requested)
    page.on("requestfailed", failed)
    page.on("dialog", dismissed)
