"""The same build through Prefect: the same dataset, every shard shown, and a run folder that is the only truth."""

import pytest
from run_helpers import build_here, cut_small_shards, manifest, settings

from codecfake.flows.prefect_files import prefect_home
from codecfake.flows.running import run_build
from codecfake.flows.server import prefect_server

pytestmark = pytest.mark.slow


def test_prefect_and_the_plain_loop_build_the_same(corpora, outside, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    build_here(settings(corpora, outside, tmp_path / "plain"))
    config = settings(corpora, outside, tmp_path / "run")
    report = run_build(config, use_prefect=True)
    assert report.shards_done == 8
    assert manifest(tmp_path / "run") == manifest(tmp_path / "plain")

    with prefect_server(prefect_home(config.out)):
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            (flow_run,) = client.read_flow_runs()
            states = {run.name: run.state_name for run in client.read_task_runs()}
    assert (flow_run.state_name, flow_run.name) == ("Completed", f"build {config.out}")
    shards = {f"{codec}/{shard:05d}" for codec in ("real", "X1") for shard in range(4)}
    assert states == dict.fromkeys(shards, "Completed")


def test_a_failing_shard_does_not_stop_the_others(corpora, outside, tmp_path, monkeypatch):
    from codecfake.manifests.errors import CodecfakeError
    from codecfake.pipeline import sinks

    cut_small_shards(monkeypatch)
    publish = sinks.publish_shard

    def refuse_one(draft, run_dir, codec, shard_id, items, record):
        if (codec, shard_id) == ("X1", "00001"):
            raise CodecfakeError("the disk under this shard is bad")
        publish(draft, run_dir, codec, shard_id, items, record)

    monkeypatch.setattr(sinks, "publish_shard", refuse_one)
    config = settings(corpora, outside, tmp_path / "run")
    with pytest.raises(
        CodecfakeError, match=r"1 of 8 blocks of shards failed.*X1/00001.*the disk under this shard"
    ):
        run_build(config, use_prefect=True)
    monkeypatch.setattr(sinks, "publish_shard", publish)
    assert build_here(config).shards_done == 1
