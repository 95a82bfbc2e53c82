"""The near end of a device's process: started, given blocks, listened to, ended, and cleaned up after."""

import multiprocessing
import shutil
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from codecfake.manifests.atomic import TEMPORARY_PREFIX
from codecfake.pipeline.device_worker import (
    DEVICE_FAULT,
    Failed,
    Finished,
    Progress,
    RunBlock,
    Said,
    Stop,
    Unusable,
    serve,
)
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shard_store import drafts, is_published
from codecfake.pipeline.shards import Shard, ShardBlock

if TYPE_CHECKING:
    from codecfake.pipeline.resynthesis_job import ResynthesisJob

SECONDS_TO_EXIT = 5.0
"""For a process that said its last word."""


class ProcessLost(Exception):
    """The process ended before it answered.

    Args:
        exit_code: As `multiprocessing` gives it: a signal is negative.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        with suppress(ValueError):
            return signal.Signals(-self.exit_code).name
        return f"signal {-self.exit_code}"

    @property
    def likely_cause(self) -> str:
        """What mostly ends processes like this."""
        if self.exit_code == -signal.SIGKILL:
            return "memory of the machine ran out and the system ended it, or somebody did"
        if self.exit_code == DEVICE_FAULT:
            return "a fault of the GPU or its driver; dmesg shows it as a line with Xid"
        if self.exit_code < 0:
            return "a fault in a library that is not Python: torch, the GPU's driver, libsndfile or soxr"
        return "it could not start, or its main thread failed; what it printed stands above"


class DeviceUnusable(Exception):
    """The process is there, but cannot work on its device; the cause says why."""


@dataclass(frozen=True)
class _Request:
    pending: Sequence[Shard]
    answer: Future[list[dict[str, Any]]]


class DeviceProcess:
    """A process that runs blocks on one device; methods may be called from several threads.

    Args:
        job: What all blocks share.
        device: As torch names it.
        cores: The cores it stays on; empty leaves the choice to the system.
        monitor: Told about the progress. What a lost process did not publish is taken back.
    """

    def __init__(self, job: "ResynthesisJob", device: str, cores: Collection[int], monitor: Monitor) -> None:
        self._run_dir, self._monitor = job.config.out, monitor
        self._changing, self._sending = Lock(), Lock()
        self._numbers = count()
        self._waiting: dict[int, _Request] = {}
        self._done_seconds = self._published_seconds = 0.0
        self._unusable: Exception | None = None
        self.ended = False
        self.blocks_finished = 0

        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(job, device, cores, theirs), name=f"codecfake {device}", daemon=True
        )
        with theirs, _ctrl_c_stays_here():
            self._process.start()
        self._listener = Thread(target=self._listen, name=f"listener {device}", daemon=True)
        self._listener.start()

    def run(self, block: ShardBlock) -> Future[list[dict[str, Any]]]:
        """Hand over a block.

        Returns:
            The records, or what ``Resynthesis.run_block`` raised, ``ProcessLost`` or ``DeviceUnusable``.
        """
        answer: Future[list[dict[str, Any]]] = Future()
        number = next(self._numbers)
        with self._changing:
            if self.ended:
                answer.set_exception(self._why_ended())
                return answer
            pending = [shard for shard in block.shards if not self._is_published(shard)]
            self._waiting[number] = _Request(pending, answer)
        self._send(RunBlock(number, block))
        return answer

    def forward_stop(self) -> None:
        """Tell it that the user asked to stop; may be repeated."""
        self._send(Stop())

    def kill(self) -> None:
        """End it at once; what it published stays."""
        self._process.kill()

    def join(self) -> None:
        """Wait until it has ended and is cleaned up after."""
        self._listener.join()

    def _send(self, message: object) -> None:
        with self._sending, suppress(OSError):  # when it is gone, the listener knows
            self._connection.send(message)

    def _listen(self) -> None:
        try:
            self._take_messages()
        finally:
            wait([self._process.sentinel], SECONDS_TO_EXIT)
            self._process.kill()
            while self._process.exitcode is None:
                time.sleep(0.01)
            with self._changing:
                self.ended = True
                waiting = list(self._waiting.values())
            try:
                self._clean_up([shard for request in waiting for shard in request.pending])
            finally:
                for request in waiting:
                    request.answer.set_exception(self._why_ended())

    def _take_messages(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                return
            match message:
                case Progress(seconds):
                    self._done_seconds += seconds
                    self._monitor.advance(seconds)
                case Said(text):
                    self._monitor.say(text)
                case Finished(number, records):
                    request = self._taken(number)
                    self._published_seconds += sum(shard.seconds for shard in request.pending)
                    self.blocks_finished += 1
                    request.answer.set_result(records)
                case Failed(number, error):
                    request = self._taken(number)
                    self._published_seconds += self._seconds_published(request.pending)
                    request.answer.set_exception(error)
                case Unusable(error):
                    self._unusable = error

    def _taken(self, number: int) -> _Request:
        with self._changing:
            return self._waiting.pop(number)

    def _clean_up(self, lost: Sequence[Shard]) -> None:
        """Remove drafts, and let the progress say what was published."""
        begun = {(shard.codec, f"{TEMPORARY_PREFIX}{shard.id}") for shard in lost}
        for draft in drafts(self._run_dir):
            if (draft.parent.name, draft.name.rpartition("-")[0]) in begun:
                shutil.rmtree(draft, ignore_errors=True)
        kept_seconds = self._published_seconds + self._seconds_published(lost)
        if kept_seconds != self._done_seconds:
            self._monitor.advance(kept_seconds - self._done_seconds)

    def _seconds_published(self, shards: Sequence[Shard]) -> float:
        return sum(shard.seconds for shard in shards if self._is_published(shard))

    def _is_published(self, shard: Shard) -> bool:
        return is_published(self._run_dir, shard.codec, shard.id)

    def _why_ended(self) -> Exception:
        if self._unusable is None:
            return ProcessLost(self._process.exitcode)
        error = DeviceUnusable(str(self._unusable))
        error.__cause__ = self._unusable
        return error


@contextmanager
def _ctrl_c_stays_here() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, so that it ends them through us alone, and without a traceback."""
    resource_tracker.ensure_running()  # started by the first process, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
