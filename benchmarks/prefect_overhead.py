"""Prefect's share of the wall time at the shard counts of a full-size build, with shards that only sleep.

A full-size build has 925,939 fakes and 132,277 reals: 8 "codecs" x 259 shards of about 512 utterances. The
same shards run once in a plain thread pool and once through a Prefect flow with our own server.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from record import environment, write_result

from codecfake.flows.server import drain, prefect_server

CODECS = ("real", *(f"F{number:02d}" for number in range(1, 8)))
SHARDS_PER_CODEC = 259
UTTERANCES_PER_SHARD = 512
SECONDS_PER_UTTERANCE = 3.6
GPU_REAL_TIME_FACTOR = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=SHARDS_PER_CODEC, help="shards per codec")
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a simulated shard")
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()
    about = environment()
    shards = [(codec, shard) for codec in CODECS for shard in range(options.shards)]
    plain = run_plain(shards, options.seconds, options.threads)
    prefect = run_with_prefect(shards, options.seconds, options.threads)
    result = summarise(plain, prefect, options.seconds, options.threads, len(shards))
    result["environment"] = about
    text = describe(result)
    write_result("prefect_overhead", result, text)
    print(text)


def run_plain(shards: list[tuple[str, int]], seconds: float, threads: int) -> float:
    """Wall seconds of the plain loop."""
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(time.sleep, seconds) for _ in shards]:
            done.result()
    return time.perf_counter() - started


def run_with_prefect(shards: list[tuple[str, int]], seconds: float, threads: int) -> dict[str, Any]:
    """Wall seconds of each part of the run through Prefect, and how many task runs were recorded."""
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        with prefect_server(Path(home)):
            from prefect import flow, task
            from prefect.cache_policies import NO_CACHE
            from prefect.runtime import flow_run
            from prefect.task_runners import ThreadPoolTaskRunner

            @task(cache_policy=NO_CACHE, task_run_name="{codec}/{shard:05d}")
            def resynthesise(codec: str, shard: int) -> None:
                time.sleep(seconds)

            @flow(task_runner=ThreadPoolTaskRunner(max_workers=threads))
            def build() -> str:
                for future in [resynthesise.submit(codec, shard) for codec, shard in shards]:
                    future.result()
                return flow_run.id

            up = time.perf_counter()
            flow_run_id = build()
            built = time.perf_counter()
            recorded = drain([flow_run_id], task_runs=len(shards))
            drained = time.perf_counter()
        ended = time.perf_counter()
    return {
        "start_seconds": up - began,
        "flow_seconds": built - up,
        "drain_seconds": drained - built,
        "stop_seconds": ended - drained,
        "recorded": recorded,
    }


def summarise(
    plain: float, prefect: dict[str, Any], seconds: float, threads: int, shards: int
) -> dict[str, Any]:
    """Overhead per shard as a thread sees it: the extra wall time times the threads, over the shards."""
    overhead = (prefect["flow_seconds"] - plain) * threads / shards
    real_shard = UTTERANCES_PER_SHARD * SECONDS_PER_UTTERANCE / GPU_REAL_TIME_FACTOR
    fixed = prefect["start_seconds"] + prefect["drain_seconds"] + prefect["stop_seconds"]
    per_shard_with_fixed = overhead + fixed / shards
    return {
        "shards": shards,
        "threads": threads,
        "simulated_shard_seconds": seconds,
        "plain_seconds": plain,
        **prefect,
        "overhead_per_shard_seconds": overhead,
        "fixed_seconds": fixed,
        "real_shard_seconds": real_shard,
        "share_percent": 100 * overhead / (overhead + real_shard),
        "share_with_fixed_percent": 100 * per_shard_with_fixed / (per_shard_with_fixed + real_shard),
    }


def describe(result: dict[str, Any]) -> str:
    """The result for a reader."""
    r = result
    return f"""# Prefect's share of the wall time

{r["shards"]:,} simulated shards of {r["simulated_shard_seconds"]} s in {r["threads"]} threads.

| | seconds |
|---|---:|
| plain thread pool | {r["plain_seconds"]:.1f} |
| Prefect flow | {r["flow_seconds"]:.1f} |
| start of the server, fresh database | {r["start_seconds"]:.1f} |
| waiting for the last records | {r["drain_seconds"]:.1f} |
| stop | {r["stop_seconds"]:.1f} |

Task runs recorded: {r["recorded"]:,} of {r["shards"]:,}.

Overhead per shard in its thread: ({r["flow_seconds"]:.1f} s - {r["plain_seconds"]:.1f} s) x
{r["threads"]} threads / {r["shards"]:,} shards = **{1000 * r["overhead_per_shard_seconds"]:.0f} ms**.

A full-size shard of {UTTERANCES_PER_SHARD} utterances of {SECONDS_PER_UTTERANCE} s takes at least
{UTTERANCES_PER_SHARD} x {SECONDS_PER_UTTERANCE} s / {GPU_REAL_TIME_FACTOR} = {r["real_shard_seconds"]:.1f} s
on a GPU that runs at {GPU_REAL_TIME_FACTOR} times real time, so Prefect's share is
**{r["share_percent"]:.2f} %**, and {r["share_with_fixed_percent"]:.2f} % with start, records and stop
({r["fixed_seconds"]:.1f} s once) as if one thread did all of it. The bound is 2 %."""


if __name__ == "__main__":
    main()
