"""The batches that the authors' co-training really drew (github.com/xieyuankun/Codecfake, CSAM.py and main_train.py).

Eq. 5 of arXiv 2405.04880 rounds both shares down, so a group has 123 + 4 = 127 utterances of Codecfake's 740,747 and
ASVspoof 2019 LA's 25,380, and the loader cuts the row of groups into batches of 128: the window slides, and a batch
holds 4 or 5 utterances of the second domain. One pass over the sampler is 5,788 groups, 735,076 utterances, 5,743
batches; its stated length, which ends an epoch, is 11,576 batches, 2.016 passes. The next epoch goes on within the
third pass.
"""

from collections.abc import Sequence

import numpy as np

from codecfake.detector.training.batch_plans import Permutations
from codecfake.detector.training.ratio_batches import draw
from codecfake.manifests.errors import CodecfakeError


class OriginalRatioBatches:
    """``RatioBatches`` with the quirks of the original, for ``--parity original``.

    Args:
        sizes: Utterances of the two domains, the codec domain first.
        batch_size: Utterances per batch; the last batch of a pass is smaller.
        seed: Of the orders; the original does not fix them.

    Raises:
        CodecfakeError: If a domain is so small that its share of a group rounds down to nothing.
    """

    def __init__(self, sizes: Sequence[int], batch_size: int, seed: int) -> None:
        if len(sizes) != 2:
            raise ValueError(f"the original draws from two domains, not {len(sizes)}")
        self.batch_size = batch_size
        # Division first, as there: the rounding of the quotient is part of the original.
        self.counts = [int(size / sum(sizes) * batch_size) for size in sizes]
        if 0 in self.counts:
            raise CodecfakeError(
                f"domains of {sizes[0]} and {sizes[1]} utterances give {self.counts} in a batch of {batch_size}",
                cause="the original rounds both shares down",
                next_step="a larger --batch-size, or leave out --parity original",
            )
        self.groups = -(-max(sizes) // batch_size)
        self.pass_utterances = self.groups * sum(self.counts)
        self.pass_batches = -(-self.pass_utterances // batch_size)
        self._sizes, self._seed = list(sizes), seed
        self._orders = [Permutations(size) for size in sizes]

    def __len__(self) -> int:
        return 2 * self.groups

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Positions of the utterances of one batch, group after group."""
        done, within = divmod((epoch - 1) * len(self) + step, self.pass_batches)
        first = within * self.batch_size
        row = np.arange(first, min(first + self.batch_size, self.pass_utterances))
        group, place = np.divmod(row, sum(self.counts))
        is_second = place >= self.counts[0]
        positions = np.empty_like(row)
        for domain, (here, before) in enumerate(((~is_second, 0), (is_second, self.counts[0]))):
            drawn = group[here] * self.counts[domain] + place[here] - before
            key = (self._seed, done, domain)
            positions[here] = draw(self._orders[domain], drawn, self._sizes[domain], key)
            positions[here] += self._sizes[0] * domain
        return positions

    @property
    def passes(self) -> list[float]:
        """How often an epoch takes each utterance of each domain, on average over the epochs."""
        rounds = len(self) / self.pass_batches
        return [
            rounds * self.groups * count / size for size, count in zip(self._sizes, self.counts, strict=True)
        ]
