"""Speed, memory and load time of every codec of the papers at its published size.

Random weights: speed does not depend on their values. Each codec runs in a process of its own. On a CPU a single
utterance runs on one core, as the pipeline runs it, and the batch on one core too; on a GPU the batch is what the
pipeline sends. Load time is that of a safetensors file of the published network, in the file cache of the system.

    python benchmarks/codecs.py [--codecs F01,F02] [--seconds 3] [--rounds 3]
"""

import argparse
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import record
import torch
from safetensors.torch import save_file

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.presets import PRESETS

BATCH = {"cpu": 4, "cuda": 32}


def networks() -> list[str]:
    """One codec id per network of the presets; the others differ in the number of codebooks alone."""
    chosen: dict[object, str] = {}
    for codec_id in (codec for preset in PRESETS.values() for codec in preset):
        checkpoint = find_codec(codec_id).card.checkpoint
        chosen.setdefault(checkpoint and checkpoint.name, codec_id)
    return list(chosen.values())


def seconds_of(work, device: str, rounds: int) -> float:
    """Median wall time of ``work`` after one run to warm up."""
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def measure(codec_id: str, device: str, seconds: float, rounds: int) -> dict:
    """Figures of one codec."""
    torch.set_num_threads(1)
    random = find_codec(codec_id)(device)
    random.load_random()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        save_file({key: value.contiguous() for key, value in random.network.state_dict().items()}, path)
        adapter = find_codec(codec_id)(device)
        load = seconds_of(lambda: adapter.load(path, adapter.card.network), device, 1)
    del random
    samples = adapter.padded_length(int(seconds * adapter.card.sample_rate))
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    wave = torch.from_numpy(noise).to(device)
    batch = wave.expand(BATCH[device], -1).contiguous()
    audio = samples / adapter.card.sample_rate
    with torch.inference_mode():
        single = audio / seconds_of(lambda: adapter.reconstruct(wave[None]), device, rounds)
        batched = len(batch) * audio / seconds_of(lambda: adapter.reconstruct(batch), device, rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {
        "codec": codec_id,
        "title": adapter.card.title,
        "million_parameters": round(
            sum(value.numel() for value in adapter.network.state_dict().values()) / 1e6, 2
        ),
        "device": device,
        "single_times_real_time": round(single, 2),
        "batch": len(batch),
        "batch_times_real_time": round(batched, 2),
        "peak_mebibytes": round(peak),
        "load_seconds": round(load, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codecs", default="")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    environment = record.environment()
    codecs = [name for name in arguments.codecs.split(",") if name] or networks()
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    results = []
    for device in devices:
        for codec_id in codecs:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                work = (codec_id, device, arguments.seconds, arguments.rounds)
                results.append(pool.submit(measure, *work).result())
            print(results[-1], flush=True)
    lines = [
        "# Codecs at their published sizes",
        "",
        f"Utterances of {arguments.seconds:g} s; speed in seconds of audio per second, encoder to decoder, on one",
        "core of the CPU or one GPU. Peak memory is that of the whole process, on a GPU that of the device.",
        "",
        "| codec | network | device | M parameters and codewords | one | batch | peak MiB | load s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['codec']} | {row['title']} | {row['device']} | {row['million_parameters']} "
        f"| {row['single_times_real_time']} | {row['batch_times_real_time']} (of {row['batch']}) "
        f"| {row['peak_mebibytes']:,} | {row['load_seconds']} |"
        for row in results
    ]
    record.write_result("codecs", {"environment": environment, "results": results}, "\n".join(lines))


if __name__ == "__main__":
    main()
