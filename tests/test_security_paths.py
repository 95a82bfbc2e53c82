"""Nothing that others send is written or read outside of its folder: archives, stores, manifests, downloads."""

import dataclasses
import io
import os
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from detector_run import SPLIT, make_run
from file_server import FileServer, serving_hub
from run_helpers import build_here, settings

from codecfake.codec_adapters.registry import built_in_codecs
from codecfake.detector.front_ends.checkpoints import find_weights
from codecfake.detector.front_ends.encoders import ENCODERS
from codecfake.detector.score_journal import FILE as JOURNAL
from codecfake.detector.score_journal import ScoreJournal
from codecfake.detector.trials import read_trials
from codecfake.flows.server_process import server_process
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import archives
from codecfake.pipeline.archives import unpack
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.corpora_fetch import CORPORA
from codecfake.pipeline.exports.export import export_run
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_store import pull_shards, worker_folder
from codecfake.pipeline.verification import verify
from codecfake.pipeline.weights_fetch import addresses
from codecfake.pipeline.weights_hub import fetch_hub_file

TYPES = {
    "symbolic link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "FIFO": tarfile.FIFOTYPE,
}
ZIP_MODES = {"symbolic link": 0o120777, "character device": 0o020666, "FIFO": 0o010666, "socket": 0o140666}


def tar_of(path: Path, *members: tarfile.TarInfo, compressed: bool = False) -> Path:
    with tarfile.open(path, "w:gz" if compressed else "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def nothing(_done: int, _total: int | None) -> None:
    pass


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "wav/a.wav"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_tar_holds_files_and_folders_and_nothing_else(kind: str, target: str, tmp_path: Path):
    archive = tar_of(tmp_path / "a.tar", member("wav/a.wav", size=3), member("b.wav", TYPES[kind], target))
    with pytest.raises(CodecfakeError, match="a link or a device"):
        unpack(archive, tmp_path / "out", nothing)
    assert not os.path.lexists(tmp_path / "out" / "b.wav")


@pytest.mark.parametrize("kind", ZIP_MODES)
def test_so_does_a_zip(kind: str, tmp_path: Path):
    info = zipfile.ZipInfo("b.wav")
    info.external_attr = ZIP_MODES[kind] << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.wav", b"abc")
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(CodecfakeError, match="a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out", nothing)
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:evil", "\\\\host\\evil", "..\\evil"])
@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_no_member_leads_out(suffix: str, name: str, tmp_path: Path):
    path = tmp_path / f"a.{suffix}"
    if suffix == "tar":
        tar_of(path, member(name, size=3))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"abc")
    with pytest.raises(CodecfakeError, match="outside its folder"):
        unpack(path, tmp_path / "out", nothing)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_a_small_archive_does_not_become_a_large_folder(suffix: str, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL_BYTES", 100_000)
    path, size = tmp_path / f"bomb.{suffix}", 3_000_000
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.wav", bytes(size))
    else:
        tar_of(path, member("a.wav", size=size), compressed=True)
    with pytest.raises(CodecfakeError, match=r"at most 0\.0 GB"):
        unpack(path, tmp_path / "out", nothing)
    assert not any((tmp_path / "out").iterdir())


def test_a_zip_that_tells_a_smaller_size_than_it_holds_is_damaged(tmp_path: Path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(3_000_000))
    size = (3_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(CodecfakeError, match="is damaged"):
        unpack(path, tmp_path / "out", nothing)
    assert sum(found.stat().st_size for found in (tmp_path / "out").iterdir()) <= 10


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_files_without_number_are_not_unpacked(suffix: str, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 10)
    path = tmp_path / f"a.{suffix}"
    if suffix == "tar":
        tar_of(path, *(member(f"{number}") for number in range(11)))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(11):
                archive.writestr(f"{number}", b"")
    with pytest.raises(CodecfakeError, match="in 11 files"):
        unpack(path, tmp_path / "out", nothing)


def _with_member(*members: tarfile.TarInfo) -> Callable[[bytes, Path], bytes]:
    def add(content: bytes, folder: Path) -> bytes:
        buffer = io.BytesIO(content)
        with tarfile.open(fileobj=buffer, mode="a") as archive:
            for info in members:
                archive.addfile(info, io.BytesIO(bytes(info.size)))
        return buffer.getvalue()

    return add


EVIL_TARS = {
    "a path out": _with_member(member("../../evil", size=1)),
    "an absolute path": _with_member(member("/tmp/evil-of-a-store", size=1)),
    "a symbolic link": _with_member(member("link", tarfile.SYMTYPE, "/etc/passwd")),
    "a hard link": _with_member(member("link", tarfile.LNKTYPE, "/etc/passwd")),
    "a FIFO": _with_member(member("pipe", tarfile.FIFOTYPE)),
    "a stranger": _with_member(member("stranger.wav", size=1)),
}


@pytest.fixture
def store(corpora, outside, tmp_path: Path) -> tuple[str, Path]:
    """A store with a run of four utterances, and its folder."""
    folder = tmp_path / "store"
    build_here(settings(corpora, outside, tmp_path / "run", store=f"file://{folder}", limit=4))
    return f"file://{folder}", folder


def test_a_store_cannot_write_outside_of_a_shard(store: tuple[str, Path], tmp_path: Path):
    url, folder = store
    packed = next(folder.glob("shards/X1/00000/audio-*.tar"))
    record = folder / "shards" / "X1" / "00000" / "shard.json"
    sound, told = packed.read_bytes(), record.read_text()

    def refusal() -> str:
        (tmp_path / "other").mkdir(exist_ok=True)
        with pytest.raises(CodecfakeError, match=r"X1/00000/shard\.json is damaged") as caught:
            pull_shards(url, tmp_path / "other")
        assert not (tmp_path / "other" / "shards" / "X1" / "00000").exists()
        return str(caught.value)

    for what, change in EVIL_TARS.items():
        packed.write_bytes(change(sound, folder))
        assert "which is no file of the shard" in refusal(), what
    packed.write_bytes(sound)
    record.write_text(told.replace('"items_sha256": "', '"items_sha256": "../../../'))
    assert "is no digest" in refusal()
    record.write_text(told)
    pull_shards(url, tmp_path / "other")
    assert not list(tmp_path.rglob("evil")) and not Path("/tmp/evil-of-a-store").exists()
    with worker_folder(tmp_path / "unused", url) as private:
        assert private.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("path", "../../../etc/passwd"),
        ("path", "/etc/passwd"),
        ("file", "../evil.wav"),
        ("conditions", ["../../evil"]),
    ],
)
def test_a_manifest_cannot_make_a_detector_read_or_write_elsewhere(column: str, value, tmp_path: Path):
    run = make_run(tmp_path / "run", train=2, dev=1, evaluation=1)
    path = run / "splits" / SPLIT / "manifest.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[-1][column] = value
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    with pytest.raises(CodecfakeError, match="could lead out of the run folder"):
        read_trials(run, SPLIT)


def test_a_link_in_a_run_folder_lets_nobody_write_into_another_file(tmp_path: Path):
    mine = tmp_path / "thesis.txt"
    mine.write_text("years of work")
    (tmp_path / "home").mkdir()
    for link in (tmp_path / JOURNAL, tmp_path / "home" / "server.log"):
        link.symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"):
        ScoreJournal(tmp_path)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(OSError, match="symbolic links"),
        server_process(listener, tmp_path / "home", "http://127.0.0.1:9/api"),
    ):
        pass
    assert mine.read_text() == "years of work"


def test_a_pipe_in_place_of_audio_holds_nobody_up(corpora, outside, tmp_path: Path):
    config = settings(corpora, outside, tmp_path / "run", limit=4)
    build_here(config)
    (split,) = (config.out / "splits").iterdir()
    rows = pq.read_table(split / "manifest.parquet", columns=["path", "split"]).to_pylist()
    audio = config.out / next(row["path"] for row in rows if row["split"] == "eval")
    audio.unlink()
    os.mkfifo(audio)
    (result,) = derive_conditions(config.out, split.name, [parse_setting("noise-snr10")], None, Monitor())
    assert [row["reason"] for row in result.quarantined] == ["unreadable"]
    with pytest.raises(CodecfakeError, match="neither a file nor a link to one"):
        export_run(config.out, tmp_path / "out", "webdataset", split.name, Monitor())


def test_verify_reads_no_file_outside_of_the_run(corpora, outside, tmp_path: Path):
    config = settings(corpora, outside, tmp_path / "run", limit=4)
    build_here(config)
    items = tmp_path / "run" / "shards" / "X1" / "00000" / "items.parquet"
    os.mkfifo(tmp_path / "pipe")  # who opens it waits for ever
    table = pq.read_table(items)
    rows = [row | {"path": "../pipe"} for row in table.to_pylist()]
    old = file_sha256(items)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), items)
    record = items.with_name("shard.json")
    record.write_text(record.read_text().replace(old, file_sha256(items)))
    report = verify(config.out, [], Monitor())
    (problem,) = (
        damage.problem for damage in report.damage if damage.path.endswith("X1/00000/items.parquet")
    )
    assert "names '../pipe', which could lead out of the run folder" in problem


def test_everything_is_downloaded_over_https_and_pinned_or_recorded():
    corpora = [url for corpus in CORPORA.values() for url in corpus.urls]
    checkpoints = {codec.card.checkpoint for codec in built_in_codecs().values() if codec.card.checkpoint}
    weights = [
        url for official in checkpoints for file in official.files for url in addresses(official, file)
    ]
    assert len(weights) > 15
    assert all(url.startswith("https://") for url in [*corpora, *weights])
    assert all(len(encoder.sha256) == 64 for encoder in ENCODERS.values())


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with serving_hub(monkeypatch) as site:
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        site.files["owner/name/resolve/main/model.safetensors"] = b"weights"
        yield site


def test_the_hub_is_not_asked_over_plain_http(hub: FileServer, tmp_path: Path, monkeypatch):
    from huggingface_hub import constants

    place = ("owner/name", "model.safetensors", "main", None, tmp_path / "cache")
    assert fetch_hub_file(*place).path.read_bytes() == b"weights"  # on this machine
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template.replace("127.0.0.1", "192.0.2.1"))
    monkeypatch.setattr(constants, "ENDPOINT", constants.ENDPOINT.replace("127.0.0.1", "192.0.2.1"))
    with pytest.raises(CodecfakeError, match="is not https"):
        fetch_hub_file(*place[:4], tmp_path / "other")
    with pytest.raises(CodecfakeError, match="is not https"):
        find_weights(dataclasses.replace(ENCODERS["wavlm-large"], repository="owner/name"), "official")
