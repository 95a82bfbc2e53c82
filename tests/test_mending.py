"""What `retry` may set aside, and what it has to leave alone."""

import errno

import pytest
from run_helpers import (
    ChangingCorpora,
    build_here,
    build_repaired,
    flip_this_name,
    manifest,
    retry_here,
    settings,
    verify_here,
)

from codecfake.detector.sources import open_trials
from codecfake.manifests import records
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.pipeline import shard_store, verification
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.status import run_status


@pytest.fixture
def config(outside, tmp_path):
    config = settings(ChangingCorpora(tmp_path), outside, tmp_path / "run")
    build_here(config)
    return config


def test_every_split_takes_the_audio_that_was_made_again(config):
    other = split_run(config.out, policy="speaker-disjoint", seed=1, monitor=Monitor()).name
    audio = config.out / next(row["path"] for row in manifest(config.out) if row["codec"] == "X1")
    flip_this_name(audio)
    assert not verify_here(config).is_whole
    retry_here(config)
    assert verify_here(config).is_whole
    for split in ("published-seed0", other):
        assert len(open_trials(config.out, split).train)
    assert retry_here(config).plan is None


def test_a_damaged_list_of_the_source_is_written_again_from_the_whole_table(config):
    source = config.out / "source.parquet"
    before = source.read_bytes()
    flip_this_name(source.with_suffix(".csv"))
    for corpus in (config.vctk, config.aishell3):
        corpus.rename(corpus.with_name(f"{corpus.name}-away"))
    with pytest.raises(CodecfakeError):
        retry_here(config)  # the corpora are away, so it cannot go on
    assert source.read_bytes() == before
    assert verify_here(config).is_whole


def test_a_source_manifest_is_not_read_again_from_other_corpora(config):
    for suffix in (".parquet", ".csv"):
        flip_this_name(config.out / f"source{suffix}")
    wav = config.vctk / "wav48_silence_trimmed" / "p225"
    next(wav.glob("*_mic1.flac")).unlink()
    with pytest.raises(CodecfakeError, match="not those that"):
        retry_here(config)
    assert list(config.out.glob("source.parquet.damaged-*"))
    assert not (config.out / "source.parquet").exists()


def test_a_damaged_plan_of_a_retry_stands_in_nobodys_way(outside, tmp_path):
    config = build_repaired(outside, tmp_path)
    flip_this_name(config.out / "retries" / "001" / "source.parquet")
    assert [damage.path for damage in verify_here(config).damage] == ["retries/001/source.parquet"]
    retry_here(config)
    assert run_status(config).source_reasons == {}
    assert "X1_p225_002.wav" in {row["file"] for row in manifest(config.out)}
    assert verify_here(config).is_whole


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE])
def test_a_fault_of_the_machine_is_no_damage(config, monkeypatch, number):
    def fail(*arguments, **options):
        raise OSError(number, "not now")

    for module, name in (
        (verification, "open_plain"),
        (shard_store, "file_sha256"),
        (records, "open_plain"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            with pytest.raises(OSError, match="not now"):
                verify_here(config)
    assert not (config.out / "verify.json").exists()
    assert Reason.DAMAGED not in run_status(config).codec_reasons
