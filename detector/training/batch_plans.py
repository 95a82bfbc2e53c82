"""Which utterances make which batch: pure functions of seed, epoch and step, so that a training resumes exactly.

Positions count through all domains (data sets) one after the other: the first utterance of the second domain has the
position that is the size of the first.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class BatchPlan(Protocol):
    """The batches of a training. Epochs are counted from 1, steps within an epoch from 0."""

    batch_size: int

    def __len__(self) -> int:
        """Batches per epoch."""

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Positions of the utterances of one batch, over all processes, shape (batch size,), int64."""

    @property
    def passes(self) -> list[float]:
        """How often an epoch takes each utterance of each domain, on average."""


def share(batch: np.ndarray, rank: int, ranks: int) -> np.ndarray:
    """The part of a batch that one of several processes takes: together they take each utterance once.

    Neighbours go to different processes, so where a batch lists domain after domain, each process has its share of
    every domain, rounded up or down.
    """
    return batch[rank::ranks]


class Permutations:
    """Random orders of the utterances of a domain, each a pure function of its key; the latest are remembered.

    Args:
        size: Number of utterances.
        remembered: How many orders are kept.
    """

    def __init__(self, size: int, remembered: int = 2) -> None:
        self._size, self._remembered = size, remembered
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(self, *key: int) -> np.ndarray:
        """The order of a key, shape (size,), int64."""
        if key not in self._known:
            while len(self._known) >= self._remembered:
                del self._known[next(iter(self._known))]
            self._known[key] = np.random.default_rng(key).permutation(self._size)
        return self._known[key]


class ShuffledBatches:
    """All utterances in random order once per epoch, without regard to their domains.

    Args:
        sizes: Utterances of every domain.
        batch_size: Utterances per batch; the last batch of an epoch may be smaller.
        seed: Of the order.
        ranks: Processes that share a batch; a last batch that does not suffice for all of them is left out.
    """

    def __init__(self, sizes: Sequence[int], batch_size: int, seed: int, ranks: int = 1) -> None:
        self.batch_size, self._seed, self._ranks = batch_size, seed, ranks
        self._sizes = list(sizes)
        self._order = Permutations(sum(sizes))

    def __len__(self) -> int:
        full, rest = divmod(sum(self._sizes), self.batch_size)
        return full + (rest >= self._ranks)

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Positions of the utterances of one batch."""
        first = step * self.batch_size
        return self._order(self._seed, epoch)[first : first + self.batch_size]

    @property
    def passes(self) -> list[float]:
        """One of every domain, but for a last batch that was left out."""
        utterances = min(len(self) * self.batch_size, sum(self._sizes))
        return [utterances / sum(self._sizes)] * len(self._sizes)
