"""Batches drawn from several domains in proportion to their sizes: the sampler of CSAM (arXiv 2405.04880, eq. 5).

Without it a batch of 128 holds 4.2 utterances of ASVspoof 2019 LA on average, often one or seven, and the ascent of SAM
follows the domain that the batch happens to favour.
"""

from collections.abc import Sequence

import numpy as np

from codecfake.detector.training.batch_plans import Permutations


def proportional_counts(sizes: Sequence[int], batch_size: int) -> list[int]:
    """Share a batch among domains in proportion to their sizes, by largest remainders, at least one each.

    Args:
        sizes: Utterances of every domain, each above 0.
        batch_size: Utterances of a batch, at least one per domain and at most all there are.

    Returns:
        Utterances of every domain in a batch; their sum is ``batch_size`` and none exceeds the domain.
    """
    total = sum(sizes)
    if min(sizes) < 1 or not len(sizes) <= batch_size <= total:
        raise ValueError(f"a batch of {batch_size} cannot hold utterances of domains of {list(sizes)}")
    counts = [max(1, batch_size * size // total) for size in sizes]
    while (missing := batch_size - sum(counts)) != 0:
        # How far each domain is below its exact share; a count of one or of the whole domain is a bound.
        lack = [batch_size * size / total - count for size, count in zip(sizes, counts, strict=True)]
        if missing > 0:
            domain = max((d for d in range(len(sizes)) if counts[d] < sizes[d]), key=lack.__getitem__)
            counts[domain] += 1
        else:
            domain = min((d for d in range(len(sizes)) if counts[d] > 1), key=lack.__getitem__)
            counts[domain] -= 1
    return counts


class RatioBatches:
    """Every batch holds the same number of utterances of each domain, and exactly the batch size in all.

    An epoch takes each utterance of the largest domain at most once: it ends when that one cannot fill another batch.
    The others go round: a domain that is exhausted begins again in another order.

    Args:
        sizes: Utterances of every domain.
        batch_size: Utterances per batch; fewer where there are not so many.
        seed: Of the orders.
    """

    def __init__(self, sizes: Sequence[int], batch_size: int, seed: int) -> None:
        self.batch_size = min(batch_size, sum(sizes))
        self.counts = proportional_counts(sizes, self.batch_size)
        self._sizes, self._seed = list(sizes), seed
        self._orders = [Permutations(size) for size in sizes]

    def __len__(self) -> int:
        largest = int(np.argmax(self._sizes))
        return self._sizes[largest] // self.counts[largest]

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Positions of the utterances of one batch, domain after domain."""
        parts, offset = [], 0
        for domain, (size, count) in enumerate(zip(self._sizes, self.counts, strict=True)):
            drawn = np.arange(step * count, (step + 1) * count)
            parts.append(offset + draw(self._orders[domain], drawn, size, (self._seed, epoch, domain)))
            offset += size
        return np.concatenate(parts)

    @property
    def passes(self) -> list[float]:
        """How often an epoch takes each utterance of each domain, on average."""
        return [len(self) * count / size for size, count in zip(self._sizes, self.counts, strict=True)]


def draw(order: Permutations, drawn: np.ndarray, size: int, key: tuple[int, ...]) -> np.ndarray:
    """The utterances at the places ``drawn`` of an endless row of permutations of a domain.

    Args:
        order: The permutations of the domain.
        drawn: Places, shape (N,), int64, ascending.
        size: Utterances of the domain.
        key: Of the first permutation; the number of the permutation is added to it.

    Returns:
        Positions within the domain, shape (N,), int64.
    """
    rounds, places = np.divmod(drawn, size)
    chosen = np.empty_like(drawn)
    for number in np.unique(rounds):
        here = rounds == number
        chosen[here] = order(*key, int(number))[places[here]]
    return chosen
