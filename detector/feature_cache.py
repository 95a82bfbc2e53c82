"""Features that were computed before, read back in batches in place of audio.

The features are rounded to 16-bit floats, by at most 2**-11 (0.05 %) of each value. Tolerance of the loss, for the
same weights and the same batch: 0.1 % with LCNN, 5 % with AASIST, whose graph pooling keeps the better half of its
nodes and chooses another one where two are nearly equal. Measured on 96 utterances in batches of 16, tiny front end,
24 Adam steps: at most 0.04 % and 4.4 %; the mean loss of the first epoch differed by 0.5 % and 0.2 %. Later the two
trainings drift apart, with AASIST about as far as two whose features differ in the sixth digit, with LCNN further.

Shape legend: B batch, H features, W frames.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.detector.feature_shards import (
    FILES_FILE,
    UTTERANCES_PER_SHARD,
    ShardReader,
    describe_cache,
    missing_shards,
    read_cache_description,
    read_reasons,
    refuse_difference,
    shard_count,
    shard_path,
)
from codecfake.detector.front_ends import WEIGHTS_SHA256
from codecfake.detector.loading import Batch, Unreadable
from codecfake.detector.read_ahead import read_ahead
from codecfake.detector.trials import SplitTrials, TrialList
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.reasons import Reason
from codecfake.manifests.records import read_json_list
from codecfake.manifests.stage_clock import StageClock

if TYPE_CHECKING:
    import torch

SHARDS_OPEN = 256
"""Each takes a file descriptor, of which a process has 1,024 by default."""


class FeatureCache:
    """A complete cache of one split; `open_features` gives it.

    Args:
        folder: The folder of the cache.
        description: Content of its ``cache.json``.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self.folder = folder
        self.weights_sha256: str = description[WEIGHTS_SHA256]
        """Of the front end's weights; "" if it has none."""
        self.shape: tuple[int, int] = tuple(description["shape"])
        """Height and frames of one utterance."""
        paths = read_json_list(folder / FILES_FILE, next_step=f"remove {folder} and make the cache again")
        self.rows: dict[str, int] = {path: row for row, path in enumerate(paths)}
        """Row of each utterance, by its path below the data's folder."""
        self.reasons = read_reasons(folder, range(shard_count(len(paths))))
        """Reason code and message of the unreadable files, by path."""
        self._shard = lru_cache(maxsize=SHARDS_OPEN)(self._open_shard)

    def loader(self, trials: TrialList, clock: StageClock | None = None) -> "CachedFeatures":
        """Read a part of the split from this cache; ``clock`` takes the time of ``read``."""
        return CachedFeatures(trials, self, clock)

    def read_into(self, row: int, features: np.ndarray) -> None:
        """Read one utterance into memory that is there already, shape (H, W), float16, contiguous."""
        shard, place = divmod(row, UTTERANCES_PER_SHARD)
        self._shard(shard).read_into(place, features)

    def _open_shard(self, shard: int) -> ShardReader:
        return ShardReader(shard_path(self.folder, shard))


class CachedFeatures:
    """Reads the features of a trial list in batches; stands in for `CropLoader`.

    Args:
        trials: The trials to read.
        cache: Where their features are.
        clock: Takes the time of ``read``, over all threads.

    Raises:
        CodecfakeError: If the cache does not know one of the trials.
    """

    def __init__(self, trials: TrialList, cache: FeatureCache, clock: StageClock | None = None) -> None:
        self.trials = trials
        self._cache, self._clock = cache, clock or StageClock()
        absent = next((path for path in trials.relative_paths if path not in cache.rows), None)
        if absent is not None:
            raise CodecfakeError(f"{cache.folder} has no features of {absent} ({trials.name})")

    def batches(self, order: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """Read trials in the order given, a few batches ahead of the consumer.

        Args:
            order: Positions in the trial list.
            batch_size: Trials per batch; the last batch may be smaller.

        Returns:
            Batches in order, with features (B, 1, H, W), float16, in place of waves.
        """
        return self.read(order[first : first + batch_size] for first in range(0, len(order), batch_size))

    def read(self, parts: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Read batches whose trials are given one batch after the other, a few batches ahead of the consumer.

        Args:
            parts: Positions in the trial list, batch by batch; a batch may be empty.

        Yields:
            One batch for each. A batch whose files are all unreadable has B = 0.
        """
        for positions, rows, problems in read_ahead(parts, self._empty_rows, self._read):
            readable = [place for place, problem in enumerate(problems) if problem is None]
            features = rows if len(readable) == len(positions) else rows[readable]
            yield Batch(
                positions=[positions[place] for place in readable],
                waves=None,
                unreadable=[problem for problem in problems if problem is not None],
                features=features.unsqueeze(1),
            )

    def _read(self, position: int, features: "torch.Tensor") -> Unreadable | None:
        """The features of one trial; why there are none, if so."""
        path = self.trials.relative_paths[position]
        reason = self._cache.reasons.get(path)
        if reason is not None:
            return Unreadable(self.trials.files[position], Reason(reason[0]), reason[1])
        with self._clock.measure("read"):
            self._cache.read_into(self._cache.rows[path], features.numpy())
        return None

    def _empty_rows(self, count: int) -> "torch.Tensor":
        import torch

        return torch.empty(count, *self._cache.shape, dtype=torch.float16)


def open_features(folder: Path, front_end: Mapping[str, Any], trials: SplitTrials) -> FeatureCache:
    """Open a cache for reading; the front end's weights are not needed.

    Args:
        folder: Folder that ``codecfake features`` wrote.
        front_end: Description of the front end that the features have to be of.
        trials: The split that they have to be of.

    Raises:
        CodecfakeError: If there is no cache, it is of something else (both columns are shown), or not complete.
    """
    description = read_cache_description(folder)
    refuse_difference(folder, description, describe_cache(front_end, trials))
    files = description["utterances"]
    if missing := missing_shards(folder, files):
        raise CodecfakeError(
            f"{folder} is not complete: {len(missing)} of {shard_count(files)} shards are missing",
            cause="codecfake features was stopped",
            next_step="run the same codecfake features command again; it goes on where it stopped",
        )
    return FeatureCache(folder, description)
