"""The front end against the authors' way: the full network, one file at a time, in float32.

Random weights at the published size: speed does not depend on their values. The authors' way (preprocess.py of their
repository) is ``Wav2Vec2FeatureExtractor``, then all 24 layers with every hidden state kept, of which the fifth is
taken. Both ways get the same decoded windows and take turns, each in a process of its own, because the front end also
tells the C library to keep freed memory. The ratio is that of the medians. The features are compared on the way.
On a machine that does other work as well, use --threads 1.

    python benchmarks/front_ends.py [--encoders xls-r-300m,wavlm-large] [--rounds 5] [--utterances 8]
"""

import argparse
import hashlib
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import record
import torch
import transformers
from torch import nn

from codecfake.codec_adapters.host_memory import keep_freed_memory
from codecfake.detector.crops import CROP_SAMPLES
from codecfake.detector.front_ends.cpu_kernels import use_cpu_kernels
from codecfake.detector.front_ends.encoders import ENCODERS, Encoder
from codecfake.detector.front_ends.self_supervised import SelfSupervisedFrontEnd, fold_weight_norm

WAYS = ("authors", "front end")
GPU_WAYS = (*WAYS, "front end, bfloat16")

work: Callable[[], torch.Tensor]
"""Of this process: extract the features of all windows."""


def random_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Random values by tensor name, the same in every process and for every number of layers."""
    state = {}
    for name, values in network.state_dict().items():
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        size = values[0].numel() ** -0.5 if values.ndim > 1 else 0.5
        generator = torch.Generator().manual_seed(seed)
        state[name] = torch.empty(values.shape).uniform_(-1.7 * size, 1.7 * size, generator=generator)
    return state


def prepare(name: str, way: str, device: str, utterances: int, threads: int) -> None:
    """Build one way in this process."""
    global work
    torch.set_num_threads(threads)
    waves = 0.1 * torch.randn(utterances, CROP_SAMPLES, generator=torch.Generator().manual_seed(0))
    encoder = ENCODERS[name]
    build = authors_way if way == "authors" else front_end_way
    extract = build(encoder, device, way)

    def work() -> torch.Tensor:
        features = extract(waves)
        if device == "cuda":
            torch.cuda.synchronize()
        return features


def authors_way(encoder: Encoder, device: str, _way: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """All layers, one file after the other."""
    config = encoder.config_class()(**encoder.config, num_hidden_layers=24, output_hidden_states=True)
    with torch.device("meta"):
        network = getattr(transformers, f"{encoder.class_name}Model")(config)
    network.load_state_dict(random_state(network), assign=True)
    network = network.eval().to(device)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)

    def extract(waves: torch.Tensor) -> torch.Tensor:
        features = []
        for wave in waves:
            values = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_values.to(device)
            with torch.no_grad():
                features.append(network(values).hidden_states[5].cpu())
        return torch.cat(features)

    return extract


def front_end_way(encoder: Encoder, device: str, way: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Ours, with random weights."""
    with torch.device("meta"):
        network = encoder.build()
    network.load_state_dict(random_state(network), assign=True)
    fold_weight_norm(network)
    keep_freed_memory()
    if device == "cpu":
        use_cpu_kernels(network)
    front_end = SelfSupervisedFrontEnd(network, "").to(device)
    front_end.mixed_precision = way == "front end, bfloat16"
    return lambda waves: front_end(waves.to(device))[:, 0].transpose(1, 2).cpu()


def measure() -> tuple[float, float]:
    """Wall and CPU seconds of one extraction."""
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - began_cpu


def features() -> np.ndarray:
    """What this way gives; also warms up."""
    return work().numpy()


def peak_mebibytes() -> int:
    """Of the process, or of the GPU."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


def compare(name: str, device: str, utterances: int, rounds: int, threads: int) -> list[dict]:
    """Measure all ways of one encoder in turns."""
    ways = GPU_WAYS if device == "cuda" else WAYS
    pools = {way: ProcessPoolExecutor(1, mp_context=get_context("spawn")) for way in ways}
    for way, pool in pools.items():
        pool.submit(prepare, name, way, device, utterances, threads).result()
    found = {way: pool.submit(features).result() for way, pool in pools.items()}
    largest = {
        way: np.abs(values - found["authors"]).max() / found["authors"].std() for way, values in found.items()
    }
    times = {way: [] for way in ways}
    for _ in range(rounds):
        for way, pool in pools.items():
            times[way].append(pool.submit(measure).result())
    peaks = {way: pool.submit(peak_mebibytes).result() for way, pool in pools.items()}
    for pool in pools.values():
        pool.shutdown()
    medians = {
        way: [statistics.median(values) for values in zip(*rounds, strict=True)]
        for way, rounds in times.items()
    }
    return [
        {
            "encoder": name,
            "device": device,
            "threads": threads,
            "way": way,
            "utterances": utterances,
            "seconds": [round(wall, 3) for wall, _ in times[way]],
            "cpu_seconds": [round(cpu, 3) for _, cpu in times[way]],
            "utterances_per_second": round(utterances / medians[way][0], 3),
            "ratio": round(medians["authors"][0] / medians[way][0], 2),
            "cpu_ratio": round(medians["authors"][1] / medians[way][1], 2),
            "largest_difference": float(f"{largest[way]:.1e}"),
            "peak_mebibytes": peaks[way],
        }
        for way in ways
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoders", default=",".join(ENCODERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--utterances", type=int, default=8, help="per round; on a GPU eight times as many")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    environment = record.environment()
    results = []
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        utterances = options.utterances * (8 if device == "cuda" else 1)
        for name in options.encoders.split(","):
            results += compare(name, device, utterances, options.rounds, options.threads)
            print(*results[-len(WAYS) :], sep="\n", flush=True)
    lines = [
        "# Front ends: five layers in batches against the full network, one file at a time",
        "",
        f"Windows of {CROP_SAMPLES:,} samples (4.04 s), random weights at the published size,",
        f"{options.threads} threads on the CPU; medians of the rounds, in which the ways take turns. Float32 where",
        "nothing else is said. On a CPU the front end takes four utterances at once, on a GPU 32. The largest",
        "difference from the authors' features is given in units of their standard deviation: on a CPU the front end",
        "sums in another order. The ratio of CPU seconds is the one that other work on the machine distorts least.",
        "",
        "| encoder | device | way | utterances/s | ratio | ratio of CPU seconds | largest difference | peak MiB |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['encoder']} | {row['device']} | {row['way']} | {row['utterances_per_second']:.2f} "
        f"| **{row['ratio']:.2f}** | {row['cpu_ratio']:.2f} | {row['largest_difference']:.1g} "
        f"| {row['peak_mebibytes']:,} |"
        for row in results
    ]
    record.write_result("front_ends", {"environment": environment, "results": results}, "\n".join(lines))


if __name__ == "__main__":
    main()
