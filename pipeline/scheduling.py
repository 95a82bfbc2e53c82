"""The plain loop over shards, for runs without Prefect."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shards import Shard

SHARDS_AT_ONCE = 2
"""Shards in progress on a device: the second one fills the gap while the first is being published."""


def run_in_threads(
    shards: Sequence[Shard], run_shard: Callable[[Shard], dict[str, Any]], monitor: Monitor
) -> list[str]:
    """Run shards a few at a time; one that fails does not stop the others.

    Returns:
        One message per failed shard.

    Raises:
        Stopped: If the monitor was told to stop.
    """
    failures = []
    with ThreadPoolExecutor(SHARDS_AT_ONCE) as pool:
        futures = {pool.submit(run_shard, shard): shard for shard in shards}
        try:
            for future in as_completed(futures):
                monitor.raise_if_stopped()
                if error := future.exception():
                    failures.append(f"{futures[future].codec}/{futures[future].id}: {error}")
        except BaseException:
            monitor.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return failures
