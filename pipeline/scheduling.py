"""The plain loop over blocks of shards, for runs without Prefect."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shards import ShardBlock

BLOCKS_PER_DEVICE = 2
"""Blocks in progress on a device: the second one fills the gap while the last shard of the first is published."""


def run_in_threads(
    blocks: Sequence[ShardBlock],
    run_block: Callable[[ShardBlock], list[dict[str, Any]]],
    monitor: Monitor,
    at_once: int,
) -> list[str]:
    """Run blocks, ``at_once`` at a time; one that fails does not stop the others.

    Returns:
        One message per failed block.

    Raises:
        Stopped: If the monitor was told to stop.
    """
    failures = []
    with ThreadPoolExecutor(at_once) as pool:
        futures = {pool.submit(run_block, block): block for block in blocks}
        try:
            for future in as_completed(futures):
                monitor.raise_if_stopped()
                if error := future.exception():
                    failures.append(f"{futures[future].name}: {error}")
        except BaseException:
            monitor.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return failures
