"""Shards as Prefect tasks: shown, timed and retried there; only the run folder tells what is done."""

from collections.abc import Callable, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.shards import Shard


def run_as_tasks(
    shards: Sequence[Shard], run_shard: Callable[[Shard], dict[str, Any]], monitor: Monitor
) -> list[str]:
    """Run each shard as a task of the current flow; see `pipeline.scheduling.run_in_threads`.

    A task gets two names, never audio or a network: the shard is looked up here.
    """
    planned = {(shard.codec, shard.id): shard for shard in shards}

    @task(
        name="resynthesize-shard",
        task_run_name="{codec}/{shard_id}",
        cache_policy=NO_CACHE,
        retries=2,
        retry_delay_seconds=[1, 10],
        retry_condition_fn=_may_pass_next_time,
    )
    def resynthesize_shard(codec: str, shard_id: str) -> dict[str, Any]:
        return run_shard(planned[codec, shard_id])

    names = {}
    try:
        for codec, shard_id in planned:
            names[resynthesize_shard.submit(codec, shard_id)] = f"{codec}/{shard_id}"
        failures = []
        for future in as_completed(list(names)):
            monitor.raise_if_stopped()
            future.wait()  # without it the future does not know its final state
            if not future.state.is_completed():
                failures.append(f"{names[future]}: {future.state.message}")
    except BaseException:
        monitor.stop.set()
        raise
    return failures


def _may_pass_next_time(_task: Any, _run: Any, state: Any) -> bool:
    try:
        state.result()
    except (Stopped, CodecfakeError):
        return False
    except Exception:
        return True
    return False
