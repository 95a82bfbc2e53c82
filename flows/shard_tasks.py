"""Blocks of shards as Prefect tasks: shown, timed and retried there; only the run folder tells what is done."""

from collections.abc import Sequence
from threading import BoundedSemaphore
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.local_devices import opened_devices
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.resynthesis_job import ResynthesisJob
from codecfake.pipeline.shards import ShardBlock


def run_as_tasks(job: ResynthesisJob, blocks: Sequence[ShardBlock], monitor: Monitor) -> list[str]:
    """Run each block as a task of the current flow; see `pipeline.scheduling.run_in_threads`.

    A task gets the block's name, never audio or a network: the block is looked up here.
    """
    planned = {block.name: block for block in blocks}

    @task(
        name="resynthesize-block",
        task_run_name="{block}",
        cache_policy=NO_CACHE,
        retries=2,
        retry_delay_seconds=[1, 10],
        retry_condition_fn=_may_pass_next_time,
    )
    def resynthesize_block(block: str) -> list[dict[str, Any]]:
        with free:
            return devices.run_block(planned[block])

    with opened_devices(job, monitor) as devices:
        # The flow's task runner has threads for every device of the machine; the build may use fewer.
        free = BoundedSemaphore(devices.at_once)
        names = {}
        try:
            for block in planned:
                names[resynthesize_block.submit(block)] = block
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
