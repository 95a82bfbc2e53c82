"""Training detectors: what CSAM costs beside plain Adam, and our loop beside one that reads a file of features each.

First: a step from audio file to updated weights, front end included, with Adam on shuffled batches and with CSAM on
batches of two domains; turn about, in the same run. The front end has its true size and random weights (speed does not
depend on their values).

Second: SAM on features that were computed before. The authors' loop (github.com/xieyuankun/Codecfake, main_train.py)
reads one file of torch.save per utterance, in float32, through a DataLoader, and its features take a pass over the data
beforehand. Here it is the same kind of loop around the same back end; ours reads the 16-bit cache of
``codecfake features``. The third row is our loop on the fly, which needs no features on disk at all.

    python benchmarks/detector_training.py [--device cuda] [--batch-size 8] [--steps 3] [--rounds 3] [--threads 1]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import record
import soundfile
import torch
from torch import nn

from codecfake.detector.crops import CROP_SAMPLES, SAMPLE_RATE
from codecfake.detector.descriptions import describe
from codecfake.detector.feature_cache import open_features
from codecfake.detector.feature_writing import write_features
from codecfake.detector.front_ends import build_front_end
from codecfake.detector.front_ends.encoders import ENCODERS
from codecfake.detector.front_ends.self_supervised import SelfSupervisedFrontEnd, fold_weight_norm
from codecfake.detector.loading import CropLoader
from codecfake.detector.model import build_network
from codecfake.detector.training.batch_plans import BatchPlan
from codecfake.detector.training.config import TrainConfig
from codecfake.detector.training.domains import JoinedSources, LabelledBatch
from codecfake.detector.training.processes import Processes
from codecfake.detector.training.progress import memory_gib
from codecfake.detector.training.run import make_plan
from codecfake.detector.training.step import TrainingStep
from codecfake.detector.trials import SplitTrials, TrialList

MODELS = ("w2v2-aasist", "w2v2-lcnn", "mel-lcnn")
AUTHORS_WORKERS = 8


def write_trials(folder: Path, name: str, count: int) -> TrialList:
    """Noise of the length of a window; what is heard does not change the speed."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    files = [f"{number:06d}.wav" for number in range(count)]
    for file in files:
        wave = 0.1 * rng.standard_normal(CROP_SAMPLES).astype(np.float32)
        soundfile.write(folder / file, wave, SAMPLE_RATE, subtype="PCM_16")
    return TrialList(name, folder, files, files, np.arange(count) % 2)


def front_end_of(model: str, device: str) -> nn.Module:
    """The front end of a model in its true size; XLS-R with random weights."""
    if model == "mel-lcnn":
        return build_front_end(describe(model)["front_end"], device)
    torch.manual_seed(0)
    encoder = ENCODERS["xls-r-300m"].build()
    fold_weight_norm(encoder)
    return SelfSupervisedFrontEnd(encoder, "").to(device)


def new_step(model: str, optimizer: str, front_end: nn.Module | None, device: str) -> TrainingStep:
    """A training that has just begun."""
    torch.manual_seed(0)
    network = build_network(describe(model, front_end_weights="tiny")).to(device).train()
    config = TrainConfig(model=model, optimizer=optimizer, epochs=1, halve_every=1)
    return TrainingStep(network, front_end, config, Processes(device))


def timed(step: TrainingStep, sources: JoinedSources, plan: BatchPlan, epoch: int, steps: int) -> dict:
    """Wall and processor seconds of some steps, reading included, and the share in which the device waits for data."""
    batches = [plan.batch(epoch, number % len(plan)) for number in range(steps)]
    waiting, wall, processor = 0.0, time.perf_counter(), time.process_time()
    asked = wall
    for number, batch in enumerate(sources.read(batches)):
        waiting += time.perf_counter() - asked
        step(batch, epoch, number)
        asked = time.perf_counter()
    seconds = time.perf_counter() - wall
    return {"wall": seconds, "processor": time.process_time() - processor, "waiting": waiting / seconds}


def compare_steps(model: str, domains: list[TrialList], options: argparse.Namespace) -> dict:
    """Plain against CSAM, on the fly, turn about."""
    front_end = front_end_of(model, options.device)
    sources = JoinedSources([CropLoader(domain, keep=False) for domain in domains])
    trainings = {}
    for optimizer in ("adam", "csam"):
        config = TrainConfig(optimizer=optimizer, batch_size=options.batch_size)
        plan = make_plan(sources.sizes, config, 1)
        trainings[optimizer] = new_step(model, optimizer, front_end, options.device), plan
        timed(trainings[optimizer][0], sources, plan, 1, 1)
    measured = {name: [] for name in trainings}
    for number in range(options.rounds):
        for name, (step, plan) in trainings.items():
            measured[name].append(timed(step, sources, plan, number + 2, options.steps))
    pairs = list(zip(measured["adam"], measured["csam"], strict=True))
    return {
        "model": model,
        "seconds_per_step": {
            name: statistics.median(row["wall"] for row in rows) / options.steps
            for name, rows in measured.items()
        },
        "ratio_wall": statistics.median(sharp["wall"] / plain["wall"] for plain, sharp in pairs),
        "ratio_processor": statistics.median(
            sharp["processor"] / plain["processor"] for plain, sharp in pairs
        ),
        "waiting": statistics.median(row["waiting"] for row in measured["csam"]),
        "memory_gib": memory_gib(torch.device(options.device)),
    }


class FeatureFiles(torch.utils.data.Dataset):
    """One file of torch.save per utterance, shape (1, frames, bands), float32."""

    def __init__(self, folder: Path, labels: np.ndarray) -> None:
        self.paths, self.labels = sorted(folder.glob("*.pt")), labels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        return torch.load(self.paths[place]), int(self.labels[place])


def compare_loops(trials: TrialList, folder: Path, options: argparse.Namespace) -> dict:
    """SAM on precomputed features, file by file and from the cache; and on the fly."""
    front_end = front_end_of("w2v2-aasist", options.device)
    tiny = describe("w2v2-aasist", front_end_weights="tiny")["front_end"]
    none = trials.take([])
    split = SplitTrials("benchmark", "0" * 64, trials, none, {})
    write_features(split, tiny, folder / "cache", options.device, lambda _line: None)
    cached = open_features(folder / "cache", tiny, split).loader(trials)
    (folder / "files").mkdir()
    for batch in cached.batches(range(len(trials)), 1):
        place = folder / "files" / f"{batch.positions[0]:06d}.pt"
        torch.save(batch.features[0].transpose(1, 2).contiguous(), place)
    workers = min(AUTHORS_WORKERS, os.cpu_count() or 1)
    plan = make_plan([len(trials)], TrainConfig(batch_size=options.batch_size), 1)

    def by_files() -> Iterator[LabelledBatch]:
        loader = torch.utils.data.DataLoader(
            FeatureFiles(folder / "files", trials.labels),
            batch_size=options.batch_size,
            shuffle=True,
            num_workers=workers,
        )
        for features, labels in loader:
            yield LabelledBatch(labels=labels, waves=None, features=features.transpose(2, 3))

    def from_cache() -> Iterator[LabelledBatch]:
        return JoinedSources([cached]).read(plan.batch(1, number) for number in range(len(plan)))

    def on_the_fly() -> Iterator[LabelledBatch]:
        source = JoinedSources([CropLoader(trials, keep=False)])
        return source.read(plan.batch(1, number) for number in range(len(plan)))

    speeds: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for name, read in (("files", by_files), ("cache", from_cache), ("on the fly", on_the_fly)):
            step = new_step("w2v2-aasist", "sam", front_end, options.device)
            began = time.perf_counter()
            for number, batch in enumerate(read()):
                step(batch, 1, number)
            speeds.setdefault(name, []).append(len(trials) / (time.perf_counter() - began))
    sizes = {
        name: sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file()) / len(trials)
        for name in ("files", "cache")
    }
    return {
        "utterances": len(trials),
        "workers": workers,
        "utterances_per_second": {name: statistics.median(values) for name, values in speeds.items()},
        "bytes_per_utterance": {name: round(size) for name, size in sizes.items()},
    }


def markdown(steps: list[dict], loops: dict, options: argparse.Namespace) -> str:
    """The numbers for a reader."""
    lines = [
        "# Training detectors",
        "",
        f"## A step of CSAM beside a step of Adam, on {options.device} ({options.threads} threads), "
        f"batches of {options.batch_size}",
        "",
        "From audio file to updated weights; the front end runs once per batch in both. Medians of "
        f"{options.rounds} rounds of {options.steps} steps, turn about.",
        "",
        "| model | Adam, s per step | CSAM, s per step | ratio | ratio of processor time | waiting for audio | GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['model']} | {row['seconds_per_step']['adam']:.3f} | {row['seconds_per_step']['csam']:.3f} "
        f"| **{row['ratio_wall']:.2f}** | {row['ratio_processor']:.2f} | {row['waiting']:.0%} "
        f"| {row['memory_gib']:.1f} |"
        for row in steps
    ]
    speeds, sizes = loops["utterances_per_second"], loops["bytes_per_utterance"]
    lines += [
        "",
        "Mel-LCNN has no front end to speak of, so its two passes cost what they cost.",
        "",
        f"## W2V2-AASIST with SAM, {loops['utterances']} utterances",
        "",
        "| features | utterances/s | bytes per utterance | for 1,058,216 utterances |",
        "|---|---|---|---|",
        f"| a file each, float32, DataLoader with {loops['workers']} workers (as the authors) "
        f"| {speeds['files']:.1f} | {sizes['files']:,} | {sizes['files'] * 1_058_216 / 1e9:,.0f} GB |",
        f"| our cache, 16 bits | {speeds['cache']:.1f} | {sizes['cache']:,} "
        f"| {sizes['cache'] * 1_058_216 / 1e9:,.0f} GB |",
        f"| on the fly | {speeds['on the fly']:.1f} | 0 | 0 |",
        "",
        f"Ours from the cache to the loop over files: **{speeds['cache'] / speeds['files']:.2f}**. The time that the",
        "first two spend beforehand to compute the features is not in it; on the fly it is.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch, on a CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    environment = record.environment()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sizes = {"codec": 7 * options.batch_size, "vocoder": 2 * options.batch_size}
        domains = [write_trials(folder / name, name, size) for name, size in sizes.items()]
        steps = []
        for model in MODELS:
            steps.append(compare_steps(model, domains, options))
            print(steps[-1], flush=True)
        loops = compare_loops(domains[0], folder, options)
        print(loops)
    result = {"environment": environment, "device": options.device, "steps": steps, "loops": loops}
    record.write_result(f"detector_training_{options.device}", result, markdown(steps, loops, options))


if __name__ == "__main__":
    main()
