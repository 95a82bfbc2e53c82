"""Building a run folder: exact tree, equal lengths, independence of workers, refusal, resume."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import soundfile
from corrupt_audio import write_corrupt_corpus
from run_helpers import build_here, cut_small_shards, manifest, settings, tree

from codecfake.codec_adapters import CodecError
from codecfake.codec_adapters.resampling import resampled_length
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import devices
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.run_lock import run_lock
from codecfake.pipeline.shard_store import read_items
from codecfake.pipeline.source import read_source_table
from codecfake.pipeline.status import run_status


def hashes(run_dir: Path) -> dict[str, str]:
    files = sorted((run_dir / "shards").rglob("*.wav"))
    return {str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_backend_that_cannot_run_a_codec_says_why_before_anything_is_written(corpora, outside, tmp_path):
    with pytest.raises(
        CodecError, match="F05: --backend upstream needs the package audiodec, cannot be inst"
    ):
        build_here(settings(corpora, outside, tmp_path / "run", codecs="F05", backend="upstream"))
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_build_leaves_exactly_this_tree(corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    build_here(settings(corpora, outside, tmp_path / "run"))
    files = tree(tmp_path / "run")
    audio = [file for file in files if file.endswith(".wav")]
    assert len([file for file in audio if file.startswith("shards/real/")]) == 21
    assert len([file for file in audio if file.startswith("shards/X1/")]) == 21
    # 21 utterances: 16 train, 2 dev, 3 eval; X1 is unseen, so all of its fakes are in its condition.
    folder = "splits/published-seed0/Codecfake"
    counts = {part: len([file for file in audio if file.startswith(f"{folder}/{part}/")]) for part in
              ("train", "dev", "test/C-X1")}  # fmt: skip
    assert counts == {"train": 16, "dev": 2, "test/C-X1": 24}
    others = [file for file in files if not file.endswith(".wav")]
    shard_files = [f"shards/{codec}/{shard:05d}/{name}" for codec in ("X1", "real") for shard in range(4)
                   for name in ("items.parquet", "shard.json")]  # fmt: skip
    split_files = [f"{folder}/label/{name}.txt" for name in ("C-X1", "dev", "train")]
    split_files += [f"splits/published-seed0/{name}" for name in
                    ("SHA256SUMS", "manifest.csv", "manifest.parquet", "splits.json")]  # fmt: skip
    run_files = ["run.json", "run.yaml", "source.csv", "source.parquet", "source.sha256"]
    assert others == sorted([*run_files, *shard_files, *split_files])


def test_real_and_fake_are_equally_long_and_alike_in_format(corpora, outside, tmp_path):
    build_here(settings(corpora, outside, tmp_path / "run"))
    rows = manifest(tmp_path / "run")
    real = {row["utterance_id"]: row for row in rows if row["label"] == "real"}
    fakes = [row for row in rows if row["label"] == "fake"]
    assert len(real) == len(fakes) == 21
    source = {row["utterance_id"]: row for row in
              read_source_table(tmp_path / "run" / "source.parquet").to_pylist()}  # fmt: skip
    for fake in fakes:
        original, counterpart = source[fake["utterance_id"]], real[fake["utterance_id"]]
        expected = resampled_length(original["samples"], original["sample_rate"], 16_000)
        assert fake["samples"] == counterpart["samples"] == expected
        assert fake["source_sha256"] == counterpart["source_sha256"] == original["sha256"]
        for row in (fake, counterpart):
            header = soundfile.info(tmp_path / "run" / row["path"])
            assert (header.format, header.subtype, header.channels) == ("WAV", "PCM_16", 1)
            assert (header.samplerate, header.frames) == (16_000, row["samples"])


def test_native_keeps_the_rate_of_each_codec_and_corpus(corpora, outside, tmp_path):
    build_here(settings(corpora, outside, tmp_path / "run", sample_rate="native"))
    rates = {(row["codec"], row["corpus"]): row["sample_rate"] for row in manifest(tmp_path / "run")}
    assert rates == {("real", "vctk"): 48_000, ("real", "aishell3"): 44_100,
                     ("X1", "vctk"): 8_000, ("X1", "aishell3"): 8_000}  # fmt: skip


def test_the_audio_does_not_depend_on_the_number_of_workers(corpora, outside, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "cpu_count", lambda: 1)
    build_here(settings(corpora, outside, tmp_path / "one"))
    monkeypatch.setattr(devices, "cpu_count", lambda: 5)
    build_here(settings(corpora, outside, tmp_path / "five"))
    assert hashes(tmp_path / "one") == hashes(tmp_path / "five")
    assert manifest(tmp_path / "one") == manifest(tmp_path / "five")


def test_a_second_build_redoes_nothing(corpora, outside, tmp_path):
    config = settings(corpora, outside, tmp_path / "run")
    first = build_here(config)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "shards").rglob("*")}
    second = build_here(config)
    assert (first.shards_done, second.shards_done, second.shards_found) == (2, 0, 2)
    assert not second.split.is_new
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "shards").rglob("*")}


def test_a_deleted_shard_is_made_again_and_the_rest_left_alone(corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    before = hashes(tmp_path / "run")
    (tmp_path / "run" / "shards" / "X1" / "00001").rename(tmp_path / "taken-away")
    report = build_here(config)
    assert (report.shards_done, report.shards_found) == (1, 7)
    assert hashes(tmp_path / "run") == before


def test_another_configuration_is_refused_side_by_side(corpora, outside, tmp_path):
    build_here(settings(corpora, outside, tmp_path / "run"))
    with pytest.raises(CodecfakeError) as refusal:
        build_here(settings(corpora, outside, tmp_path / "run", sample_rate=8_000, seed=1))
    lines = str(refusal.value).splitlines()
    assert ["sample", "rate", "16000", "8000"] in [line.split() for line in lines]
    assert ["seed", "0", "1"] in [line.split() for line in lines]
    assert not any(line.split()[:1] == ["corpora"] for line in lines)


def test_a_folder_with_other_things_in_it_is_left_alone(corpora, outside, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pytest.raises(CodecfakeError, match=r"is no run folder, but holds thesis\.tex"):
        build_here(settings(corpora, outside, tmp_path / "run"))
    assert not (tmp_path / "run" / "shards").exists()


def test_other_weights_are_another_configuration(corpora, outside, tmp_path):
    import torch
    from safetensors.torch import save_file

    build_here(settings(corpora, outside, tmp_path / "run"))
    save_file({"mu": torch.tensor(127.0)}, outside.weights / "X1.safetensors")
    with pytest.raises(CodecfakeError, match="X1 weights sha256"):
        build_here(settings(corpora, outside, tmp_path / "run"))


def test_two_builds_in_one_folder_the_second_is_told_of_the_first(corpora, outside, tmp_path):
    config = settings(corpora, outside, tmp_path / "run")
    with run_lock(config.out), pytest.raises(CodecfakeError, match=f"process {os.getpid()} on "):
        build_here(config)


def test_a_stopped_build_leaves_no_draft_and_goes_on(corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)

    class StopsAtHalf(Monitor):
        seconds = 0.0

        def advance(self, amount: float) -> None:
            self.seconds += amount
            if self.seconds > 8:
                self.stop.set()

    config = settings(corpora, outside, tmp_path / "run")
    with pytest.raises(Stopped):
        build_here(config, StopsAtHalf())
    assert not list((tmp_path / "run" / "shards").glob("*/.tmp-*"))
    report = build_here(config)
    assert report.shards_done + report.shards_found == 8
    assert len(read_items(tmp_path / "run")) == 42


def test_corrupt_files_are_named_with_their_reason_and_all_good_ones_built(outside, tmp_path):
    expected = write_corrupt_corpus(tmp_path / "aishell3")
    config = settings(_Only(tmp_path / "aishell3"), outside, tmp_path / "run", vctk=None)
    build_here(config)
    status = run_status(config)
    found = {row["what"].removeprefix("aishell3/"): row["reason"] for row in status.quarantined}
    assert found == {path: str(reason) for path, reason in expected.items() if reason is not None}
    usable = sum(reason is None for reason in expected.values())
    assert [codec.utterances for codec in status.codecs] == [usable, usable]
    assert len(list((tmp_path / "run" / "shards").rglob("*.wav"))) == 2 * usable


class _Only:
    def __init__(self, aishell3: Path) -> None:
        self.vctk, self.aishell3 = None, aishell3


def test_a_codec_that_fails_everywhere_stops_the_run_and_names_itself(corpora, outside, tmp_path):
    (outside.site / "outside_codec.py").write_text(
        (outside.site / "outside_codec.py")
        .read_text()
        .replace("mu = torch.tensor(self.mu)", "raise OSError(7)")
    )
    import sys

    sys.modules.pop("outside_codec", None)
    with pytest.raises(CodecfakeError, match="X1 failed on all 21 utterances"):
        build_here(settings(corpora, outside, tmp_path / "run"))
    assert run_status(settings(corpora, outside, tmp_path / "run")).codecs[0].utterances == 21
    sys.modules.pop("outside_codec", None)


def test_the_run_folder_says_what_made_it(corpora, outside, tmp_path):
    build_here(settings(corpora, outside, tmp_path / "run"))
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    digest = hashlib.sha256((outside.weights / "X1.safetensors").read_bytes()).hexdigest()
    assert run["fingerprint"]["X1 weights sha256"] == digest
    assert run["environment"]["packages"]["torch"]
    fakes = [row for row in manifest(tmp_path / "run") if row["codec"] == "X1"]
    assert {row["checkpoint_sha256"] for row in fakes} == {digest}
    assert json.loads(fakes[0]["codec_config"])["name"] == "mulaw-8khz"


def test_a_limit_takes_utterances_from_every_speaker(corpora, outside, tmp_path):
    build_here(settings(corpora, outside, tmp_path / "run", limit=7))
    rows = read_source_table(tmp_path / "run" / "source.parquet").to_pylist()
    assert len(rows) == 7
    assert len({row["speaker"] for row in rows}) == 6
