"""Checkpoints from the hub: cached ones are verified, fresh ones too, absent ones say quickly what to do."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, serving_hub

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.weights_hub import cached_hub_file, fetch_hub_file

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_SHA1 = hashlib.sha1(b"blob 7\0" + CONTENT).hexdigest()
COMMIT = "c1dbe2ae3f1de713481a3b3e7c47f357092ee040"


def cache_file(cache: Path, content: bytes, blob: str) -> Path:
    """Lay a file out as the hub client does."""
    folder = cache / "models--owner--name"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / blob).write_bytes(content)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(f"../../blobs/{blob}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return snapshot / "model.safetensors"


@pytest.fixture(autouse=True)
def _unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test machine may have a network: a proxy that nobody serves takes it away."""
    from huggingface_hub import close_session

    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    close_session()
    yield
    close_session()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A hub on this machine, with one file."""
    with serving_hub(monkeypatch) as site:
        site.files["owner/name/resolve/main/model.safetensors"] = CONTENT
        yield site


@pytest.mark.parametrize("revision", [COMMIT, "main"])
@pytest.mark.parametrize("pinned", [SHA256, SHA256.upper(), SHA256[:8], None])
def test_a_cached_file_is_found_and_verified_without_a_network(
    revision: str, pinned: str | None, tmp_path: Path
) -> None:
    path = cache_file(tmp_path, CONTENT, SHA256)
    assert cached_hub_file("owner/name", "model.safetensors", revision, tmp_path) == path
    found = fetch_hub_file("owner/name", "model.safetensors", revision, pinned, tmp_path)
    assert found == (path, SHA256, True)


def test_another_sha256_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    path = cache_file(tmp_path, CONTENT, SHA256)
    with pytest.raises(CodecfakeError) as caught:
        fetch_hub_file("owner/name", "model.safetensors", COMMIT, "0" * 64, tmp_path)
    assert f"has sha256 {SHA256}, expected {'0' * 64}" in caught.value.what
    assert path.exists()  # it may be what another program uses


@pytest.mark.parametrize("digest", [SHA256, GIT_SHA1])
def test_a_damaged_cache_is_noticed_without_a_pinned_sha256(digest: str, tmp_path: Path) -> None:
    path = cache_file(tmp_path, CONTENT, digest)
    assert fetch_hub_file("owner/name", "model.safetensors", COMMIT, None, tmp_path).path == path
    path.write_bytes(b"weighTs")
    with pytest.raises(CodecfakeError) as caught:
        fetch_hub_file("owner/name", "model.safetensors", COMMIT, None, tmp_path)
    assert digest in caught.value.what
    assert str(tmp_path / "models--owner--name" / "blobs" / digest) in caught.value.next_step


def test_a_download_is_reported_verified_and_kept(hub: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    found = fetch_hub_file(
        "owner/name", "model.safetensors", "main", SHA256, tmp_path, lambda *progress: seen.append(progress)
    )
    assert (found.sha256, found.was_cached) == (SHA256, False)
    assert found.path.read_bytes() == CONTENT and found.path.parent.name == COMMIT
    assert seen[-1] == (7, 7)
    assert fetch_hub_file("owner/name", "model.safetensors", "main", SHA256, tmp_path).was_cached
    assert [path for path, _ in hub.asked if "resolve" in path] == [
        "owner/name/resolve/main/model.safetensors"
    ]


@pytest.mark.parametrize(("pinned", "promised"), [("0" * 64, SHA256), (None, "0" * 64), (None, "0" * 40)])
def test_a_download_with_another_digest_is_not_kept(
    pinned: str | None, promised: str, hub: FileServer, tmp_path: Path
) -> None:
    hub.promised["owner/name/resolve/main/model.safetensors"] = promised
    with pytest.raises(CodecfakeError, match="not kept") as caught:
        fetch_hub_file("owner/name", "model.safetensors", "main", pinned, tmp_path)
    assert "0" * 40 in caught.value.what
    assert cached_hub_file("owner/name", "model.safetensors", "main", tmp_path) is None
    blobs = tmp_path / "models--owner--name" / "blobs"
    assert [path.read_bytes() for path in blobs.iterdir() if path.is_file()] == []


def test_an_absent_file_without_a_network_says_what_to_do_within_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(CodecfakeError) as caught:
        fetch_hub_file("owner/name", "model.safetensors", "main", None, tmp_path)
    assert time.monotonic() - started < 12
    assert "codecfake codecs fetch NAME --out FOLDER" in caught.value.next_step
    assert "--weights mini" in caught.value.next_step
    assert "HF_ENDPOINT" in caught.value.next_step
    assert "HF_HUB_OFFLINE" in caught.value.cause
    assert "PROXY" in caught.value.cause
