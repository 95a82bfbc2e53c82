"""Server, deployments and workers of a pool on a real PostgreSQL: what survives, and what is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from pool_cluster import DEPLOY_ENDLESS, ENDLESS, SCRIPT, SECRET, Cluster, runs, wait_for, workers
from postgres import postgres_binaries, running_postgres

from codecfake.flows.pools import worker as pool_worker
from codecfake.flows.pools.places import Place
from codecfake.manifests.errors import CodecfakeError


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    if postgres_binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("cluster")
    with running_postgres() as postgres:
        cluster = Cluster(postgres, folder)
        try:
            assert cluster.start("deploy", "--pool", "test").wait(60) == 0, (folder / "log").read_text()
            (folder / "source").mkdir()
            (folder / "source" / "endless.py").write_text(ENDLESS)
            command = [sys.executable, "-c", DEPLOY_ENDLESS, folder / "source"]
            subprocess.run(command, env=cluster.environment, check=True, capture_output=True)
            yield cluster
        finally:
            cluster.server.terminate()
            assert cluster.server.wait(30) == 0


@pytest.fixture(scope="module")
def worker(cluster) -> Iterator[subprocess.Popen]:
    """`codecfake worker` on the CPU; the worker of Prefect is its child."""
    process = start_worker(cluster)
    yield process
    process.terminate()
    process.wait(30)


def start_worker(cluster) -> subprocess.Popen:
    return cluster.start("worker", "--pool", "test", "--processes", "1")


@pytest.mark.cluster
def test_the_server_keeps_thousands_of_runs_and_listens_here_only(cluster):
    settings = cluster.client.get("admin/settings").json()["server"]
    assert settings["database"]["sqlalchemy"]["pool_size"] == 20
    assert set(settings["services"]["db_vacuum"]["enabled"]) == {"events", "flow_runs"}
    assert not settings["analytics_enabled"]
    assert str(cluster.port) in settings["ui"]["api_url"]
    assert cluster.postgres.query("SELECT version_num FROM alembic_version")  # its tables are there
    listening = subprocess.run(
        ["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True
    ).stdout
    assert re.findall(rf"(\w+):{cluster.port:04X} \w+:0000 0A", listening) == ["0100007F"]


@pytest.mark.cluster
def test_who_does_not_know_the_secret_is_told_so(cluster):
    environment = cluster.environment | {"PREFECT_API_AUTH_STRING": "lab:guess"}
    ended = subprocess.run(
        [SCRIPT, "worker", "--pool", "test"], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "does not let us in" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.cluster
def test_deploy_may_be_repeated_and_registers_everything_once(cluster):
    assert cluster.start("deploy", "--pool", "test").wait(60) == 0
    flows = {flow["id"]: flow["name"] for flow in cluster.ask("flows/filter")}
    deployments = {
        flows[deployment["flow_id"]]: deployment
        for deployment in cluster.ask("deployments/filter")
        if deployment["name"] == "test"
    }
    assert set(deployments) == {"resynthesize-blocks", "train", "evaluate"}
    assert all(deployment["work_pool_name"] == "test" for deployment in deployments.values())
    assert deployments["resynthesize-blocks"]["entrypoint"].startswith("codecfake.flows.pools.block_flow")
    assert [pool["type"] for pool in cluster.ask("work_pools/filter")] == ["process"]
    (watch,) = cluster.ask("automations/filter")
    assert watch["enabled"] and watch["trigger"]["within"] <= 90 - 5  # the server looks every 5 s
    assert watch["trigger"]["match_related"]["prefect.resource.id"] == "prefect.tag.codecfake"


@pytest.mark.cluster
def test_a_killed_command_takes_its_worker_and_its_flow_along(cluster):
    command = start_worker(cluster)
    run = cluster.submit()
    pid, (child,) = cluster.pid(run), workers(command)
    command.kill()
    command.wait()
    wait_for(lambda: not runs(pid) and not runs(child), 30)
    wait_for(lambda: cluster.state(run) == "CRASHED", 30)


@pytest.mark.cluster
def test_a_worker_that_dies_is_replaced_and_its_run_closed_at_once(cluster, worker):
    lost = cluster.submit()
    pid = cluster.pid(lost)
    (child,) = workers(worker)
    os.kill(child, signal.SIGKILL)
    assert wait_for(lambda: cluster.state(lost) == "CRASHED", 20) < 15
    assert not runs(pid)
    after = cluster.submit(seconds=0)
    wait_for(lambda: cluster.state(after) == "COMPLETED")
    assert workers(worker) != [child]


@pytest.mark.cluster
def test_server_worker_and_run_survive_a_database_that_was_killed(cluster, worker):
    during = cluster.submit(seconds=5)
    cluster.pid(during)
    cluster.postgres.kill()
    time.sleep(3)
    cluster.postgres.start()
    wait_for(lambda: cluster.client.post("work_pools/filter", json={}).is_success)
    wait_for(lambda: cluster.state(during) == "COMPLETED")
    after = cluster.submit(seconds=0)
    wait_for(lambda: cluster.state(after) == "COMPLETED")
    assert worker.poll() is None


@pytest.mark.cluster
def test_a_worker_that_is_told_to_stop_leaves_no_process_and_no_open_run(cluster, worker):
    run = cluster.submit()
    pid = cluster.pid(run)
    assert run.report.read_text().split()[1] == "''"  # no GPU
    cores = len(os.sched_getaffinity(0))
    assert run.report.read_text().split()[2] == str(cores)
    below = workers(worker)
    worker.terminate()
    assert worker.wait(20) == 0
    assert not any(map(runs, [pid, *below]))
    assert cluster.state(run) == "CRASHED"


@pytest.mark.cluster
def test_a_worker_that_cannot_start_gives_up_and_says_so(cluster, monkeypatch):
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", SECRET)
    monkeypatch.setenv("PREFECT_API_URL", cluster.url)
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "often")
    monkeypatch.setattr(pool_worker, "_WAIT_SECONDS", 0.1)
    said = []
    with pytest.raises(
        CodecfakeError, match=r"ended 3 times as soon as it was started, last with code [1-9]"
    ):
        pool_worker.work("test", [Place("cpu0", None, 1)], cluster.url, said.append)
    assert sum("is started again" in text for text in said) == 2
