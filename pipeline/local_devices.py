"""Working through blocks of shards on the devices of this machine."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from codecfake.pipeline.device_processes import DeviceProcesses
from codecfake.pipeline.devices import find_device, find_devices, single_threaded_networks
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis_job import ResynthesisJob
from codecfake.pipeline.scheduling import BLOCKS_PER_DEVICE, run_in_threads
from codecfake.pipeline.shards import ShardBlock


class OpenDevices(NamedTuple):
    """Devices that are ready for blocks."""

    run_block: Callable[[ShardBlock], list[dict[str, Any]]]
    """Gives the records of the shards that it published; for several threads at once."""
    at_once: int
    """Blocks that keep the devices busy."""


@contextmanager
def opened_devices(job: ResynthesisJob, monitor: Monitor) -> Iterator[OpenDevices]:
    """Get the devices of a configuration ready: a CPU in this process, each GPU in one of its own.

    A fault of a GPU ends the process that it is used in, and what feeds it shares no interpreter with Prefect.
    """
    names = find_devices(job.config.device)
    if names != ["cpu"]:
        with DeviceProcesses(job, names, monitor) as processes:
            yield OpenDevices(processes.run_block, BLOCKS_PER_DEVICE * len(names))
        return
    with single_threaded_networks():
        yield OpenDevices(job.open(find_device(names[0]), monitor).run_block, BLOCKS_PER_DEVICE)


def run_locally(job: ResynthesisJob, blocks: Sequence[ShardBlock], monitor: Monitor) -> list[str]:
    """Work through blocks in a plain loop; see `run_in_threads`."""
    with opened_devices(job, monitor) as devices:
        return run_in_threads(blocks, devices.run_block, monitor, devices.at_once)
