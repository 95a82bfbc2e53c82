"""Fetched corpora: unpacked once, from archives of either layout, and never outside their folder."""

import dataclasses
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import corpora_fetch, download
from codecfake.pipeline.corpora_fetch import CORPORA, describe_fetch, fetch_corpus

VCTK_FILES = {"wav48_silence_trimmed/p225/p225_001_mic1.flac": b"flac", "txt/p225/p225_001.txt": b"text"}
AISHELL3_FILES = {
    "train/wav/SSB0005/SSB00050001.wav": b"wav",
    "test/content.txt": b"text",
    "spk-info.txt": b"x",
}


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    """Make a corpus' address serve these bytes."""
    site = tmp_path / "site"
    site.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.001)

    def serve(name: str, content: bytes) -> None:
        corpus = CORPORA[name]
        (site / corpus.archive).write_bytes(content)
        local = dataclasses.replace(
            corpus,
            urls=(f"http://127.0.0.1:{server.server_port}/{corpus.archive}",),
            sha256=hashlib.sha256(content).hexdigest() if corpus.sha256 else None,
        )
        monkeypatch.setitem(CORPORA, name, local)

    yield serve
    server.shutdown()
    server.server_close()


def zip_of(files: dict[str, bytes], prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return buffer.getvalue()


def tgz_of(files: dict[str, bytes], prefix: str = "", links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("prefix", ["", "VCTK-Corpus-0.92/"])
def test_vctk_is_unpacked_whether_or_not_it_has_a_top_folder(
    prefix: str, publish: Callable[[str, bytes], None], tmp_path: Path
) -> None:
    publish("vctk", zip_of(VCTK_FILES, prefix))
    steps = []
    folder = fetch_corpus("vctk", tmp_path / "out", lambda *step: steps.append(step))
    assert folder == tmp_path / "out" / "VCTK-Corpus-0.92"
    assert files_below(folder) == VCTK_FILES
    assert {step for step, _, _ in steps} == {"download", "unpack"}
    assert steps[-1] == ("unpack", 8, 8)


@pytest.mark.parametrize("prefix", ["", "data_aishell3/"])
def test_aishell3_is_unpacked_and_its_checksum_recorded(
    prefix: str, publish: Callable[[str, bytes], None], tmp_path: Path
) -> None:
    content = tgz_of(AISHELL3_FILES, prefix)
    publish("aishell3", content)
    out = tmp_path / "out"
    folder = fetch_corpus("aishell3", out)
    assert files_below(folder) == AISHELL3_FILES
    assert (out / "data_aishell3.tgz").read_bytes() == content  # kept
    recorded = (out / "data_aishell3.tgz.sha256").read_text()
    assert recorded == f"{hashlib.sha256(content).hexdigest()}  data_aishell3.tgz\n"
    assert not list(out.glob(".tmp-*"))
    assert "Nobody published a checksum" in "\n".join(describe_fetch("aishell3", out))


def test_a_fetched_corpus_needs_no_network_and_a_killed_unpacking_is_finished(
    publish: Callable[[str, bytes], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("aishell3", tgz_of(AISHELL3_FILES))
    out = tmp_path / "out"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(corpora_fetch, "unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch_corpus("aishell3", out)
    (out / ".tmp-data_aishell3" / "train").mkdir(parents=True)
    (out / ".tmp-data_aishell3" / "train" / "half.wav").write_bytes(b"")
    monkeypatch.setitem(
        CORPORA, "aishell3", dataclasses.replace(CORPORA["aishell3"], urls=("http://127.0.0.1:9/none",))
    )
    assert files_below(fetch_corpus("aishell3", out)) == AISHELL3_FILES
    assert fetch_corpus("aishell3", out) == out / "data_aishell3"


@pytest.mark.parametrize("name", ["../evil.wav", "/tmp/evil.wav", "train/../../evil.wav", "C:\\evil.wav"])
@pytest.mark.parametrize("corpus", ["vctk", "aishell3"])
def test_members_outside_the_folder_are_refused(
    corpus: str, name: str, publish: Callable[[str, bytes], None], tmp_path: Path
) -> None:
    content = zip_of({name: b"evil"}) if corpus == "vctk" else tgz_of({name: b"evil"})
    publish(corpus, content)
    with pytest.raises(CodecfakeError, match="outside its folder"):
        fetch_corpus(corpus, tmp_path / "out")
    assert not (tmp_path / "out" / CORPORA[corpus].folder).exists()
    assert not list(tmp_path.rglob("evil*"))


def test_links_out_of_the_folder_are_refused(publish: Callable[[str, bytes], None], tmp_path: Path) -> None:
    publish("aishell3", tgz_of({"train/evil.wav": b"evil"}, links={"train": str(tmp_path / "elsewhere")}))
    with pytest.raises(CodecfakeError, match="outside its folder"):
        fetch_corpus("aishell3", tmp_path / "out")
    link = zipfile.ZipInfo("wav48_silence_trimmed")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc")
    publish("vctk", buffer.getvalue())
    with pytest.raises(CodecfakeError, match="a link"):
        fetch_corpus("vctk", tmp_path / "out")


def test_a_damaged_archive_or_another_one_is_named(
    publish: Callable[[str, bytes], None], tmp_path: Path
) -> None:
    publish("aishell3", tgz_of({"train/a.wav": bytes(range(256)) * 50})[:-200])
    with pytest.raises(CodecfakeError, match="is damaged"):
        fetch_corpus("aishell3", tmp_path / "cut")
    publish("aishell3", tgz_of({"something/else.txt": b"x"}))
    with pytest.raises(CodecfakeError, match="holds no folder 'train'"):
        fetch_corpus("aishell3", tmp_path / "other")


def test_an_unknown_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CodecfakeError) as caught:
        fetch_corpus("librispeech", tmp_path)
    assert "vctk, aishell3" in caught.value.next_step
