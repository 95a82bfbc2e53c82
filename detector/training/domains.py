"""What is trained on: one data set or several, read together, from audio or from cached features.

Shape legend: B batch, T samples, H and W height and width of the features.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from codecfake.detector.loading import Batch, CropLoader
from codecfake.detector.trials import SplitTrials, TrialList
from codecfake.manifests.errors import CodecfakeError


class Source(Protocol):
    """Reads a trial list: a `CropLoader`, or `CachedFeatures`."""

    trials: TrialList

    def read(self, parts: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """One batch for each list of positions."""


@dataclass(frozen=True)
class LabelledBatch:
    """Utterances of all domains, domain after domain; waves or features."""

    labels: torch.Tensor
    """Class indices, shape (B,), int64."""
    waves: torch.Tensor | None
    """Shape (B, T)."""
    features: torch.Tensor | None
    """Shape (B, 1, H, W); float16 where they were read from a cache."""


class JoinedSources:
    """Several sources as one; positions count through all of them.

    Args:
        sources: One for each domain.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = list(sources)
        self.sizes = [len(source.trials) for source in sources]
        self.labels = np.concatenate([source.trials.labels for source in sources])
        self._ends = np.cumsum(self.sizes)

    def files(self, positions: np.ndarray) -> list[str]:
        """Names of the utterances at positions."""
        domains = np.searchsorted(self._ends, positions, side="right")
        starts = self._ends - self.sizes
        return [
            self._sources[domain].trials.files[position - starts[domain]]
            for domain, position in zip(domains, positions, strict=True)
        ]

    def read(self, batches: Iterable[np.ndarray]) -> Iterator[LabelledBatch]:
        """Read batches, a few ahead of the consumer.

        Args:
            batches: Positions of the utterances, batch by batch.

        Yields:
            One batch for each, its utterances grouped by domain and otherwise in the order given.

        Raises:
            CodecfakeError: If a file is unreadable; a training never goes on without it.
        """
        batches = list(batches)
        rows = []
        for source, end, size in zip(self._sources, self._ends, self.sizes, strict=True):
            parts = [batch[(end - size <= batch) & (batch < end)] - (end - size) for batch in batches]
            rows.append(source.read(parts))
        for batch in zip(*rows, strict=True):
            yield self._join(batch)

    def _join(self, parts: Sequence[Batch]) -> LabelledBatch:
        for part, source in zip(parts, self._sources, strict=True):
            if part.unreadable:
                bad = part.unreadable[0]
                raise CodecfakeError(
                    f"{source.trials.name}: cannot read {bad.file} ({bad.reason}): {bad.message}",
                    cause="the file was changed or removed after it was built",
                    next_step=f"codecfake verify {source.trials.root}",
                )
        labels = [
            source.trials.labels[part.positions]
            for part, source in zip(parts, self._sources, strict=True)
            if part.positions
        ]
        return LabelledBatch(
            labels=torch.from_numpy(np.concatenate(labels)),
            waves=_cat([part.waves for part in parts if part.positions]),
            features=_cat([part.features for part in parts if part.positions]),
        )


def _cat(tensors: list[torch.Tensor | None]) -> torch.Tensor | None:
    there = [tensor for tensor in tensors if tensor is not None]
    return there[0] if len(there) == 1 else (torch.cat(there) if there else None)


def open_domains(data: Sequence[Path], split: str | None) -> list[SplitTrials]:
    """Open the data sets to train on.

    Args:
        data: A folder for each.
        split: Name of the split of the first, where that is a run folder with several.

    Raises:
        CodecfakeError: If one is not recognised, or has no train and dev files of both classes.
    """
    from codecfake.detector.sources import open_trials

    domains = [open_trials(folder, split if number == 0 else None) for number, folder in enumerate(data)]
    for domain, folder in zip(domains, data, strict=True):
        if not len(domain.train) or not len(domain.dev):
            raise CodecfakeError(
                f"{folder} ({domain.name}) has {len(domain.train)} train and {len(domain.dev)} dev files",
                cause="it is for evaluation only, or those parts are not there",
                next_step="train on a run folder, the Codecfake download, ASVspoof 2019 LA or ASVspoof 5",
            )
        domain.train.require_both_classes()
        domain.dev.require_both_classes()
    if len({domain.digest for domain in domains}) < len(domains):
        raise CodecfakeError("--with names the data set that is trained on already")
    return domains


@dataclass(frozen=True)
class Data:
    """Train and dev of all data sets, ready to be read."""

    names: list[str]
    """Of the data sets."""
    train: JoinedSources
    dev: JoinedSources
    is_cached: bool
    """Whether features are read instead of audio."""
    weights_sha256: str = ""
    """Of the front end that the cached features come from, if it has weights."""


def read_domains(
    domains: Sequence[SplitTrials], features: Sequence[Path], front_end: Mapping[str, Any]
) -> Data:
    """Prepare reading train and dev.

    Args:
        domains: The data sets.
        features: A folder of cached features for each, or none for reading audio.
        front_end: Description of the front end, which the cache must be of.

    Raises:
        CodecfakeError: If there are not as many folders as data sets, or one is of something else.
    """
    names = [domain.name for domain in domains]
    if not features:
        train = JoinedSources([CropLoader(domain.train, keep=True) for domain in domains])
        dev = JoinedSources([CropLoader(domain.dev, keep=True) for domain in domains])
        return Data(names, train, dev, is_cached=False)
    if len(features) != len(domains):
        raise CodecfakeError(
            f"{len(features)} folders of features for {len(domains)} data sets",
            next_step="give --features once for each data set, in their order, or not at all",
        )
    from codecfake.detector.feature_cache import open_features

    caches = [
        open_features(folder, front_end, domain) for folder, domain in zip(features, domains, strict=True)
    ]
    digests = sorted({cache.weights_sha256 for cache in caches})
    if len(digests) > 1:
        raise CodecfakeError(
            f"the features come from front ends of different weights: {', '.join(digests)}",
            next_step="compute both with the same weights: codecfake features",
        )
    train = JoinedSources([cache.loader(domain.train) for cache, domain in zip(caches, domains, strict=True)])
    dev = JoinedSources([cache.loader(domain.dev) for cache, domain in zip(caches, domains, strict=True)])
    return Data(names, train, dev, is_cached=True, weights_sha256=digests[0])
