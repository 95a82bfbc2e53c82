"""Several devices of one host at work: a process for each, blocks handed out as places get free.

A process that is lost takes along only what it had not published. Its blocks are run again, each now with a device to
itself, so that a block which ends every process it runs in takes no neighbours along.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from threading import Condition, Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.device_process import DeviceProcess, DeviceUnusable, ProcessLost
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.scheduling import BLOCKS_PER_DEVICE
from codecfake.pipeline.shard_store import is_published, read_record, shard_path
from codecfake.pipeline.shards import Shard, ShardBlock

if TYPE_CHECKING:
    from codecfake.pipeline.resynthesis_job import ResynthesisJob

TRIES = 3
"""Processes that a block may lose."""
LOST_IN_A_ROW = 3
"""Processes that a device may lose without finishing a block, while there are other devices."""
SECONDS_TO_STOP = 5.0
"""For the utterances in progress, once the user asked to stop."""
_POLL_SECONDS = 0.1
_SIGNAL_SECONDS = 0.5
"""By which a signal to the whole process group may reach a process before it reaches us."""


class _Place:
    """A device, and its process while there is one."""

    def __init__(self, device: str, cores: set[int]) -> None:
        self.device, self.cores = device, cores
        self.starting = Lock()
        self.process: DeviceProcess | None = None
        self.blocks = 0
        self.lost_in_a_row = 0
        self.given_up = False


class DeviceProcesses:
    """One process per device, started when there is work for it; a context manager.

    Args:
        job: What all blocks share.
        devices: As torch names them. "cpu" may be there several times: the cores are divided then.
        monitor: Told about the progress; carries the stop signal.
    """

    def __init__(self, job: "ResynthesisJob", devices: Sequence[str], monitor: Monitor) -> None:
        self._job, self._monitor = job, monitor
        self._places = [_Place(*place) for place in zip(devices, _shares_of_cores(devices), strict=True)]
        self._changed = Condition()
        self._waiting_alone = 0
        self._failure: Exception | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._closed = True
        processes = []
        for place in self._places:
            with place.starting:
                if place.process:
                    place.process.kill()
                    processes.append(place.process)
        for process in processes:
            process.join()

    def run_block(self, block: ShardBlock) -> list[dict[str, Any]]:
        """Run a block on the device that has the fewest, and wait for it; for several threads at once.

        Returns:
            The records of the shards that were published.

        Raises:
            Stopped: If the user asked to stop.
            CodecfakeError: If the block cannot be done, or ended each of the ``TRIES`` processes it was given.
        """
        published = [shard for shard in block.shards if self._is_published(shard)]
        records: list[dict[str, Any]] = []
        lost_at: list[_Place] = []
        while True:
            with self._place(lost_at) as place:
                try:
                    return records + self._run_at(place, block)
                except ProcessLost as loss:
                    self._note_loss(loss, block, [*lost_at, place])
                except DeviceUnusable as error:
                    self._give_up(place, error)
                    continue
            lost_at.append(place)
            for shard in block.shards:
                if shard not in published and self._is_published(shard):
                    published.append(shard)
                    records.append(read_record(shard_path(self._job.config.out, shard.codec, shard.id)))

    @contextmanager
    def _place(self, lost_at: Sequence[_Place]) -> Iterator[_Place]:
        """Wait for a place and hold it; a block that has lost processes gets a device alone, another one if it can."""
        weight = BLOCKS_PER_DEVICE if lost_at else 1
        with self._changed:
            self._waiting_alone += bool(lost_at)
            try:
                while not (free := self._free_places(lost_at, weight)):
                    self._changed.wait(_POLL_SECONDS)
            finally:
                self._waiting_alone -= bool(lost_at)
            place = min(free, key=lambda place: place.blocks)
            place.blocks += weight
        try:
            yield place
        finally:
            with self._changed:
                place.blocks -= weight
                self._changed.notify_all()

    def _free_places(self, lost_at: Sequence[_Place], weight: int) -> list[_Place]:
        if self._closed:
            raise Stopped
        self._monitor.raise_if_stopped()
        usable = [place for place in self._places if not place.given_up]
        if not usable:
            raise self._failure
        if self._waiting_alone and not lost_at:
            return []
        others = [place for place in usable if place not in lost_at]
        return [place for place in others or usable if place.blocks + weight <= BLOCKS_PER_DEVICE]

    def _run_at(self, place: _Place, block: ShardBlock) -> list[dict[str, Any]]:
        process = self._process(place)
        answer = process.run(block)
        stopped_at = None
        while not answer.done():
            wait([answer], _POLL_SECONDS)
            if self._monitor.stop.is_set():
                stopped_at = stopped_at or monotonic()
                process.forward_stop()
                if monotonic() - stopped_at > SECONDS_TO_STOP:
                    raise Stopped
        return answer.result()

    def _process(self, place: _Place) -> DeviceProcess:
        with place.starting:
            if self._closed:
                raise Stopped
            if place.process and place.process.ended:
                place.lost_in_a_row = 0 if place.process.blocks_finished else place.lost_in_a_row + 1
                place.process = None
            if place.given_up or (place.lost_in_a_row >= LOST_IN_A_ROW and not self._is_last(place)):
                raise DeviceUnusable(f"{place.lost_in_a_row} of its processes ended in a row")
            if place.process is None:
                place.process = DeviceProcess(self._job, place.device, place.cores, self._monitor)
            return place.process

    def _is_last(self, place: _Place) -> bool:
        return all(other.given_up for other in self._places if other is not place)

    def _give_up(self, place: _Place, error: DeviceUnusable) -> None:
        with self._changed:
            if place.given_up:
                return
            place.given_up = True
            self._failure = error.__cause__ or error
        if not self._is_last(place):
            self._monitor.say(f"{place.device} is not used any more: {error}")

    def _note_loss(self, loss: ProcessLost, block: ShardBlock, lost_at: Sequence[_Place]) -> None:
        """Tell that a block goes round again.

        Raises:
            Stopped: If the process ended because everything is to end.
            CodecfakeError: If the block has had its tries.
        """
        if self._closed or self._monitor.stop.wait(_SIGNAL_SECONDS):
            raise Stopped from loss
        if len(lost_at) < TRIES:
            self._monitor.say(f"{lost_at[-1].device}: the process ended ({loss}); {block.name} is run again")
            return
        raise CodecfakeError(
            f"{block.name} ended {TRIES} processes, the last one on {lost_at[-1].device} with {loss}",
            cause=loss.likely_cause,
            next_step="repeat the command once the cause is gone; it does only what is missing",
        ) from loss

    def _is_published(self, shard: Shard) -> bool:
        return is_published(self._job.config.out, shard.codec, shard.id)


def _shares_of_cores(devices: Sequence[str]) -> list[set[int]]:
    """Divide the cores among processes that compute on them; empty for those that do not, and where one has all."""
    count = devices.count("cpu")
    if count < 2 or not hasattr(os, "sched_getaffinity"):
        return [set() for _ in devices]
    cores = sorted(os.sched_getaffinity(0))
    shares = iter(set(cores[index::count]) or {cores[index % len(cores)]} for index in range(count))
    return [next(shares) if device == "cpu" else set() for device in devices]
