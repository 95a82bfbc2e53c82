"""Corpora read from an object store, and a run shared in one; against a server that speaks S3."""

import hashlib
import io
import json
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from pool_commands import POOL, PoolCommands, ended
from run_helpers import build_here, cut_small_shards, manifest, settings, tree
from test_verify_absent import write_bomb

from codecfake.flows.server import prefect_server
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import item_schema
from codecfake.pipeline.build import build
from codecfake.pipeline.config import make_config, read_settings, save_config, saved_config
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.local_devices import run_locally
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.object_store import open_store
from codecfake.pipeline.run_store import adopt_run, pull_shards, stored_shards, worker_folder
from codecfake.pipeline.worker_blocks import run_named_blocks


@pytest.fixture(scope="module")
def s3():
    """Start a server that speaks S3, and let this process find it as a user would: by the environment."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("FSSPEC_S3_ENDPOINT_URL", f"http://{host}:{port}"),
        ):
            patch.setenv(name, value)
        # The variable is read when fsspec is imported, which it was.
        patch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://{host}:{port}"})
        fsspec.filesystem("s3").mkdir("lab")
        yield "s3://lab"
    server.stop()


@pytest.fixture(scope="module")
def corpora_in_s3(s3, corpora):
    """The URLs of the corpora."""
    urls = {}
    for name in ("vctk", "aishell3"):
        folder = getattr(corpora, name)
        urls[name] = f"{s3}/corpora/{folder.name}"
        fsspec.filesystem("s3").put(str(folder), urls[name], recursive=True)
    return urls


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def audio(run_dir: Path) -> dict[str, str]:
    files = (run_dir / "shards").rglob("*.wav")
    return {str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shown(run_dir: Path) -> list[str]:
    """The tree of the split."""
    return tree(run_dir / "splits" / "published-seed0" / "Codecfake")


def test_a_corpus_in_a_store_is_listed_like_the_same_corpus_on_a_disk(corpora, corpora_in_s3):
    remote = list_corpora(corpora_in_s3["vctk"], corpora_in_s3["aishell3"])
    local = list_corpora(corpora.vctk, corpora.aishell3)
    for there, here in zip(remote, local, strict=True):
        assert (there.utterances, there.findings, there.version) == (
            here.utterances,
            here.findings,
            here.version,
        )
        assert str(there.root).startswith("s3://lab/corpora/")


def test_the_text_files_of_a_corpus_are_fetched_once_and_again_when_they_change(corpora_in_s3, monkeypatch):
    def transcript():
        return list_corpora(None, corpora_in_s3["aishell3"])[0].utterances[0].transcript

    store = fsspec.filesystem("s3")
    text = f"{corpora_in_s3['aishell3']}/train/content.txt"
    before, first = store.cat_file(text), transcript()
    assert first
    with monkeypatch.context() as offline:
        offline.setattr(type(store), "_cat_file", None)  # only names can be asked for
        assert transcript() == first
    try:
        store.pipe_file(text, before.replace(first[0].encode(), "新".encode()))
        assert transcript() == first.replace(first[0], "新")
    finally:
        store.pipe_file(text, before)


def test_a_build_from_a_store_equals_one_from_a_disk(corpora, corpora_in_s3, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    build_here(settings(corpora, outside, tmp_path / "disk"))
    build_here(settings(corpora, outside, tmp_path / "store", **corpora_in_s3))
    assert audio(tmp_path / "store") == audio(tmp_path / "disk") != {}
    assert manifest(tmp_path / "store") == manifest(tmp_path / "disk")
    assert shown(tmp_path / "store") == shown(tmp_path / "disk")


def test_a_recording_that_went_away_is_quarantined_and_the_build_goes_on(
    s3, corpora, corpora_in_s3, outside, tmp_path
):
    store = fsspec.filesystem("s3")
    copy = f"{s3}/other/{corpora.vctk.name}"
    store.put(str(corpora.vctk), copy, recursive=True)
    config = settings(corpora, outside, tmp_path / "run", vctk=copy, aishell3=None)
    gone = list_corpora(copy, None)[0].utterances[0]

    class Removes(Monitor):
        def begin(self, stage, total, unit):
            if stage == "Resynthesis":
                store.rm_file(f"{copy}/{gone.path}")

    build(config, Removes(), run_locally)
    rows = [pq.read_table(path) for path in (tmp_path / "run" / "shards").rglob("items.parquet")]
    reasons = {(row["utterance_id"], row["reason"]) for table in rows for row in table.to_pylist()}
    assert {reason for name, reason in reasons if name == gone.utterance_id} == {"missing"}
    assert {reason for name, reason in reasons if name != gone.utterance_id} == {None}


def test_another_machine_goes_on_with_a_run_in_a_store(s3, corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    build_here(settings(corpora, outside, tmp_path / "alone"))
    store = f"{s3}/runs/resumed"

    class StopsAfterSomeShards(Monitor):
        def advance(self, amount):
            if len(stored_shards(store)) >= 2:
                self.stop.set()

    with pytest.raises((Stopped, CodecfakeError)):
        build(
            settings(corpora, outside, tmp_path / "first", store=store), StopsAfterSomeShards(), run_locally
        )
    found = len(stored_shards(store))
    assert 2 <= found < 8
    report = build_here(settings(corpora, outside, tmp_path / "second", store=store))
    assert (report.shards_found, report.shards_done) == (found, 8 - found)
    assert len(stored_shards(store)) == 8
    assert audio(tmp_path / "second") == audio(tmp_path / "alone")
    assert shown(tmp_path / "second") == shown(tmp_path / "alone")
    assert manifest(tmp_path / "second") == manifest(tmp_path / "alone")


def test_workers_without_the_run_folder_share_a_run_through_a_store(
    s3, corpora, corpora_in_s3, outside, tmp_path, monkeypatch
):
    cut_small_shards(monkeypatch)
    build_here(settings(corpora, outside, tmp_path / "alone"))
    store = f"{s3}/runs/pool"
    left_behind = []

    def on_workers(job, blocks, monitor):
        """What the workers of a pool do, one after the other, without Prefect between."""
        names = [block.name for block in blocks]
        for some in (names[:2], names):  # the second is given again what the first has done
            with worker_folder(job.config.out, store) as folder:
                assert folder != job.config.out
                run_named_blocks(folder, some, job.roots, monitor)
                left_behind.extend(folder.rglob("*.wav"))
        assert not audio(job.config.out)
        pull_shards(store, job.config.out)
        return []

    config = settings(corpora, outside, tmp_path / "here", store=store, **corpora_in_s3)
    build(config, Monitor(), on_workers)
    assert not left_behind
    assert audio(tmp_path / "here") == audio(tmp_path / "alone")
    assert shown(tmp_path / "here") == shown(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers of a pool run on Linux only")
def test_a_build_on_a_pool_shares_its_run_through_a_store(
    s3, corpora, corpora_in_s3, outside, tmp_path, monkeypatch
):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    store, run = f"{s3}/runs/on-a-pool", tmp_path / "here"
    with prefect_server(tmp_path / ".prefect") as url:
        pool = PoolCommands(tmp_path, url, outside.environment)
        pool.run("deploy", "--pool", POOL)
        with ended([pool.start("worker", "--pool", POOL, "--processes", "1")]):
            pool.run(
                *("build", "--vctk", corpora_in_s3["vctk"], "--aishell3", corpora_in_s3["aishell3"]),
                *("--out", run, "--codecs", "X1", "--weights", outside.weights, "--device", "cpu"),
                *("--store", store, "--on", POOL),
            )
    assert len(stored_shards(store)) == 8
    cut_small_shards(monkeypatch)
    build_here(settings(corpora, outside, tmp_path / "alone"))
    assert audio(run) == audio(tmp_path / "alone")
    assert shown(run) == shown(tmp_path / "alone")


def test_a_shard_that_an_upload_left_incomplete_counts_for_nothing(
    s3, corpora, outside, tmp_path, monkeypatch
):
    cut_small_shards(monkeypatch)
    store = f"{s3}/runs/partial"
    config = settings(corpora, outside, tmp_path / "run", store=store)
    build_here(config)
    remote = open_store(store)
    remote.rm_file("shards/X1/00000/shard.json")  # goes last, so this is what a killed upload leaves
    assert ("X1", "00000") not in stored_shards(store)
    report = build_here(settings(corpora, outside, tmp_path / "second", store=store))
    assert report.shards_done == 1
    assert ("X1", "00000") in stored_shards(store)


def test_a_damaged_shard_in_a_store_is_named_and_not_taken(s3, corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    store = f"{s3}/runs/damaged"
    build_here(settings(corpora, outside, tmp_path / "run", store=store))
    remote = open_store(store)
    packed = remote.glob("shards/real/00001/audio-*.tar")[0]
    content = bytearray(remote.cat_file(packed))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        content[archive.getmembers()[0].offset_data + 100] ^= 1
    remote.pipe_file(packed, bytes(content))
    with pytest.raises(
        CodecfakeError, match=r"shards/real/00001/shard\.json is damaged: .*the bytes on disk"
    ):
        build_here(settings(corpora, outside, tmp_path / "second", store=store))
    assert not (tmp_path / "second" / "shards" / "real" / "00001").exists()


def test_rows_in_a_store_that_would_fill_the_memory_are_refused(tmp_path):
    """A file of some kilobytes; a run folder of somebody else is held against the same limits."""
    write_bomb(tmp_path / "bomb", item_schema())
    bomb = (tmp_path / "bomb").read_bytes()
    digest = hashlib.sha256(bomb).hexdigest()
    store = open_store(f"file://{tmp_path}/store")
    record = {"codec": "real", "shard": "00000", "items_sha256": digest}
    store.pipe_file(f"shards/real/00000/items-{digest[:16]}.parquet", bomb)
    store.pipe_file(f"shards/real/00000/audio-{digest[:16]}.tar", bytes(10240))
    store.pipe_file("shards/real/00000/shard.json", json.dumps(record).encode())
    with pytest.raises(CodecfakeError, match=r"shard\.json is damaged: .*rows would take more than"):
        pull_shards(f"file://{tmp_path}/store", tmp_path / "run")
    assert not (tmp_path / "run" / "shards" / "real" / "00000").exists()


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"digest": 1}'])
def test_a_store_whose_stamp_tells_nothing_is_refused_in_words(content, tmp_path):
    store = open_store(f"file://{tmp_path}/store")
    store.pipe_file("run.json", content)
    store.pipe_file("source.parquet", b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"fingerprint": {}, "digest": "x"}')
    with pytest.raises(CodecfakeError, match=r"store/run\.json is damaged") as caught:
        adopt_run(f"file://{tmp_path}/store", tmp_path / "run")
    assert "--store" in caught.value.next_step


def test_a_store_that_holds_another_run_is_refused(s3, corpora, outside, tmp_path):
    def run(name, **changes):
        return settings(corpora, outside, tmp_path / name, limit=4, **changes)

    store = f"{s3}/runs/configured"
    build_here(run("first", store=store))
    with pytest.raises(CodecfakeError, match="built with another configuration"):
        build_here(run("second", store=store, sample_rate=8000))
    build_here(run("third", sample_rate=8000))
    with pytest.raises(CodecfakeError, match="holds a run of another configuration than"):
        build_here(run("third", store=store, sample_rate=8000))
    open_store(store).pipe_file("source.parquet", b"of corpora that are not ours")
    with pytest.raises(CodecfakeError, match="holds a run of another source manifest than"):
        build_here(run("first", store=store))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://no-such-bucket/VCTK", "no-such-bucket.*\n.*bucket or folder does not exist"),
        ("s3://lab/nothing-here", "s3://lab/nothing-here holds nothing"),
        ("s3://lab/corpora/aishell3", "s3://lab/corpora/aishell3 does not hold the vctk corpus"),
        ("odd://bucket/VCTK", "odd"),
        ("gs://bucket/VCTK", "gs://bucket/VCTK needs a package that is not installed"),
    ],
)
def test_a_url_that_holds_no_corpus_is_told_with_what_to_do(corpora_in_s3, url, message):
    if url.startswith("gs:") and find_spec("gcsfs"):
        pytest.skip("gcsfs is installed")
    with pytest.raises(CodecfakeError, match=message):
        list_corpora(url, None)


def test_names_that_lead_out_of_a_folder_are_not_followed(corpora, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.put(str(corpora.vctk), "/bucket/vctk", recursive=True)
    memory.store["/bucket/vctk/../../../escaped.txt"] = memory.store["/bucket/vctk/speaker-info.txt"]
    listed = list_corpora("memory://bucket/vctk", None)[0]
    assert listed.utterances == list_corpora(corpora.vctk, None)[0].utterances
    assert not list(tmp_path.rglob("escaped.txt"))


def test_urls_survive_configuration_files(tmp_path):
    (tmp_path / "run.yaml").write_text("vctk: s3://lab/VCTK-Corpus-0.92/\nout: run\nstore: s3://lab/run\n")
    config = make_config(read_settings(tmp_path / "run.yaml"))
    assert (config.vctk, config.store) == ("s3://lab/VCTK-Corpus-0.92", "s3://lab/run")
    save_config(config)
    assert saved_config(config.out) == config
    with pytest.raises(CodecfakeError, match="store: must be a URL"):
        make_config({"vctk": "vctk", "out": "run", "store": "folder"})
