"""Training detectors: what CSAM costs beside plain Adam.

A step from audio file to updated weights, front end included, with Adam on shuffled batches and with CSAM on batches
of two domains; turn about, in the same run. The front end has its true size and random weights (speed does not depend
on their values). ``codecfake bench train`` measures our loop beside the network alone and beside a loop over files.

    python benchmarks/detector_training.py [--device cuda] [--batch-size 8] [--steps 3] [--rounds 3] [--threads 1]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import record
import torch
from torch import nn

from codecfake.detector.bench.material import front_end_of, write_trials
from codecfake.detector.descriptions import describe
from codecfake.detector.loading import CropLoader
from codecfake.detector.model import build_network
from codecfake.detector.training.batch_plans import BatchPlan
from codecfake.detector.training.config import TrainConfig
from codecfake.detector.training.domains import JoinedSources
from codecfake.detector.training.processes import Processes
from codecfake.detector.training.progress import memory_gib
from codecfake.detector.training.run import make_plan
from codecfake.detector.training.step import TrainingStep
from codecfake.detector.trials import TrialList

MODELS = ("w2v2-aasist", "w2v2-lcnn", "mel-lcnn")


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
    front_end = front_end_of(model, options.device, "random")
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


def markdown(steps: list[dict], options: argparse.Namespace) -> str:
    """The numbers for a reader."""
    lines = [
        f"# A step of CSAM beside a step of Adam, on {options.device} ({options.threads} threads), "
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
    lines += ["", "Mel-LCNN has no front end to speak of, so its two passes cost what they cost."]
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
        domains = [write_trials(folder, name, size) for name, size in sizes.items()]
        steps = []
        for model in MODELS:
            steps.append(compare_steps(model, domains, options))
            print(steps[-1], flush=True)
    result = {"environment": environment, "device": options.device, "steps": steps}
    record.write_result(f"detector_training_{options.device}", result, markdown(steps, options))


if __name__ == "__main__":
    main()
