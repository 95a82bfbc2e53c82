"""What orchestration costs at full size: 132,277 utterances and seven codecs on a pool, without audio.

The server with its PostgreSQL, the plan, the coordinator and its chunks are the real ones. The workers only pretend:
each takes chunks as Prefect's worker does, waits, and publishes records of shards. A day of work passes in minutes, so
the server gets many times the requests per second of a real build. At the end one real worker shows what a chunk costs
beside its work: it is given chunks that are published already.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import httpx
from postgres import Postgres, running_postgres
from pretended_workers import PretendedWorkers
from record import environment, write_result
from splits_full_scale import CODECS, make_source

from codecfake.manifests.schema import REAL
from codecfake.pipeline.config import RunConfig, make_config, save_config
from codecfake.pipeline.provenance import codecfake_version
from codecfake.pipeline.source import publish_source

POOL = "pretended"
REAL_CHUNKS = 7
TARGET_SECONDS = 300.0
SCRIPT = Path(sys.executable).parent / "codecfake"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--speed", type=float, default=50.0, help="times real time of each codec on a GPU")
    parser.add_argument("--compression", type=float, default=30.0, help="seconds of work that pass in one")
    parser.add_argument("--coordinate", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.coordinate:
        print(json.dumps(coordinate(options.coordinate)))
        return
    about = environment()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.workers, options.speed, options.compression)
    result["environment"] = about
    text = describe(result)
    write_result("orchestration", result, text)
    print(text)


def measure(folder: Path, workers: int, speed: float, compression: float) -> dict[str, Any]:
    config = make_run(folder / "run")
    with running_postgres() as postgres, running_server(postgres, folder) as (server, url, variables):
        subprocess.run([SCRIPT, "deploy", "--pool", POOL], env=variables, check=True, capture_output=True)
        before = {"bytes": database_bytes(postgres), "server_mib": memory_mib(server.pid)}
        cpu_before = cpu_seconds(server.pid)
        command = [sys.executable, __file__, "--coordinate", str(config.out)]
        began = time.monotonic()
        with PretendedWorkers(url, POOL, workers, speed, compression) as pretended:
            coordinator = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
        wall = time.monotonic() - began
        after = {"bytes": database_bytes(postgres), "server_mib": memory_mib(server.pid)}
        server_cpu = cpu_seconds(server.pid) - cpu_before
        rows = table_rows(postgres)
        real = real_chunks(url, variables, config)
    return {
        "utterances": 132_277,
        "codecs": len(CODECS),
        "workers": workers,
        "speed": speed,
        "compression": compression,
        "chunks": pretended.chunks,
        "requests_per_second": pretended.requests / wall,
        "wall_seconds": wall,
        "work_seconds": pretended.work_seconds,
        "gap_seconds": statistics.mean(pretended.gaps),
        "coordinator": json.loads(coordinator.stdout.splitlines()[-1]),
        "server_mib": (before["server_mib"], after["server_mib"]),
        "server_cpu_seconds": server_cpu,
        "database_bytes": (before["bytes"], after["bytes"]),
        "rows": rows,
        "real_chunk_seconds": real,
    }


def make_run(out: Path) -> RunConfig:
    """A run folder that has its source manifest; the corpora are nowhere."""
    out.mkdir()
    config = make_config(
        {"vctk": out, "out": out, "codecs": ",".join(CODECS), "weights": "mini", "device": "cpu"}
    )
    save_config(config)
    publish_source(make_source(), out / "source.parquet")
    return config


@contextmanager
def running_server(
    postgres: Postgres, folder: Path
) -> Iterator[tuple[subprocess.Popen, str, dict[str, str]]]:
    """`codecfake server` on PostgreSQL: its process, its URL, and the environment of its clients."""
    port = postgres.port + (1 if postgres.port < 65535 else -1)
    url = f"http://127.0.0.1:{port}/api"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    variables = kept | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": url,
        "CUDA_VISIBLE_DEVICES": "",
    }
    with (folder / "log").open("wb") as log:
        command = [SCRIPT, "server", "--database", postgres.url, "--port", str(port)]
        server = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    try:
        while not answers(url):
            if server.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
            time.sleep(0.2)
        yield server, url, variables
    finally:
        server.terminate()
        server.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=5).is_success
    except httpx.HTTPError:
        return False


def coordinate(run_dir: Path) -> dict[str, float]:
    """What the build command does between its plan and its split; gives what it cost."""
    from prefect import flow

    from codecfake.codec_adapters import find_codec
    from codecfake.flows.pools import fan_out
    from codecfake.pipeline.build import plan_shards
    from codecfake.pipeline.config import saved_config
    from codecfake.pipeline.monitor import Monitor
    from codecfake.pipeline.resynthesis_job import ResynthesisJob
    from codecfake.pipeline.shards import make_blocks
    from codecfake.pipeline.source import read_source_table

    config = saved_config(run_dir)
    costs = {}

    def input_rate(codec: str) -> int:
        return config.sample_rate if codec == REAL else find_codec(codec).card.sample_rate

    @flow(name="build", log_prints=False)
    def build() -> None:
        began = time.monotonic()
        shards = plan_shards(read_source_table(run_dir / "source.parquet"), config.codecs)
        blocks = make_blocks(shards, input_rate, lambda _: False)
        costs.update(plan_seconds=time.monotonic() - began, shards=len(shards), blocks=len(blocks))
        costs.update(audio_seconds=sum(block.seconds for block in blocks))
        before = cpu_seconds_here()
        failures = fan_out.run_on_pool(POOL)(ResynthesisJob(config, {}, {}), blocks, Monitor())
        assert not failures, failures
        costs.update(cpu_seconds=cpu_seconds_here() - before)

    import_mib = peak_mib()
    build()
    costs.update(import_mib=import_mib, peak_mib=peak_mib())
    return costs


def real_chunks(url: str, variables: dict[str, str], config: RunConfig) -> list[float]:
    """Seconds from chunk to chunk at a real worker that finds every block published."""
    worker = subprocess.Popen(
        [SCRIPT, "worker", "--pool", POOL, "--processes", "1"],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            found = client.get(f"/deployments/name/resynthesize-blocks/{POOL}").json()
            parameters = {"run_dir": str(config.out), "blocks": ["F07/00000"], "roots": {}, "label": "real"}
            body = {"parameters": parameters | {"version": codecfake_version()}}
            make = f"/deployments/{found['id']}/create_flow_run"
            ids = [client.post(make, json=body).json()["id"] for _ in range(REAL_CHUNKS)]
            while True:
                runs = [client.get(f"/flow_runs/{run_id}").json() for run_id in ids]
                if all(run["end_time"] for run in runs):
                    break
                time.sleep(1)
        assert all(run["state_type"] == "COMPLETED" for run in runs), [run["state"] for run in runs]
    finally:
        worker.terminate()
        worker.wait()
    ends = sorted(datetime.fromisoformat(run["end_time"]).timestamp() for run in runs)
    return [round(later - sooner, 2) for sooner, later in pairwise(ends)]


def describe(result: dict[str, Any]) -> str:
    """The result for a reader."""
    r, own = result, result["coordinator"]
    real = r["real_chunk_seconds"]
    per_chunk = statistics.median(real)
    grown = r["database_bytes"][1] - r["database_bytes"][0]
    rows = ", ".join(f"{table} {count:,}" for table, count in r["rows"].items())
    return f"""# What orchestration costs at full size

{r["utterances"]:,} utterances x {r["codecs"]} codecs and the bona fide audio: {own["shards"]:,} shards in
{own["blocks"]:,} blocks, {own["audio_seconds"] / 3600:,.0f} h of audio. A real server on PostgreSQL, the
real coordinator, and {r["workers"]} workers that pretend to run each codec at {r["speed"]:.0f} times real
time: they wait, and publish records without audio. {r["compression"]:.0f} s of work pass in one second, so
the server gets {r["compression"]:.0f} times the requests of a real build in the same time
({r["requests_per_second"]:.1f} per second from the workers).

| | |
|---|---:|
| chunks | {r["chunks"]:,} |
| work of all workers, before compression | {r["work_seconds"] / 3600:.1f} h |
| the same run here | {r["wall_seconds"]:.0f} s |
| planning at the coordinator | {own["plan_seconds"]:.1f} s |
| CPU time of the coordinator, submitting and following | {own["cpu_seconds"]:.1f} s |
| memory of the coordinator at its peak (after its imports) | {own["peak_mib"]:.0f} MiB ({own["import_mib"]:.0f}) |
| CPU time of the server | {r["server_cpu_seconds"]:.1f} s |
| memory of the server after (before) | {r["server_mib"][1]:.0f} MiB ({r["server_mib"][0]:.0f}) |
| database after (before) | {r["database_bytes"][1] / 1e6:.1f} MB ({r["database_bytes"][0] / 1e6:.1f}) |
| database per chunk | {grown / r["chunks"] / 1e3:.0f} kB |
| a pretended worker waits for its next chunk, mean | {r["gap_seconds"]:.1f} s |

Rows: {rows}.

One real worker with {len(real) + 1} chunks that were published already: from the end of one to the end of the
next **{per_chunk:.1f} s** (median; {min(real):.1f} to {max(real):.1f}). That is asking for it, a new process, the
imports, and the plan of the full size. A chunk is {TARGET_SECONDS:.0f} s of work, so orchestration takes
**{100 * per_chunk / (TARGET_SECONDS + per_chunk):.1f} %** of a worker's time.

Extrapolated, not run: with each block a chunk of its own, {own["blocks"]:,} chunks would take
{own["blocks"] * grown / r["chunks"] / 1e6:.0f} MB in the database. The networks, and loading them, are not in these
numbers."""


def cpu_seconds_here() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def database_bytes(postgres: Postgres) -> int:
    return postgres.query("SELECT pg_database_size('prefect')")[0][0]


def table_rows(postgres: Postgres) -> dict[str, int]:
    """Rows of the tables that grow with a build."""
    tables = ("flow_run", "flow_run_state", "task_run", "events", "event_resources", "log")
    return {table: postgres.query(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


if __name__ == "__main__":
    main()
