"""The same corpora, configuration and machine give the same bytes, whatever else is different around them."""

import json
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import outside_codec
import pytest
import speech
from corrupt_audio import write_corrupt_corpus
from outside_codec import OutsideCodec
from run_helpers import build_here, cut_small_shards, run_command, settings

from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.flows.running import run_build
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.label_matching import find_label_files
from codecfake.pipeline import local_devices
from codecfake.pipeline.comparing.audio import Tolerance
from codecfake.pipeline.comparing.runs import compare_runs
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.corpora.vctk import list_vctk
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retrying import retry
from codecfake.pipeline.weights import mini_folder

CODECS, CODECS_OTHERWISE = "F01,X1", "X1,F01"
"""A mini network, which zeros after an utterance do not change, and a codec without any."""


def published_bytes(run_dir: Path) -> dict[str, str]:
    """Sha256 of everything that a run publishes, but for the records of when and by whom."""
    files = [path for name in ("shards", "splits") for path in (run_dir / name).rglob("*") if path.is_file()]
    files += run_dir.glob("source.*")
    return {str(path.relative_to(run_dir)): file_sha256(path) for path in files if path.name != "shard.json"}


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> Iterator[OutsideCodec]:
    """The outside codec, with the weights of a mini network beside its own."""
    with pytest.MonkeyPatch.context() as patch:
        site, weights = outside_codec.install(tmp_path_factory.mktemp("codec") / "outside")
        patch.syspath_prepend(site)
        for path in mini_folder().glob("F01.*"):
            shutil.copy(path, weights)
        yield OutsideCodec(site, weights)


@pytest.fixture(scope="module")
def baseline(corpora, outside, tmp_path_factory) -> Path:
    """A run that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        cut_small_shards(patch)
        config = settings(corpora, outside, tmp_path_factory.mktemp("runs") / "baseline", codecs=CODECS)
        build_here(config)
    assert len(list((config.out / "shards").rglob("*.wav"))) == 3 * 21
    return config.out


def shuffle_listings(monkeypatch) -> None:
    """Let the file system list the entries of a folder in another order each time."""
    scan, names, dice = os.scandir, os.listdir, random.Random(1)

    class Shuffled:
        def __init__(self, *arguments):
            with scan(*arguments) as entries:
                self._entries = list(entries)
            dice.shuffle(self._entries)

        def __enter__(self):
            return iter(self._entries)

        def __exit__(self, *_):
            pass

        __iter__ = __enter__

    def shuffled_names(*arguments):
        found = names(*arguments)
        dice.shuffle(found)
        return found

    monkeypatch.setattr(os, "scandir", Shuffled)
    monkeypatch.setattr(os, "listdir", shuffled_names)


@pytest.mark.parametrize("cores", [1, 5])
def test_neither_workers_nor_listings_nor_the_order_of_codecs_change_a_byte(
    baseline, cores, corpora, outside, tmp_path, monkeypatch
):
    """`test_device_processes.py` says the same of the number of devices."""
    with monkeypatch.context() as patch:
        cut_small_shards(patch)
        shuffle_listings(patch)
        patch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        build_here(settings(corpora, outside, tmp_path / "run", codecs=CODECS_OTHERWISE))
    assert published_bytes(tmp_path / "run") == published_bytes(baseline)


@pytest.mark.slow
def test_prefect_does_not_change_a_byte(baseline, corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    run_build(settings(corpora, outside, tmp_path / "run", codecs=CODECS), use_prefect=True)
    assert published_bytes(tmp_path / "run") == published_bytes(baseline)


def test_what_is_listed_twice_is_taken_by_name_and_not_by_the_order_of_listing(tmp_path, monkeypatch):
    vctk = speech.write_vctk(tmp_path / "vctk", speakers=2, utterances=1)
    for folder in range(20):
        (vctk / "txt" / f"p{folder}").mkdir(parents=True)
        (vctk / "txt" / f"p{folder}" / "p225_001.txt").write_text(f"text {folder}")
    labels, audio = tmp_path / "labels", tmp_path / "audio"
    labels.mkdir()
    for number in range(1, 20):
        (labels / f"C{'0' * number}1.txt").write_text("p225_001.wav real 0\n")
    (audio / "folder").mkdir(parents=True)
    (audio / "folder" / "p225_001.wav").touch()
    for name in "abcxyz":
        (audio / name).symlink_to("folder")
    shuffle_listings(monkeypatch)
    for _ in range(3):
        assert {item.transcript for item in list_vctk(vctk).utterances} == {None, "text 9"}
        found = [path.name for path in find_label_files(labels)[0]]
        assert found == sorted(found)
        assert AudioIndex.scan(audio).paths() == ["z/p225_001.wav"]


@pytest.mark.skipif(sys.platform != "linux", reason="sets the umask of a child through a shell of Linux")
def test_no_setting_of_the_process_changes_a_byte(corpora, outside, tmp_path, monkeypatch):
    """Hash seed, locale, umask, time zone, threads, folders: messages of bad files tell none of them either."""
    cut_small_shards(monkeypatch)
    odd = tmp_path / "odd"
    write_corrupt_corpus(odd)
    here = settings(corpora, outside, tmp_path / "here", codecs=CODECS, aishell3=odd)
    build_here(here)

    elsewhere = tmp_path / "somewhere else"
    (elsewhere / "temporary").mkdir(parents=True)
    shutil.copytree(odd, elsewhere / "odd", symlinks=True)
    surroundings = {
        "PYTHONHASHSEED": "7", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
        "TZ": "Asia/Kathmandu", "TMPDIR": str(elsewhere / "temporary"), "OMP_NUM_THREADS": "2",
    }  # fmt: skip
    run = elsewhere / "run"
    before = os.umask(0o077)
    try:
        done = run_command(
            *("build", "--vctk", corpora.vctk, "--aishell3", elsewhere / "odd", "--out", run),
            *("--codecs", CODECS, "--weights", outside.weights, "--device", "cpu", "--no-prefect"),
            environment={**outside.environment, **surroundings},
        )
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert published_bytes(run) == published_bytes(here.out)
    assert not list((elsewhere / "temporary").iterdir())


def test_another_batch_stays_within_the_tolerance_that_is_stated_between_machines(
    baseline, corpora, outside, tmp_path, monkeypatch
):
    """The codec decides on a CPU's batches, and nothing else may: another batch is rounded another way."""
    find = local_devices.find_device

    def with_batches_of_four(name):
        device = find(name)
        device._batch_size = 4
        return device

    cut_small_shards(monkeypatch)
    monkeypatch.setattr(local_devices, "find_device", with_batches_of_four)
    config = settings(corpora, outside, tmp_path / "run", codecs=CODECS)
    build_here(config)
    within = compare_runs(baseline, config.out, Tolerance(1, 5), Monitor())
    assert within.are_same
    by_codec = {part.codec: part for part in within.audio}
    assert by_codec["real"].identical == by_codec["X1"].identical == 21
    assert by_codec["F01"].identical < 21, "then a CPU batch may as well be set freely"


def test_a_run_that_a_retry_has_mended_holds_what_a_whole_one_holds(corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    vctk = tmp_path / "vctk"
    shutil.copytree(corpora.vctk, vctk)
    whole, mended = (
        settings(corpora, outside, tmp_path / name, vctk=vctk, aishell3=None) for name in ("whole", "mended")
    )
    build_here(whole)
    missing = next(vctk.rglob("*.flac"))
    content = missing.read_bytes()
    missing.write_bytes(content[: len(content) // 2])
    build_here(mended)
    assert not compare_runs(whole.out, mended.out, None, Monitor()).are_same
    missing.write_bytes(content)
    retry(saved_config(mended.out), None, Monitor(), local_devices.run_locally)
    assert compare_runs(whole.out, mended.out, None, Monitor()).are_same


def test_a_run_records_what_it_needs_to_be_repeated(corpora, outside, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-told")
    build_here(settings(corpora, outside, tmp_path / "run", aishell3=None))
    text = (tmp_path / "run" / "run.json").read_text()
    stamp = json.loads(text)
    told = stamp["environment"]
    assert {"X1 weights sha256", "seed", "corpora"} <= stamp["fingerprint"].keys()
    assert told["cpu"]
    assert told["cpu instructions"]
    assert told["usable cpus"] >= 1
    assert told["libraries"].keys() == {"libsndfile", "libsoxr", "torch commit", "CUDA", "cuDNN"}
    assert told["code"].keys() == {"commit", "uncommitted_changes"}
    assert told["arithmetic"]["OMP_NUM_THREADS"] == "2"
    assert "not-to-be-told" not in text
    shard = json.loads((tmp_path / "run" / "shards" / "X1" / "00000" / "shard.json").read_text())
    assert shard["made_with"].keys() == {"processor", "with", "torch", "soxr"}
