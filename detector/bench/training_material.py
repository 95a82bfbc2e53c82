"""What training is measured on: audio of two domains, or their cached features, and a training that has just begun."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from codecfake.codec_adapters.host_memory import keep_freed_memory
from codecfake.detector.bench.material import front_end_of, write_trials
from codecfake.detector.descriptions import describe
from codecfake.detector.feature_cache import CachedFeatures, FeatureCache
from codecfake.detector.feature_computing import compute_shards
from codecfake.detector.feature_shards import FILES_FILE, shard_count
from codecfake.detector.front_ends.encoders import TINY
from codecfake.detector.loading import CropLoader
from codecfake.detector.model import build_network
from codecfake.detector.training.config import TrainConfig
from codecfake.detector.training.domains import JoinedSources
from codecfake.detector.training.processes import Processes
from codecfake.detector.training.run import make_plan
from codecfake.detector.training.step import TrainingStep
from codecfake.detector.trials import TrialList
from codecfake.manifests.atomic import publish_json
from codecfake.manifests.stage_clock import StageClock

DOMAINS = {"codec": 7, "vocoder": 2}
"""Batches that each holds; CSAM draws every batch from both."""


@dataclass(frozen=True)
class Material:
    """What all sides train on."""

    domains: list[TrialList]
    caches: list[Path]
    """Folders with the features of each domain, where those are read."""
    model: str
    device: str
    weights: str
    config: TrainConfig

    def new_step(self, *, as_published: bool = False) -> TrainingStep:
        """A training that has just begun; ``as_published`` is that of `front_end_of`."""
        if not as_published:
            keep_freed_memory()
        torch.manual_seed(0)
        network = build_network(describe(self.model, front_end_weights=TINY)).to(self.device).train()
        front_end = None
        if not self.caches:
            front_end = front_end_of(self.model, self.device, self.weights, as_published=as_published)
        return TrainingStep(network, front_end, self.config, Processes(self.device))

    def sources(self, clock: StageClock) -> JoinedSources:
        """Readers of all domains."""
        if not self.caches:
            return JoinedSources([CropLoader(domain, keep=False, clock=clock) for domain in self.domains])
        shape = front_end_of(self.model, "cpu", TINY, as_published=True).output_shape
        caches = [FeatureCache(folder, {"weights_sha256": "", "shape": shape}) for folder in self.caches]
        pairs = zip(self.domains, caches, strict=True)
        return JoinedSources([CachedFeatures(domain, cache, clock) for domain, cache in pairs])

    def batches(self, count: int) -> list[np.ndarray]:
        """Positions of the utterances of so many batches."""
        plan = make_plan([len(domain) for domain in self.domains], self.config, 1)
        return [plan.batch(1 + number // len(plan), number % len(plan)) for number in range(count)]


def prepare(
    folder: Path, model: str, device: str, weights: str, config: TrainConfig, *, cached: bool
) -> Material:
    """Write what is trained on.

    Args:
        folder: An empty folder.
        model: Name of the detector.
        device: Where it is trained.
        weights: Of the front end: "random" (of the published size) or "tiny".
        config: How to train.
        cached: Whether features are read in place of audio.
    """
    domains = [write_trials(folder, name, count * config.batch_size) for name, count in DOMAINS.items()]
    caches = [_write_cache(folder, domain, model) for domain in domains] if cached else []
    return Material(domains, caches, model, device, weights, config)


def _write_cache(folder: Path, trials: TrialList, model: str) -> Path:
    """Write features of small networks: what they are does not change the speed of reading them."""
    cache = folder / f"{trials.name}-cache"
    front_end = front_end_of(model, "cpu", TINY, as_published=True)
    shards = range(shard_count(len(trials)))
    for _ in compute_shards(cache, trials, shards, front_end, torch.device("cpu")):
        pass
    publish_json(cache / FILES_FILE, trials.relative_paths)
    return cache
