"""Checkpoints from the hub: cached ones are verified, absent ones say quickly what to do."""

import hashlib
import time
from pathlib import Path

import pytest

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.weights_hub import fetch_hub_file

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
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
def _unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test machine may have a network: a proxy that nobody serves takes it away."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.parametrize("revision", [COMMIT, "main"])
@pytest.mark.parametrize("pinned", [SHA256, SHA256.upper(), None])
def test_a_cached_file_is_found_and_verified_without_a_network(
    revision: str, pinned: str | None, tmp_path: Path
) -> None:
    path = cache_file(tmp_path, CONTENT, SHA256)
    assert fetch_hub_file("owner/name", "model.safetensors", revision, pinned, tmp_path) == path


def test_another_sha256_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    cache_file(tmp_path, CONTENT, SHA256)
    with pytest.raises(CodecfakeError) as caught:
        fetch_hub_file("owner/name", "model.safetensors", COMMIT, "0" * 64, tmp_path)
    assert f"has sha256 {SHA256}, expected {'0' * 64}" in caught.value.what


def test_a_damaged_cache_is_noticed_without_a_pinned_sha256(tmp_path: Path) -> None:
    cache_file(tmp_path, b"weighTs", SHA256)
    with pytest.raises(CodecfakeError) as caught:
        fetch_hub_file("owner/name", "model.safetensors", COMMIT, None, tmp_path)
    assert str(tmp_path / "models--owner--name" / "blobs" / SHA256) in caught.value.next_step


def test_an_absent_file_without_a_network_says_what_to_do_within_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(CodecfakeError) as caught:
        fetch_hub_file("owner/name", "model.safetensors", "main", None, tmp_path)
    assert time.monotonic() - started < 12
    assert "--weights mini" in caught.value.next_step
    assert "--weights PATH" in caught.value.next_step
    assert "HF_HUB_OFFLINE" in caught.value.cause
    assert "PROXY" in caught.value.cause
