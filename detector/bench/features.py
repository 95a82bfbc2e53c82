"""Computing features: the pipeline of ``codecfake features``, its network alone, and a loop over files."""

import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codecfake.codec_adapters.resampling import resample, to_mono
from codecfake.detector.bench.material import Timed, front_end_of, write_trials
from codecfake.detector.bench.sides import Round, compare, summary
from codecfake.detector.crops import SAMPLE_RATE, crop_or_tile
from codecfake.detector.feature_computing import BATCH_SIZE, compute_shards
from codecfake.detector.feature_shards import shard_count
from codecfake.detector.loading import CropLoader
from codecfake.detector.trials import TrialList
from codecfake.manifests.stage_clock import StageClock

UNITS = {"cpu": 8, "cuda": BATCH_SIZE}
"""A round is a multiple of so many utterances."""

FILES = 256
"""They are taken again and again; all of them lie in the system's cache of files anyway."""


def bench_features(
    model: str, device: str, *, weights: str = "random", seconds: float = 20.0
) -> dict[str, Any]:
    """Measure how fast the features of a detector are computed and kept.

    Args:
        model: Name of the detector whose front end is measured.
        device: As torch names it.
        weights: "random" (of the published size) or "tiny".
        seconds: What the pipeline should take, in all its rounds together.

    Returns:
        Speeds and ratios of the pipeline (files to published shards), of the bare network on ready batches, and of a
        loop that takes a file at a time; shares of the stages in percent of the time of all threads.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trials = write_trials(Path(scratch), "audio", FILES)
        make = {"pipeline": Pipeline, "bare": Bare, "loop": Loop}
        sides = {name: partial(side, trials, model, device, weights) for name, side in make.items()}
        rounds, peak = compare(sides, UNITS.get(torch.device(device).type, BATCH_SIZE), seconds)
    return {"model": model, "device": device, "weights": weights, **summary(rounds, peak)}


class Pipeline:
    """Files to published shards, as ``codecfake features`` does it."""

    def __init__(self, trials: TrialList, model: str, device: str, weights: str) -> None:
        self._trials, self._device = trials, torch.device(device)
        self._network = Timed(front_end_of(model, device, weights))

    def warm_up(self) -> float:
        """Two units, of which the first has to get all ready."""
        unit = UNITS.get(self._device.type, BATCH_SIZE)
        self.run(unit)
        return 1 / self.run(unit).speed

    def run(self, utterances: int) -> Round:
        """Write a cache, and remove it."""
        folder, clock = Path(tempfile.mkdtemp(dir=self._trials.root.parent)), StageClock()
        trials = self._trials.take(np.arange(utterances) % len(self._trials))
        shards = range(shard_count(utterances))
        began = time.perf_counter()
        for _ in compute_shards(folder, trials, shards, self._network, self._device, clock):
            pass
        seconds = time.perf_counter() - began
        shutil.rmtree(folder)
        return Round(utterances, seconds, {**clock.seconds, "network": self._network.busy_seconds()})


class Bare:
    """The network alone, on batches that are on the device."""

    def __init__(self, trials: TrialList, model: str, device: str, weights: str) -> None:
        self._network = front_end_of(model, device, weights)
        order = np.arange(BATCH_SIZE) % len(trials)
        (batch,) = CropLoader(trials, keep=False).batches(order, BATCH_SIZE)
        self._waves = batch.waves.to(device)

    def warm_up(self) -> float:
        """One batch."""
        return 1 / self.run(BATCH_SIZE).speed

    def run(self, utterances: int) -> Round:
        """Run the network as often as the pipeline does."""
        began = time.perf_counter()
        for first in range(0, utterances, BATCH_SIZE):
            self._network(self._waves[: utterances - first])
        if self._waves.is_cuda:
            torch.cuda.synchronize()
        return Round(utterances, time.perf_counter() - began)


class Loop:
    """What a script does: a file is read, its features are computed and saved, then the next one."""

    def __init__(self, trials: TrialList, model: str, device: str, weights: str) -> None:
        self._trials, self._device = trials, device
        self._network = front_end_of(model, device, weights, as_published=True)

    def warm_up(self) -> float:
        """A few files."""
        self.run(2)
        return 1 / self.run(2).speed

    def run(self, utterances: int) -> Round:
        """Write a file of features for each file of audio, and remove them."""
        folder = Path(tempfile.mkdtemp(dir=self._trials.root.parent))
        began = time.perf_counter()
        for position in range(utterances):
            wave = torch.from_numpy(read_whole(self._trials.path(position % len(self._trials))))
            features = self._network(wave[None].to(self._device))
            np.save(folder / f"{position:06d}.npy", features[0].cpu().numpy())
        seconds = time.perf_counter() - began
        shutil.rmtree(folder)
        return Round(utterances, seconds)


def read_whole(path: Path) -> np.ndarray:
    """Read a file as scripts do, all of it, then cut the window, shape (64600,)."""
    import soundfile

    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return crop_or_tile(resample(to_mono(wave), rate, SAMPLE_RATE))
