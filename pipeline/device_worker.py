"""The process of one device: takes blocks over a connection, answers with records, progress and errors."""

import os
import time
import traceback
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Lock
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.errors import CodecError
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import DamagedFileError
from codecfake.pipeline.devices import find_device, single_threaded_networks
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.scheduling import BLOCKS_PER_DEVICE
from codecfake.pipeline.shards import ShardBlock

if TYPE_CHECKING:
    from codecfake.pipeline.resynthesis import Resynthesis
    from codecfake.pipeline.resynthesis_job import ResynthesisJob

SECONDS_BETWEEN_PROGRESS = 0.2
ACTED_UPON = (CodecfakeError, DamagedFileError, CodecError, Stopped)
"""Beside those of the system; all of them survive the way to another process."""
DEVICE_FAULT = 70
"""Exit code of a process whose GPU answers nothing any more."""


@dataclass(frozen=True)
class RunBlock:
    """To the process: run a block."""

    number: int
    block: ShardBlock


@dataclass(frozen=True)
class Stop:
    """To the process: the user asked to stop."""


@dataclass(frozen=True)
class Progress:
    """From the process: seconds of audio done."""

    seconds: float


@dataclass(frozen=True)
class Said:
    """From the process: a line for the user."""

    text: str


@dataclass(frozen=True)
class Finished:
    """From the process: the records of a block."""

    number: int
    records: list[dict[str, Any]]


@dataclass(frozen=True)
class Failed:
    """From the process: why a block failed."""

    number: int
    error: Exception


@dataclass(frozen=True)
class Unusable:
    """From the process, as its last word: why it cannot work on its device."""

    error: Exception


class BlockFailed(Exception):
    """An error in the process of a device that cannot be sent as it is: its type and message."""


class RemoteMonitor(Monitor):
    """Hands progress on to the process that shows it, gathered so that quick devices do not flood it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._sending = Lock()
        self._seconds = 0.0
        self._sent = time.monotonic()

    def say(self, text: str) -> None:
        """Have it said."""
        self.send(Said(text))

    def advance(self, amount: float) -> None:
        """Count what is done."""
        with self._sending:
            self._seconds += amount
            if time.monotonic() - self._sent >= SECONDS_BETWEEN_PROGRESS:
                self._send_progress()

    def send(self, message: object) -> None:
        """Send a message; the progress that came before it goes first."""
        with self._sending:
            self._send_progress()
            self._connection.send(message)

    def _send_progress(self) -> None:
        if self._seconds:
            self._connection.send(Progress(self._seconds))
            self._seconds, self._sent = 0.0, time.monotonic()


def serve(job: "ResynthesisJob", device: str, cores: Collection[int], connection: Connection) -> None:
    """Be the process of a device, until the other end of the connection is gone.

    Args:
        job: What all blocks share.
        device: As torch names it in the process that starts this one.
        cores: The cores to stay on; empty leaves the choice to the system.
        connection: Brings ``RunBlock`` and ``Stop``; takes the other messages.
    """
    if cores:
        os.sched_setaffinity(0, cores)
    kind, _, index = device.partition(":")
    if kind == "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_device(int(index), os.environ)
        device = kind
    monitor = RemoteMonitor(connection)
    with single_threaded_networks(), ThreadPoolExecutor(BLOCKS_PER_DEVICE, "blocks") as blocks:
        opening = blocks.submit(_open, job, device, monitor)
        while True:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                # What counts is on disk, and blocks in progress would keep an orderly end waiting.
                os._exit(0)
            if isinstance(message, Stop):
                monitor.stop.set()
            else:
                blocks.submit(_answer, opening, message, monitor)


def visible_device(index: int, environment: Mapping[str, str]) -> str:
    """Name a GPU as ``CUDA_VISIBLE_DEVICES`` wants it.

    A process that sees no other GPU cannot take memory on one, whichever thread or library asks for "cuda".

    Args:
        index: As the process that starts the other one counts them.
        environment: Its environment.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[index].strip() if visible else str(index)


def _open(job: "ResynthesisJob", device: str, monitor: RemoteMonitor) -> "Resynthesis":
    try:
        return job.open(find_device(device), monitor)
    except Exception as error:
        monitor.send(Unusable(_portable(error)))
        os._exit(1)


def _answer(opening: "Future[Resynthesis]", request: RunBlock, monitor: RemoteMonitor) -> None:
    resynthesis = opening.result()
    try:
        answer = Finished(request.number, resynthesis.run_block(request.block))
    except BaseException as error:
        if resynthesis.device.is_cuda and not _gpu_answers():
            os._exit(DEVICE_FAULT)
        answer = Failed(request.number, _portable(error))
    monitor.send(answer)


def _gpu_answers() -> bool:
    """Whether the GPU still works for this process: after a fault, every further call fails until the process ends."""
    import torch

    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def _portable(error: BaseException) -> Exception:
    """The error itself if it is one that the other process acts upon, else one that tells it."""
    if type(error) in ACTED_UPON or (isinstance(error, OSError) and type(error).__module__ == "builtins"):
        return error
    told = BlockFailed(f"{type(error).__name__}: {error}")
    told.add_note("".join(traceback.format_exception(error)))
    return told
