"""Official checkpoints: fetched with resume and mirrors, verified at every use, carried to a machine offline."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import FileServer, serving, serving_hub

from codecfake.codec_adapters import CodecCard, CodecError, OfficialCheckpoint, WeightsFile, find_codec
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import download
from codecfake.pipeline.monitor import Monitor, listening
from codecfake.pipeline.weights import find_checkpoint
from codecfake.pipeline.weights_fetch import copy_official, fetch_official, missing_files

WEIGHTS = bytes(range(256)) * 512
SETTINGS = b"ratios: [8, 5, 4, 2]\n"
COMMIT = "c1dbe2ae3f1de713481a3b3e7c47f357092ee040"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def card_of(*files: WeightsFile, repository: str | None = None) -> CodecCard:
    official = OfficialCheckpoint(name="wonder", files=files, repository=repository)
    return replace(find_codec("F04").card, id="X9", checkpoint=official)


class Display(Monitor):
    """Keeps what a person would see."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.stages, self.counted = [], [], 0

    def say(self, text: str) -> None:
        self.said.append(text)

    def begin(self, stage: str, total: float, unit: str) -> None:
        self.stages.append((stage, total, unit))

    def advance(self, amount: float) -> None:
        self.counted += amount


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    """The publisher's server; the cache is empty."""
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CODECFAKE_WEIGHTS", str(tmp_path / "cache"))
    with serving() as site:
        site.files["model.pth"], site.files["config.yaml"] = WEIGHTS, SETTINGS
        yield site


@pytest.fixture
def card(site: FileServer) -> CodecCard:
    """Of a checkpoint of two files, whose digests nobody published."""
    return card_of(
        WeightsFile(path="model.pth", megabytes=0.13, urls=(f"{site.url}/model.pth",)),
        WeightsFile(path="settings/config.yaml", megabytes=0.001, urls=(f"{site.url}/config.yaml",)),
    )


def offline(site: FileServer) -> None:
    site.files.clear()
    site.asked.clear()


def test_official_weights_are_fetched_once_and_named_by_the_digest_of_all_files(
    site: FileServer, card: CodecCard, tmp_path: Path
) -> None:
    display = Display()
    with listening(display):
        found = find_checkpoint(card, "official")
    assert (found.path / "model.pth").read_bytes() == WEIGHTS
    assert (found.path / "settings" / "config.yaml").read_bytes() == SETTINGS
    assert (found.path, found.source, found.network) == (tmp_path / "cache" / "wonder", "official", None)
    lines = f"model.pth {sha256(WEIGHTS)}\nsettings/config.yaml {sha256(SETTINGS)}\n"
    assert found.sha256 == sha256(lines.encode())
    assert card.weights_licence in display.said[0]
    assert display.stages[0] == ("Download model.pth", len(WEIGHTS), "bytes")
    assert display.counted == len(WEIGHTS) + len(SETTINGS)
    offline(site)
    assert find_checkpoint(card, "official") == found
    assert site.asked == []


def test_one_file_is_named_by_its_own_digest(site: FileServer) -> None:
    card = card_of(WeightsFile(path="model.pth", megabytes=0.13, urls=(f"{site.url}/model.pth",)))
    assert find_checkpoint(card, "official").sha256 == sha256(WEIGHTS)


def test_cut_connections_are_resumed_and_absent_addresses_passed_over(site: FileServer) -> None:
    site.cut_after = 50_000
    urls = (f"{site.url}/gone.pth", f"{site.url}/model.pth")
    card = card_of(WeightsFile(path="model.pth", megabytes=0.13, sha256=sha256(WEIGHTS), urls=urls))
    assert find_checkpoint(card, "official").sha256 == sha256(WEIGHTS)
    ranges = [None, "bytes=50000-", "bytes=100000-"]
    assert site.asked == [("gone.pth", None), *(("model.pth", asked) for asked in ranges)]


def test_weights_that_no_address_gives_may_be_carried_here(site: FileServer) -> None:
    card = card_of(WeightsFile(path="model.pth", megabytes=0.13, urls=(f"{site.url}/gone.pth",)))
    with pytest.raises(CodecfakeError, match="answered 404") as caught:
        find_checkpoint(card, "official")
    assert "codecfake codecs fetch X9 --out FOLDER" in caught.value.next_step


@pytest.mark.parametrize("digits", [64, 8])
def test_a_download_with_another_sha256_is_not_installed(digits: int, site: FileServer) -> None:
    pinned = sha256(b"the published file")[:digits]
    urls = (f"{site.url}/model.pth",)
    card = card_of(WeightsFile(path="model.pth", megabytes=0.13, sha256=pinned, urls=urls))
    with pytest.raises(CodecfakeError) as caught:
        find_checkpoint(card, "official")
    assert sha256(WEIGHTS) in caught.value.what and pinned in caught.value.what
    assert [file.path for file in missing_files(card.checkpoint)] == ["model.pth"]
    site.files["model.pth"] = b"the published file"
    assert find_checkpoint(card, "official").sha256 == sha256(b"the published file")


@pytest.mark.parametrize("change", ["altered", "cut short"])
def test_a_file_changed_after_it_was_fetched_is_refused(
    change: str, site: FileServer, card: CodecCard
) -> None:
    path = find_checkpoint(card, "official").path / "model.pth"
    content = WEIGHTS[:-1] + (b"x" if change == "altered" else b"")
    path.write_bytes(content)
    with pytest.raises(CodecfakeError) as caught:
        find_checkpoint(card, "official")
    assert f"{path} has sha256 {sha256(content)}, expected {sha256(WEIGHTS)}" in caught.value.what
    assert "codecfake codecs fetch X9" in caught.value.next_step
    path.unlink()
    assert find_checkpoint(card, "official").path == path.parent


def test_what_was_fetched_first_holds_where_nobody_published_a_digest(
    site: FileServer, card: CodecCard
) -> None:
    path = find_checkpoint(card, "official").path / "model.pth"
    recorded = json.loads((path.parent / "fetched.json").read_text())
    assert recorded["model.pth"] | {"time": ""} == {
        "sha256": sha256(WEIGHTS), "bytes": len(WEIGHTS), "url": f"{site.url}/model.pth", "time": ""
    }  # fmt: skip
    path.unlink()
    site.files["model.pth"] = b"something else"
    with pytest.raises(CodecfakeError, match="expected"):
        find_checkpoint(card, "official")
    assert not path.exists()


def test_a_folder_made_for_a_machine_offline_is_all_it_needs(
    site: FileServer, card: CodecCard, tmp_path: Path
) -> None:
    folder = tmp_path / "carried"
    copied = copy_official(card, folder, Monitor())
    assert copied.fetched == {"model.pth", "settings/config.yaml"}
    fetched = find_checkpoint(card, "official")
    offline(site)
    shutil.rmtree(tmp_path / "cache")
    found = find_checkpoint(card, str(folder))
    assert (found.path, found.sha256, found.source) == (folder / "wonder", fetched.sha256, str(folder))
    assert not copy_official(card, folder, Monitor()).fetched
    (folder / "wonder" / "model.pth").write_bytes(b"altered on its way")
    with pytest.raises(CodecfakeError, match="expected"):
        find_checkpoint(card, str(folder))
    with pytest.raises(CodecfakeError, match="expected"):
        copy_official(card, folder, Monitor())


def test_a_folder_completed_from_the_cache_is_verified_whole(
    site: FileServer, card: CodecCard, tmp_path: Path
) -> None:
    target = tmp_path / "carried" / "wonder"
    target.mkdir(parents=True)
    (target / "model.pth").write_bytes(b"another version")
    with pytest.raises(CodecfakeError) as caught:
        copy_official(card, tmp_path / "carried", Monitor())
    assert f"{target / 'model.pth'} has sha256 {sha256(b'another version')}" in caught.value.what


def test_official_files_may_lie_directly_in_the_folder(card: CodecCard, tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "model.pth").write_bytes(WEIGHTS)
    (tmp_path / "settings" / "config.yaml").write_bytes(SETTINGS)
    assert find_checkpoint(card, str(tmp_path)).path == tmp_path
    own = tmp_path / "X9.safetensors"
    own.write_bytes(b"a network of the user's")
    (tmp_path / "X9.json").write_text('{"config": {"filters": 8}}')
    found = find_checkpoint(card, str(tmp_path))
    assert (found.path, found.network) == (own, {"filters": 8})
    own.with_suffix(".json").write_text("{")
    with pytest.raises(CodecfakeError, match="no JSON"):
        find_checkpoint(card, str(tmp_path))


def test_a_pinned_digest_holds_for_files_of_the_user_too(tmp_path: Path) -> None:
    card = card_of(WeightsFile(path="model.pth", megabytes=0.13, sha256=sha256(WEIGHTS)[:12], urls=("x",)))
    (tmp_path / "model.pth").write_bytes(WEIGHTS)
    assert find_checkpoint(card, str(tmp_path)).sha256 == sha256(WEIGHTS)
    (tmp_path / "model.pth").write_bytes(WEIGHTS[1:])
    with pytest.raises(CodecfakeError, match="from its publisher"):
        find_checkpoint(card, str(tmp_path))


def test_weights_of_ones_own_in_the_official_format_need_no_published_digest(tmp_path: Path) -> None:
    card = card_of(
        WeightsFile(path="model.pth", megabytes=0, sha256=sha256(WEIGHTS)),
        WeightsFile(path="config.yaml", megabytes=0),
    )
    (tmp_path / "X9").mkdir()
    with pytest.raises(CodecfakeError, match=r"put there model\.pth, config\.yaml"):
        find_checkpoint(card, str(tmp_path))
    (tmp_path / "X9" / "model.pth").write_bytes(b"mine")
    found = find_checkpoint(card, str(tmp_path))
    assert (found.path, found.sha256) == (tmp_path / "X9", sha256(b"mine"))


def test_what_is_missing_is_named_with_both_places(card: CodecCard, tmp_path: Path) -> None:
    (tmp_path / "wonder").mkdir()
    (tmp_path / "wonder" / "model.pth").write_bytes(WEIGHTS)
    with pytest.raises(CodecfakeError) as caught:
        find_checkpoint(card, str(tmp_path))
    assert "neither X9.safetensors nor wonder/settings/config.yaml" in caught.value.what
    assert str(tmp_path) in caught.value.what
    assert caught.value.next_step == f"codecfake codecs fetch X9 --out {tmp_path}"


def test_a_damaged_record_is_told(card: CodecCard) -> None:
    folder = find_checkpoint(card, "official").path
    (folder / "fetched.json").write_text('{"model.pth": ')
    with pytest.raises(CodecfakeError, match="damaged"):
        find_checkpoint(card, "official")


def test_files_of_a_hub_repository_lie_in_their_snapshot_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    files = {"weights/model.pt": WEIGHTS, "config.json": SETTINGS}
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / COMMIT
    for path, content in files.items():
        blob = repository / "blobs" / sha256(content)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    card = card_of(*(WeightsFile(path=path, megabytes=1) for path in files), repository="owner/name")
    found = find_checkpoint(card, "official")
    assert found.path == snapshot
    lines = f"config.json {sha256(SETTINGS)}\nweights/model.pt {sha256(WEIGHTS)}\n"
    assert found.sha256 == sha256(lines.encode())
    carried = copy_official(card, tmp_path / "carried", Monitor())
    assert (carried.folder / "weights" / "model.pt").read_bytes() == WEIGHTS
    assert not (carried.folder / "weights" / "model.pt").is_symlink()


def test_all_files_of_a_branch_come_from_one_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    card = card_of(*(WeightsFile(path=path, megabytes=1) for path in ("a", "b")), repository="owner/name")
    with serving_hub(monkeypatch) as site:
        site.files |= {"owner/name/resolve/main/a": WEIGHTS, f"owner/name/resolve/{COMMIT}/b": SETTINGS}
        found = fetch_official(card, Monitor())
    assert found.folder.name == COMMIT
    assert found.sha256 == {"a": sha256(WEIGHTS), "b": sha256(SETTINGS)}
    assert found.fetched == {"a", "b"}


def test_a_hub_file_that_also_has_addresses_of_its_own_is_taken_from_there(site: FileServer) -> None:
    urls = (f"{site.url}/model.pth",)
    card = card_of(WeightsFile(path="model.pth", megabytes=0.13, urls=urls), repository="owner/name")
    assert fetch_official(card, Monitor()).sha256 == {"model.pth": sha256(WEIGHTS)}


class Trap:
    """Unpickling it would write a file."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.sprung, "sprung")


@pytest.mark.parametrize("content", ["code", "other keys", "cut short"])
def test_a_checkpoint_that_is_no_checkpoint_is_refused_on_the_whole_way(content: str, tmp_path: Path) -> None:
    import torch

    adapter = find_codec("F02")
    official = adapter.card.checkpoint
    unpinned = tuple(replace(file, sha256=None) for file in official.files if file.path.endswith(".pt"))
    card = replace(adapter.card, checkpoint=replace(official, files=unpinned))
    path = tmp_path / official.name / unpinned[0].path
    path.parent.mkdir(parents=True)
    tensors = {"encoder.model.0.conv.conv.bias": torch.zeros(64)}
    torch.save(tensors | ({"code": Trap(tmp_path / "sprung")} if content == "code" else {}), path)
    if content == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    checkpoint = find_checkpoint(card, str(tmp_path))
    said = {"code": "more than tensors", "other keys": "missing", "cut short": "damaged or cut short"}
    with pytest.raises(CodecError, match=said[content]) as caught:
        adapter().load(checkpoint.path)
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "sprung").exists()
