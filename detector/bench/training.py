"""Training a back end: the steps of ``codecfake train``, the same steps on ready batches, and a loop over files."""

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codecfake.detector.bench.features import read_whole
from codecfake.detector.bench.material import Moment
from codecfake.detector.bench.sides import Round, compare, summary
from codecfake.detector.bench.training_material import Material, prepare
from codecfake.detector.training.config import TrainConfig
from codecfake.detector.training.domains import LabelledBatch
from codecfake.manifests.stage_clock import StageClock

AUDIO, FEATURES = "audio", "features"
BATCH_SIZES = {"cpu": 8, "cuda": 128}


def bench_training(
    model: str,
    device: str,
    *,
    weights: str = "random",
    optimizer: str = "adam",
    source: str = AUDIO,
    seconds: float = 20.0,
) -> dict[str, Any]:
    """Measure how fast a detector is trained.

    Args:
        model: Name of the detector.
        device: As torch names it.
        weights: Of the front end: "random" (of the published size) or "tiny".
        optimizer: One of `codecfake.detector.training.config.OPTIMIZERS`.
        source: "audio", or "features" for a cache of them.
        seconds: What the pipeline should take, in all its rounds together.

    Returns:
        Speeds and ratios of training as ``codecfake train`` does it, of the same steps on ready batches, and of a loop
        that prepares a batch file by file; shares of the stages in percent of the time of all threads, where
        ``network`` is the step (on a GPU without the front end, which runs beside it).
    """
    size = BATCH_SIZES.get(torch.device(device).type, BATCH_SIZES["cpu"])
    config = TrainConfig(model=model, optimizer=optimizer, epochs=1, halve_every=1, batch_size=size)
    with tempfile.TemporaryDirectory() as scratch:
        material = prepare(Path(scratch), model, device, weights, config, cached=source == FEATURES)
        sides = {
            "pipeline": partial(Pipeline, material),
            "bare": partial(Bare, material),
            "loop": partial(Loop, material),
        }
        rounds, peak = compare(sides, size, seconds)
    about = {"model": model, "device": device, "weights": weights, "optimizer": optimizer, "source": source}
    found = summary(rounds, peak)
    step_seconds = round(size / found["utterances_per_second"], 4)
    return {**about, "batch_size": size, "seconds_per_step": step_seconds, **found}


class Pipeline:
    """Steps as ``codecfake train`` takes them."""

    def __init__(self, material: Material) -> None:
        self._material, self._step = material, material.new_step()

    def warm_up(self) -> float:
        """Two steps."""
        size = self._material.config.batch_size
        self.run(size)
        return 1 / self.run(size).speed

    def run(self, utterances: int) -> Round:
        """Train on so many utterances."""
        clock = StageClock()
        sources = self._material.sources(clock)
        device = torch.device(self._material.device)
        batches = self._material.batches(utterances // self._material.config.batch_size)
        moments, began = [], time.perf_counter()
        read = clock.each("wait", sources.read(batches))
        for number, batch in enumerate(self._step.prepared(read)):
            before = Moment(device)
            self._step(batch, 1, number)
            moments.append((before, Moment(device)))
        seconds = time.perf_counter() - began
        network = sum(before.until(after) for before, after in moments)
        return Round(utterances, seconds, {**clock.seconds, "network": network})


class Bare:
    """The same steps on one batch that is on the device."""

    def __init__(self, material: Material) -> None:
        self._material, self._step = material, material.new_step()
        (batch,) = material.sources(StageClock()).read(material.batches(1))
        waves, features = (
            tensor if tensor is None else tensor.to(material.device)
            for tensor in (batch.waves, batch.features)
        )
        self._batch = LabelledBatch(batch.labels.to(material.device), waves, features)

    def warm_up(self) -> float:
        """Two steps."""
        size = self._material.config.batch_size
        self.run(size)
        return 1 / self.run(size).speed

    def run(self, utterances: int) -> Round:
        """Take as many steps as the pipeline."""
        began = time.perf_counter()
        for number in range(utterances // self._material.config.batch_size):
            self._step(self._batch, 1, number)
        if torch.device(self._material.device).type == "cuda":
            torch.cuda.synchronize()
        return Round(utterances, time.perf_counter() - began)


class Loop:
    """What a script does: each file of a batch is read, and its features computed, before the step is taken.

    Features that were computed before lie in a file each, as the authors keep them.
    """

    def __init__(self, material: Material) -> None:
        self._material, self._step = material, material.new_step(as_published=True)
        self._files = material.domains[0].root.parent / "files"
        sizes = [len(domain) for domain in material.domains]
        self._places = [(domain, place) for domain, size in enumerate(sizes) for place in range(size)]
        if material.caches:
            self._files.mkdir()
            everything = [np.array([position]) for position in range(sum(sizes))]
            for position, batch in enumerate(material.sources(StageClock()).read(everything)):
                torch.save(batch.features[0].float(), self._file(position))

    def warm_up(self) -> float:
        """One step."""
        return 1 / self.run(self._material.config.batch_size).speed

    def run(self, utterances: int) -> Round:
        """Take as many steps as the pipeline."""
        batches = self._material.batches(utterances // self._material.config.batch_size)
        labels = np.concatenate([domain.labels for domain in self._material.domains])
        began = time.perf_counter()
        for number, batch in enumerate(batches):
            features = torch.stack(list(self._features(batch)))
            self._step(LabelledBatch(torch.from_numpy(labels[batch]), None, features), 1, number)
        return Round(utterances, time.perf_counter() - began)

    def _features(self, batch: np.ndarray) -> Iterator[torch.Tensor]:
        """Features of each utterance, shape (1, H, W)."""
        for position in batch.tolist():
            if self._material.caches:
                yield torch.load(self._file(position), weights_only=True)
                continue
            domain, place = self._places[position]
            wave = torch.from_numpy(read_whole(self._material.domains[domain].path(place)))
            with torch.no_grad():
                yield self._step.front_end(wave[None].to(self._material.device))[0]

    def _file(self, position: int) -> Path:
        return self._files / f"{position:06d}.pt"
