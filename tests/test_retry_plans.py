"""What a retry plans: never what the run is not, never twice, never over another plan; and the manifest it reads."""

import shutil

import pyarrow.parquet as pq
import pytest
from run_helpers import (
    ChangingCorpora,
    build_here,
    build_repaired,
    cut_small_shards,
    flip_in_place,
    manifest,
    retry_here,
    settings,
    verify_here,
)
from test_mending_in_place import Killed
from typer.testing import CliRunner

from codecfake.flows.cli import app
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.pipeline import retries, shard_work
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retrying import retry
from codecfake.pipeline.source import publish_source, read_source_list, read_source_table
from codecfake.pipeline.status import run_status


@pytest.fixture
def corpora(tmp_path):
    return ChangingCorpora(tmp_path)


@pytest.fixture
def config(corpora, outside, tmp_path):
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    return config


@pytest.fixture
def repaired(outside, tmp_path):
    return build_repaired(outside, tmp_path)


def audio_of(config, shard: str, number: int = 0):
    return sorted((config.out / "shards" / shard / "audio").iterdir())[number]


def test_a_retry_of_another_configuration_plans_nothing(repaired):
    flip_in_place(audio_of(repaired, "X1/00000"))
    verify_here(repaired)
    other = repaired.model_copy(update={"codecs": ("X1", "F05")})
    with pytest.raises(CodecfakeError, match="F05"):
        retry_here(other)
    assert [path.name for path in (repaired.out / "retries").iterdir()] == ["001"]
    retry_here(repaired)
    assert verify_here(repaired).is_whole


def test_a_plan_with_a_codec_that_the_run_lacks_stands_in_nobodys_way(repaired):
    tasks = {("F05", "p225_001"): False}
    empty = read_source_table(repaired.out / "source.parquet").slice(0, 0)
    retries.publish_plan(repaired.out, 2, empty, tasks)
    build_here(repaired)
    assert verify_here(repaired).is_whole


def test_a_lost_source_manifest_is_not_made_again_from_other_corpora(config, corpora):
    listed = (config.out / "source.csv").read_bytes()
    (config.out / "source.parquet").unlink()
    lost = next((corpora.vctk / "wav48_silence_trimmed" / "p225").glob("*_mic1.flac"))
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(CodecfakeError, match="not those that") as caught:
        build_here(config)
    assert caught.value.next_step.startswith("bring the corpora back")
    assert not (config.out / "source.parquet").exists()
    assert (config.out / "source.csv").read_bytes() == listed
    lost.write_bytes(content)
    build_here(config)
    assert verify_here(config).is_whole


def test_a_source_manifest_of_another_run_is_told_and_replaced(config):
    path = config.out / "source.parquet"
    whole = read_source_table(path)
    publish_source(whole.slice(1), path)
    (damage,) = [found for found in verify_here(config).damage if found.path == "source.parquet"]
    assert "2 published files, such as shards/" in damage.problem
    retry_here(config)
    assert read_source_table(path).equals(whole)
    assert verify_here(config).is_whole


@pytest.mark.parametrize("damage", [flip_in_place, lambda path: path.unlink()])
def test_a_source_manifest_is_made_again_from_its_list_without_the_corpora(repaired, damage):
    before = (repaired.out / "source.parquet").read_bytes()
    damage(repaired.out / "source.parquet")
    for corpus in (repaired.vctk, repaired.aishell3):
        corpus.rename(corpus.with_name(f"{corpus.name}-away"))
    with pytest.raises(CodecfakeError, match="is not there"):
        retry_here(repaired)
    assert (repaired.out / "source.parquet").read_bytes() == before
    assert verify_here(repaired).is_whole


def test_the_list_of_a_source_manifest_says_the_same(repaired, tmp_path):
    rows = read_source_table(repaired.out / "source.parquet").to_pylist()
    for number, text in enumerate(('a "quote", and\na line', "", None, " ", "NA", "null")):
        rows[number] |= {"transcript": text, "seconds": number / 7}
    table = read_source_table(repaired.out / "source.parquet").from_pylist(
        rows, schema=pq.read_schema(repaired.out / "source.parquet")
    )
    publish_source(table, tmp_path / "source.parquet")
    assert read_source_list(tmp_path / "source.parquet").equals(table)


def test_a_repaired_recording_stands_in_no_source_manifest_s_way(repaired):
    for name in ("source.parquet", "source.csv"):
        flip_in_place(repaired.out / name)
    before = manifest(repaired.out)
    report = retry_here(repaired)
    assert report.build.shards_done == 0
    assert manifest(repaired.out) == before
    assert run_status(repaired).source_reasons == {}
    assert verify_here(repaired).is_whole


def test_a_lost_plan_is_told_and_its_number_given_to_no_other(repaired):
    flip_in_place(audio_of(repaired, "X1/00000"))
    verify_here(repaired)
    retry_here(repaired)
    shutil.rmtree(repaired.out / "retries" / "001")
    problems = {damage.path: damage.problem for damage in verify_here(repaired).damage}
    assert problems.keys() == {"retries/001"} and "it is gone" in problems["retries/001"]
    flip_in_place(audio_of(repaired, "X1/00000", 1))
    assert not verify_here(repaired).is_whole
    assert retry_here(repaired).plan.number == 3
    assert verify_here(repaired).is_whole
    assert run_status(repaired).is_complete


def test_a_run_whose_plans_are_all_gone_is_told_and_mended(repaired):
    shutil.rmtree(repaired.out / "retries")
    assert not verify_here(repaired).is_whole
    retry_here(repaired)
    assert verify_here(repaired).is_whole
    assert run_status(repaired).is_complete and run_status(repaired).source_reasons == {}


def test_what_a_retry_made_is_made_again_in_its_own_batch(repaired, monkeypatch):
    batches: list[tuple[str, ...]] = []
    run_batch = shard_work.ShardWork._run_batch

    def listen(work, batch):
        batches.append(tuple(source["utterance_id"] for source in batch))
        return run_batch(work, batch)

    monkeypatch.setattr(shard_work.ShardWork, "_run_batch", listen)
    before = (repaired.out / "splits/published-seed0/manifest.parquet").read_bytes()
    flip_in_place(repaired.out / "shards/real/00000/audio/p225_001.wav")
    flip_in_place(audio_of(repaired, "real/retry-001-00000"))
    verify_here(repaired)
    retry_here(repaired)
    assert ("p225_002",) in batches  # as it was made first, alone
    assert len(batches) == 2 and max(map(len, batches)) > 1
    assert not any("p225_002" in batch for batch in batches if len(batch) > 1)
    assert (repaired.out / "splits/published-seed0/manifest.parquet").read_bytes() == before
    assert verify_here(repaired).is_whole


def test_a_killed_retry_goes_on_and_plans_nothing_twice(config, monkeypatch):
    for number in (0, 1):
        flip_in_place(audio_of(config, "X1/00000", number))
    verify_here(config)

    def die(*arguments):
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            retry(config, Reason.DAMAGED, Monitor(), die)
    assert [path.name for path in (config.out / "retries").iterdir()] == ["001"]
    result = CliRunner().invoke(app, ["retry", str(config.out), "--reason", "damaged", "--no-prefect"])
    assert result.exit_code == 0, result.output
    assert "Finished what was planned before." in result.output
    assert [path.name for path in (config.out / "retries").iterdir()] == ["001"]
    assert verify_here(config).is_whole


def test_a_recording_is_not_lost_by_a_kill_between_the_two_files_of_a_plan(
    corpora, outside, tmp_path, monkeypatch
):
    cut_small_shards(monkeypatch)
    broken = corpora.vctk / "wav48_silence_trimmed" / "p225" / "p225_002_mic1.flac"
    content = broken.read_bytes()
    broken.write_bytes(b"")
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    broken.write_bytes(content)

    def die(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(retries, "published", die)
        with pytest.raises(Killed):
            retry_here(config)
    retry_here(config)
    assert "X1_p225_002.wav" in {row["file"] for row in manifest(config.out)}
    assert verify_here(config).is_whole


def test_corpora_that_were_moved_are_named_with_what_tells_the_new_place(config, corpora):
    corpora.vctk.rename(corpora.vctk.with_name("moved"))
    with pytest.raises(CodecfakeError, match="is not there") as caught:
        retry_here(config)
    assert f"codecfake build --config {config.out / 'run.yaml'} --out {config.out} --vctk NEW" in str(
        caught.value
    )


def test_the_gpu_of_another_machine_is_asked_for_only_where_something_is_to_be_made(config):
    saved = config.out / "run.yaml"
    saved.write_text(saved.read_text().replace("device: cpu", "device: cuda:7"))
    flip_in_place(next((config.out / "splits").glob("*/Codecfake/label/train.txt")))
    retry = ["retry", str(config.out), "--no-prefect"]
    assert CliRunner().invoke(app, retry).exit_code == 0
    audio_of(config, "X1/00000").unlink()
    assert not verify_here(config).is_whole
    with pytest.raises(CodecfakeError, match="--device cuda:7"):
        CliRunner().invoke(app, retry, catch_exceptions=False)
    assert CliRunner().invoke(app, [*retry, "--device", "cpu"]).exit_code == 0
    assert verify_here(config).is_whole
    assert "device: cuda:7" in saved.read_text()
