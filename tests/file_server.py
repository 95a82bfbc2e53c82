"""A server of files on this machine: it knows ranges, may cut connections, and can play the hub."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class FileServer:
    """What is served, and what was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    """By path, without the slash at its beginning; what is absent is answered with 404."""
    promised: dict[str, str] = field(default_factory=dict)
    """ETag by path where it is not the sha256 of the content."""
    commit: str = "c1dbe2ae3f1de713481a3b3e7c47f357092ee040"
    """As the hub names the commit of every file."""
    cut_after: int | None = None
    """Close each connection after so many bytes."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Paths and ranges of all downloads."""


@contextmanager
def serving(**files: bytes) -> Iterator[FileServer]:
    """Serve ``files``, and whatever is put into ``FileServer.files`` later."""
    site = FileServer(files=dict(files))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_content=False)

        def do_GET(self) -> None:
            site.asked.append((self.path[1:], self.headers.get("Range")))
            self.answer(with_content=True)

        def answer(self, *, with_content: bool) -> None:
            path = self.path[1:]
            content = site.files.get(path)
            if content is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            etag = f'"{site.promised.get(path, hashlib.sha256(content).hexdigest())}"'
            asked, start = self.headers.get("Range"), 0
            if asked and self.headers.get("If-Range", etag) == etag:
                start = int(asked.removeprefix("bytes=").split("-")[0])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("ETag", etag)
            self.send_header("X-Repo-Commit", site.commit)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if with_content:
                stop = len(content) if site.cut_after is None else start + site.cut_after
                self.wfile.write(content[start:stop])
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Be the hub of this process; a file's path is ``owner/name/resolve/<revision>/<file>``."""
    from huggingface_hub import close_session, constants

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    close_session()
    with serving() as site:
        monkeypatch.setattr(constants, "ENDPOINT", site.url)
        template = f"{site.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield site
    close_session()
