"""Where networks run, and how many utterances go through at once there."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from codecfake.codec_adapters import CodecAdapter
from codecfake.codec_adapters.host_memory import keep_freed_memory
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.shards import SourceRow


@dataclass(frozen=True)
class Device:
    """A place to run networks, shared by all shards in progress."""

    name: str
    """As torch names it."""
    slots: int
    """Network runs at the same time."""
    batch_size: int
    """Utterances of equal frame count per run."""
    _free: BoundedSemaphore = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_free", BoundedSemaphore(self.slots))

    @property
    def batch_policy(self) -> str:
        """The policy in words, as it stands in the fingerprint: it decides the last bits of the audio."""
        if self.batch_size == 1:
            return "one utterance per run"
        return f"equal frame counts, at most {self.batch_size}"

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a free slot and hold it."""
        with self._free:
            yield

    def batches(self, utterances: Sequence[SourceRow], adapter: CodecAdapter | None) -> list[list[SourceRow]]:
        """Group the utterances of a shard into network runs, which depend on the shard alone.

        Args:
            utterances: Source rows.
            adapter: The codec; ``None`` for bona fide audio, which needs no network.
        """
        if adapter is None or self.batch_size == 1:
            return [[row] for row in utterances]
        groups = defaultdict(list)
        for row in utterances:
            groups[adapter.frames(row["samples"], row["sample_rate"])].append(row)
        return [
            group[first : first + self.batch_size]
            for group in groups.values()
            for first in range(0, len(group), self.batch_size)
        ]


def find_device(name: str) -> Device:
    """Settle "auto", and the batch policy of the device.

    A CPU runs one utterance per run in single-threaded slots (batching 16 there was measured to be twice as
    slow); a GPU runs batches of equal frame counts, one at a time.

    Raises:
        CodecfakeError: If CUDA is asked for and there is none.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return Device("cpu", slots=cpu_count(), batch_size=1)
    if not torch.cuda.is_available():
        raise CodecfakeError(
            f"--device {name}: this machine offers no CUDA device",
            cause="no NVIDIA driver, or the CPU build of torch is installed",
            next_step="python -c 'import torch; print(torch.version.cuda)' shows the build; or --device cpu",
        )
    # TF32 changes codes, and the fastest convolutions change the last bits from run to run.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return Device(name, slots=1, batch_size=32)


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
