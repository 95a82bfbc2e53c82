"""Filling batches row by row in threads, a bounded number of batches ahead of whoever consumes them."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Problem = TypeVar("Problem")

BATCHES_AHEAD = 3
MOST_THREADS = 16
TASKS_PER_THREAD = 2
"""Of one batch: few, because handing over a task takes as long as a tenth of reading a window."""


def read_ahead(
    parts: Iterable[Sequence[int]],
    allocate: "Callable[[int], torch.Tensor]",
    fill: "Callable[[int, torch.Tensor], Problem | None]",
) -> "Iterator[tuple[list[int], torch.Tensor, list[Problem | None]]]":
    """Fill batches in threads.

    Args:
        parts: Positions, batch by batch; a batch may be empty.
        allocate: Gives the memory of a batch of so many rows.
        fill: Fills the row of a position; returns what prevented it, or None. Called by several threads.

    Yields:
        For every batch in order its positions, its rows and what ``fill`` returned for each.
    """
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="reader")
    pending: deque[tuple[list[int], torch.Tensor, list[Future]]] = deque()

    def fill_rows(positions: list[int], rows: "torch.Tensor") -> "list[Problem | None]":
        return [fill(position, row) for position, row in zip(positions, rows, strict=True)]

    def collect() -> "tuple[list[int], torch.Tensor, list[Problem | None]]":
        positions, rows, tasks = pending.popleft()
        return positions, rows, [problem for task in tasks for problem in task.result()]

    try:
        for part in parts:
            positions = [int(position) for position in part]
            rows = allocate(len(positions))
            size = max(1, len(positions) // (TASKS_PER_THREAD * threads))
            tasks = [
                pool.submit(fill_rows, positions[first : first + size], rows[first : first + size])
                for first in range(0, len(positions), size)
            ]
            pending.append((positions, rows, tasks))
            if len(pending) > BATCHES_AHEAD:
                yield collect()
        while pending:
            yield collect()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
