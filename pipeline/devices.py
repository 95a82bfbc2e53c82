"""Where networks run, and how many utterances go through at once there."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from codecfake.codec_adapters import CodecAdapter
from codecfake.codec_adapters.base import PreparedWave
from codecfake.codec_adapters.host_memory import keep_freed_memory
from codecfake.codec_adapters.resampling import Wave
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.batches import BatchLimit, make_batches
from codecfake.pipeline.calibration import batch_limit
from codecfake.pipeline.device_pcm import Pcm16
from codecfake.pipeline.provenance import describe_maker
from codecfake.pipeline.shards import SourceRow

if TYPE_CHECKING:
    from codecfake.pipeline.cuda_lane import CudaLane

BONA_FIDE_BATCH = 16
"""Utterances that are read and written together where no network runs."""


class DeviceFault(Exception):
    """The GPU answers nothing any more in this process; no utterance is to blame."""


class Device:
    """A place to run networks, shared by all blocks in progress.

    Args:
        name: As torch names it.
        slots: Network runs at the same time.
        batch_size: Utterances per run at most; absent, a codec says it for a CPU, and a calibration for a GPU.
    """

    def __init__(self, name: str, slots: int, batch_size: int | None = None) -> None:
        self.name = name
        self.maker = describe_maker(name)
        """What decides the last bits of what is made here."""
        self.slots = slots
        self._batch_size = batch_size
        self._free = BoundedSemaphore(slots)
        self._measuring = Lock()
        # To measure for every shard anew would stop the device each time.
        self._limits: WeakKeyDictionary[CodecAdapter, BatchLimit] = WeakKeyDictionary()
        self._lane = _open_lane(name) if self.is_cuda else None

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.name.startswith("cuda")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep networks from running on a GPU beside what is measured in the block."""
        with self._lane.alone() if self._lane else nullcontext():
            yield

    def raise_if_faulty(self) -> None:
        """After a fault of a GPU every further call fails until the process ends.

        Raises:
            DeviceFault: If it is so.
        """
        if not self.is_cuda:
            return
        import torch

        try:
            torch.cuda.synchronize(self.name)
        except RuntimeError as error:
            raise DeviceFault(f"{self.name}: {error}") from error

    def limit(self, adapter: CodecAdapter) -> BatchLimit:
        """How much of a codec's input goes through at once."""
        if self._batch_size is not None:
            return BatchLimit(utterances=self._batch_size)
        if not self._lane:
            return BatchLimit(utterances=adapter.cpu_batch)
        with self._measuring:
            if adapter not in self._limits:
                with self.alone():
                    self._limits[adapter] = batch_limit(adapter, self.name)
            return self._limits[adapter]

    def batches(
        self, utterances: Sequence[SourceRow], adapter: CodecAdapter | None, limit: BatchLimit
    ) -> list[list[SourceRow]]:
        """Group the utterances of a shard into network runs.

        Args:
            utterances: Source rows.
            adapter: The codec; ``None`` for bona fide audio, which needs no network.
            limit: What ``limit`` gave for the codec.
        """
        if adapter is None:
            firsts = range(0, len(utterances), BONA_FIDE_BATCH)
            return [list(utterances[first : first + BONA_FIDE_BATCH]) for first in firsts]
        return make_batches(utterances, adapter, limit)

    def run(
        self, adapter: CodecAdapter, batch: Sequence[PreparedWave], *, as_pcm: bool
    ) -> tuple[list[Wave] | list[Pcm16], float]:
        """Run a codec on a batch, when there is a free slot.

        Args:
            adapter: A codec loaded on this device.
            batch: Utterances that may share a run.
            as_pcm: Whether nothing but rounding follows; a GPU does that itself, and a CPU leaves it to the writer.

        Returns:
            One result per utterance, and the seconds that the network took.
        """
        if self._lane:
            return self._lane.run(adapter, batch, as_pcm=as_pcm)
        with self._free:
            began = time.perf_counter()
            waves = adapter.run(batch)
            return waves, time.perf_counter() - began


def _open_lane(name: str) -> "CudaLane":
    from codecfake.pipeline.cuda_lane import CudaLane

    return CudaLane(name)


def find_devices(name: str) -> list[str]:
    """Settle "auto", and name every device that a build is to use.

    Args:
        name: "auto", "cpu", "cuda" for all GPUs that this process sees, or one of them, such as "cuda:1".

    Raises:
        CodecfakeError: If CUDA is asked for and there is none, or not as many.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return ["cpu"]
    if not count:
        raise CodecfakeError(
            f"--device {name}: this machine offers no CUDA device",
            cause="no NVIDIA driver, or the CPU build of torch is installed",
            next_step="python -c 'import torch; print(torch.version.cuda)' shows the build; or --device cpu",
        )
    found = [f"cuda:{index}" for index in range(count)]
    if name in ("auto", "cuda"):
        return found
    if name not in found:
        raise CodecfakeError(
            f"--device {name}: this machine offers {', '.join(found)}", next_step="nvidia-smi lists the GPUs"
        )
    return [name]


def find_device(name: str) -> Device:
    """Settle "auto", and open one device: of several GPUs the first.

    A CPU runs single-threaded networks side by side; a GPU runs large batches, one after the other.

    Raises:
        CodecfakeError: If CUDA is asked for and there is none.
    """
    import torch

    first = find_devices(name)[0]
    if first == "cpu":
        return Device("cpu", slots=cpu_count())
    # TF32 changes codes, and the fastest convolutions change the last bits from run to run.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return Device(name if ":" in name else "cuda", slots=1)


def cpu_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def single_threaded_networks() -> Iterator[None]:
    """Keep each network run on one core while the block runs; the parallelism is between utterances."""
    import torch

    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
