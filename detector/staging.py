"""Batches on their way to a device and back: on a GPU beside the network's work, on a CPU in line.

A GPU uploads a batch and computes its features on a stream of its own while the network is at the batch before, and
what the network gives comes back on a third stream. The host waits for results that are a batch old.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")

BATCHES_QUEUED = 2
"""On a GPU, of network runs that are not finished: enough to keep it busy, and memory stays bounded."""


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device; to a GPU through pinned memory, without waiting for the copy."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def staged(
    items: Iterable[Item], stage: Callable[[Item], torch.Tensor], device: torch.device
) -> Iterator[tuple[Item, torch.Tensor]]:
    """Prepare every item for the network; on a GPU one item ahead, by a thread of its own.

    Args:
        items: What is read.
        stage: Gives what the network takes, on the device.
        device: Where the network computes, on its current stream.

    Yields:
        Every item and what ``stage`` gave for it, which the current stream may use.
    """
    if device.type != "cuda":
        for item in items:
            yield item, stage(item)
        return
    iterator, stream, current = iter(items), torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)  # the weights may still be on their way
    running: deque[torch.cuda.Event] = deque()

    def prepare() -> tuple[Item, torch.Tensor, torch.cuda.Event] | None:
        for item in iterator:
            with torch.cuda.stream(stream):
                return item, stage(item), stream.record_event()
        return None

    with ThreadPoolExecutor(1, thread_name_prefix="staging") as worker:
        coming = worker.submit(prepare)
        while (ready := coming.result()) is not None:
            coming = worker.submit(prepare)
            item, tensor, event = ready
            current.wait_event(event)
            tensor.record_stream(current)
            yield item, tensor
            running.append(current.record_event())
            if len(running) > BATCHES_QUEUED:
                running.popleft().synchronize()


def fetched(results: Iterable[tuple[Item, torch.Tensor]]) -> Iterator[tuple[Item, torch.Tensor]]:
    """Bring results to the host; from a GPU when the next one is on its way.

    Args:
        results: Items and tensors, all on one device.

    Yields:
        The same items in the same order, with tensors on the CPU.
    """
    stream: torch.cuda.Stream | None = None
    coming: deque[tuple[Item, torch.Tensor, torch.cuda.Event]] = deque()

    def arrive() -> tuple[Item, torch.Tensor]:
        item, tensor, event = coming.popleft()
        event.synchronize()
        return item, tensor

    for item, tensor in results:
        if tensor.device.type != "cuda":
            yield item, tensor
            continue
        stream = stream or torch.cuda.Stream(tensor.device)
        stream.wait_stream(torch.cuda.current_stream(tensor.device))
        with torch.cuda.stream(stream):
            copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            copy.copy_(tensor, non_blocking=True)
            tensor.record_stream(stream)
            coming.append((item, copy, stream.record_event()))
        if len(coming) > 1:
            yield arrive()
    while coming:
        yield arrive()
