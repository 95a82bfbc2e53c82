"""Quarantined files come back by `retry`, damage is found by `verify` and mended by `retry`."""

import pyarrow.parquet as pq
import pytest
import soundfile
import speech
from run_helpers import (
    ChangingCorpora,
    build_here,
    cut_small_shards,
    manifest,
    retry_here,
    settings,
    verify_here,
)

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.status import run_status


def test_a_file_that_came_back_joins_the_dataset_and_moves_no_other(outside, tmp_path):
    corpora = ChangingCorpora(tmp_path)
    broken = corpora.vctk / "wav48_silence_trimmed" / "p225" / "p225_002_mic1.flac"
    content = broken.read_bytes()
    broken.write_bytes(b"")
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    assert run_status(config).source_reasons == {"empty": 1}
    before = {row["file"]: row["split"] for row in manifest(config.out)}

    broken.write_bytes(content)
    assert retry_here(config, Reason.SILENT).plan is None
    report = retry_here(config, Reason.EMPTY)
    assert (report.plan.files_usable_now, report.plan.items, report.build.shards_done) == (1, 2, 2)
    after = {row["file"]: row["split"] for row in manifest(config.out)}
    assert after.keys() - before.keys() == {"p225_002.wav", "X1_p225_002.wav"}
    assert before.items() <= after.items()
    assert (config.out / "splits" / "published-seed0.superseded-1").is_dir()
    assert run_status(config).source_reasons == {}
    assert verify_here(config).is_whole
    assert retry_here(config).plan is None


def test_a_file_that_is_still_bad_stays_quarantined(outside, tmp_path):
    corpora = ChangingCorpora(tmp_path)
    (corpora.aishell3 / "train" / "wav" / "SSB0005" / "SSB00050001.wav").write_bytes(b"not audio")
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    report = retry_here(config)
    assert (report.plan.files_read_again, report.plan.files_usable_now, report.plan.items) == (1, 0, 0)
    assert run_status(config).source_reasons == {"unreadable": 1}


def test_a_file_changed_or_lost_during_the_run_is_quarantined_per_output(outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    corpora = ChangingCorpora(tmp_path)
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    for shard in (config.out / "shards" / "X1").iterdir():
        shard.rename(tmp_path / f"away-{shard.name}")
    folder = corpora.vctk / "wav48_silence_trimmed" / "p226"
    lost, changed = folder / "p226_001_mic1.flac", folder / "p226_003_mic1.flac"
    lost.rename(tmp_path / "lost.flac")
    original = changed.read_bytes()
    soundfile.write(changed, speech.voice(1.0, 48_000, 9), 48_000, format="FLAC")
    build_here(config)
    status = run_status(config)
    assert status.codec_reasons == {"missing": 1, "source-changed": 1}
    assert {row["what"] for row in status.quarantined} == {"X1_p226_001.wav", "X1_p226_003.wav"}

    (tmp_path / "lost.flac").rename(lost)
    changed.write_bytes(original)
    retry_here(config)
    assert run_status(config).codec_reasons == {}
    assert len(manifest(config.out)) == 2 * 14
    assert verify_here(config).is_whole


def test_verify_names_every_kind_of_damage_and_retry_mends_the_audio(outside, tmp_path):
    config = settings(ChangingCorpora(tmp_path), outside, tmp_path / "run")
    build_here(config)
    assert verify_here(config).is_whole
    before = (config.out / "splits" / "published-seed0" / "manifest.parquet").read_bytes()
    audio = config.out / "shards" / "X1" / "00000" / "audio"
    flipped, gone = audio / "X1_p225_001.wav", audio / "X1_p226_002.wav"
    content = bytearray(flipped.read_bytes())
    content[500] ^= 1
    flipped.unlink()  # the tree shares the file: a copy of it stays good there
    flipped.write_bytes(content)
    gone.unlink()
    (audio / "stranger.wav").write_bytes(content)
    tree = config.out / "splits" / "published-seed0" / "Codecfake"
    (tree / "label" / "dev.txt").write_text("stranger.wav real 0\n")
    (tree / "test" / "C-X1" / "X1_SSB00050001.wav").unlink()

    report = verify_here(config)
    problems = {damage.path: damage.problem for damage in report.damage}
    store, split = "shards/X1/00000/audio", "splits/published-seed0/Codecfake"
    assert problems == {
        f"{store}/X1_p225_001.wav": "its sha256 is not that of the manifest",
        f"{store}/X1_p226_002.wav": "it is gone",
        f"{store}/stranger.wav": "no row of the shard names it; move it out of the run",
        f"{split}/test/C-X1/X1_p225_001.wav": f"it is not the file {store}/X1_p225_001.wav",
        f"{split}/test/C-X1/X1_SSB00050001.wav": "it is gone",
        f"{split}/label/dev.txt": "it does not say what the manifest says",
    }
    (audio / "stranger.wav").unlink()

    mended = retry_here(config, Reason.DAMAGED)
    assert mended.plan.items == 2
    assert {path.name for path in (audio.parent.parent / "retry-001-again-00000" / "audio").iterdir()} == {
        flipped.name,
        gone.name,
    }
    assert (config.out / "splits" / "published-seed0" / "manifest.parquet").read_bytes() == before
    assert {row["path"] for row in manifest(config.out)} >= {
        f"{store}/{name.name}" for name in (flipped, gone)
    }
    assert verify_here(config).is_whole


def test_verify_survives_damage_to_what_describes_a_shard(corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    shards = sorted((config.out / "shards" / "X1").iterdir())
    assert len(shards) == 4
    (shards[0] / "items.parquet").write_bytes((shards[0] / "items.parquet").read_bytes()[:-9])
    (shards[1] / "items.parquet").unlink()
    (shards[2] / "shard.json").write_text("{")
    report = verify_here(config)
    problems = {damage.path: damage.problem for damage in report.damage}
    names = [shard.relative_to(config.out).as_posix() for shard in shards]
    assert problems.keys() == {
        f"{names[0]}/items.parquet",
        f"{names[1]}/items.parquet",
        f"{names[2]}/shard.json",
    }
    assert problems[f"{names[0]}/items.parquet"] == "its sha256 is not that of shard.json"
    assert problems[f"{names[1]}/items.parquet"] == "it is gone"
    whole = [pq.read_metadata(path).num_rows for path in config.out.glob("shards/real/*/items.parquet")]
    assert report.files == sum(whole) + pq.read_metadata(shards[3] / "items.parquet").num_rows


def test_the_order_of_the_labels_is_no_damage_but_a_repeated_line_is(corpora, outside, tmp_path):
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    labels = config.out / "splits" / "published-seed0" / "Codecfake" / "label" / "train.txt"
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text("".join(lines[::-1]))
    assert verify_here(config).is_whole
    labels.write_text("".join([lines[0], *lines[:-1]]))
    (damage,) = verify_here(config).damage
    assert damage.problem == "it does not say what the manifest says"


def test_a_missing_shard_is_named(corpora, outside, tmp_path):
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    (config.out / "shards" / "X1" / "00000").rename(tmp_path / "away")
    report = verify_here(config)
    assert report.missing_shards == ("X1/00000",)
    assert not report.is_whole


def test_an_unknown_reason_is_answered_with_close_ones():
    with pytest.raises(CodecfakeError, match="did you mean out-of-memory"):
        Reason.parse("out-of-mem")
