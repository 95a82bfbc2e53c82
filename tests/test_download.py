"""Downloads from a server that behaves, one that cuts, one that ignores ranges, and one that lies."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import download as module
from codecfake.pipeline.download import download

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    knows_ranges: bool = True
    cut_after: int | None = None
    failures: list[int] = field(default_factory=list)
    redirect: str = ""
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.ranges.append(asked)
            if site.redirect or site.failures:
                self.send_response(302 if site.redirect else site.failures.pop(0))
                self.send_header("Location", site.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start, size = 0, len(site.content)
            if asked and site.knows_ranges and self.headers.get("If-Range") == site.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206 if start < size else 416)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("ETag", site.etag)
            self.send_header("Content-Length", str(max(size - start, 0)))
            self.end_headers()
            stop = size if site.cut_after is None else start + site.cut_after
            self.wfile.write(site.content[start:stop])
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}/corpus.bin"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.001)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_is_published_with_its_sha256_and_nothing_beside_it(site: Site, tmp_path: Path) -> None:
    seen = []
    target = tmp_path / "corpus.bin"
    found = download(site.url, target, sha256=SHA256.upper(), report=lambda *progress: seen.append(progress))
    assert found == SHA256
    assert target.read_bytes() == CONTENT
    assert names(tmp_path) == ["corpus.bin"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert download(site.url, target, sha256=SHA256) == SHA256
    assert len(site.ranges) == 1  # the second call asked for nothing


def test_cut_connections_are_resumed_where_they_broke(site: Site, tmp_path: Path) -> None:
    site.cut_after = 300_000
    assert download(site.url, tmp_path / "corpus.bin", sha256=None) == SHA256
    assert site.ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_later_call_goes_on_after_a_kill(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "corpus.bin"
    site.cut_after = 300_000
    monkeypatch.setattr(module.time, "sleep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        download(site.url, target, sha256=SHA256)
    assert names(tmp_path) == ["corpus.bin.part", "corpus.bin.part.json"]
    site.cut_after = None
    assert download(site.url, target, sha256=SHA256) == SHA256
    assert site.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize("change", ["ranges are ignored", "the file was replaced", "the part is too long"])
def test_a_part_that_does_not_fit_is_started_again(change: str, site: Site, tmp_path: Path) -> None:
    target = tmp_path / "corpus.bin"
    length = len(CONTENT) + 5 if change == "the part is too long" else 1000
    (tmp_path / "corpus.bin.part").write_bytes(b"x" * length)
    (tmp_path / "corpus.bin.part.json").write_text(
        '{"etag": "\\"one\\"", "last_modified": null, "total_bytes": 7}'
    )
    site.knows_ranges = change != "ranges are ignored"
    site.etag = '"two"' if change == "the file was replaced" else '"one"'
    assert download(site.url, target, sha256=SHA256) == SHA256
    retried = [None] if change == "the part is too long" else []
    assert site.ranges == [f"bytes={length}-", *retried]
    assert target.read_bytes() == CONTENT


def test_wrong_bytes_are_kept_aside_and_never_published(site: Site, tmp_path: Path) -> None:
    site.content = b"an error page"
    target = tmp_path / "corpus.bin"
    with pytest.raises(CodecfakeError) as caught:
        download(site.url, target, sha256=SHA256)
    assert SHA256 in caught.value.what
    assert hashlib.sha256(b"an error page").hexdigest() in caught.value.what
    assert names(tmp_path) == ["corpus.bin.bad-sha256"]
    assert (tmp_path / "corpus.bin.bad-sha256").read_bytes() == b"an error page"


def test_busy_answers_are_retried_and_a_missing_file_is_taken_from_a_mirror(
    site: Site, tmp_path: Path
) -> None:
    site.failures = [503, 429, 500]
    assert download(site.url, tmp_path / "a", sha256=SHA256) == SHA256
    site.failures = [404]
    assert download(site.url, tmp_path / "b", sha256=SHA256, mirrors=[f"{site.url}?mirror"]) == SHA256
    site.failures = [404]
    with pytest.raises(CodecfakeError, match="answered 404"):
        download(site.url, tmp_path / "c", sha256=SHA256)


def test_a_dead_server_ends_with_an_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(CodecfakeError) as caught:
        download("http://127.0.0.1:9/corpus.bin", tmp_path / "corpus.bin", sha256=None)
    assert "run the same command again" in caught.value.next_step


def test_plain_http_is_refused_also_behind_a_redirect(site: Site, tmp_path: Path) -> None:
    with pytest.raises(CodecfakeError, match="not https"):
        download("http://example.org/corpus.bin", tmp_path / "corpus.bin", sha256=None)
    site.redirect = "http://example.org/corpus.bin"
    with pytest.raises(CodecfakeError, match="not https"):
        download(site.url, tmp_path / "corpus.bin", sha256=None)


def test_a_full_disk_is_told_before_the_download(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(CodecfakeError, match="GB more"):
        download(site.url, tmp_path / "corpus.bin", sha256=None)
    assert names(tmp_path) == []
