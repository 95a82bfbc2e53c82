"""Size, memory and load time of every network of the presets, at its published size.

Load time is that of a safetensors file of the published network, in the file cache of the system. Each codec runs in
a process of its own. Their speed is measured by `codecfake bench resynthesis`.

    python benchmarks/codecs.py [--codecs F01,F02] [--rounds 3]
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import record
import torch
from safetensors.torch import save_file

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.presets import PRESETS
from codecfake.manifests.measurements import markdown_table, peak_mebibytes


def networks() -> list[str]:
    """One codec id per network of the presets; the others differ in the number of codebooks alone."""
    chosen: dict[object, str] = {}
    for codec_id in (codec for preset in PRESETS.values() for codec in preset):
        checkpoint = find_codec(codec_id).card.checkpoint
        chosen.setdefault(checkpoint and checkpoint.name, codec_id)
    return list(chosen.values())


def save_random(codec_id: str, path: Path) -> int:
    """Write the published network with random weights; gives the number of its parameters and codewords."""
    adapter = find_codec(codec_id)("cpu")
    adapter.load_random()
    tensors = {key: value.contiguous() for key, value in adapter.network.state_dict().items()}
    save_file(tensors, path)
    return sum(value.numel() for value in tensors.values())


def load(codec_id: str, path: Path, rounds: int) -> tuple[float, int]:
    """Median seconds that loading a network takes, and the most memory that this process held, in MiB."""
    torch.set_num_threads(1)
    adapter = find_codec(codec_id)("cpu")
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        adapter.load(path, adapter.card.network)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]), peak_mebibytes()


def measure(codec_id: str, rounds: int) -> dict:
    """Figures of one codec."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        parameters = in_own_process(save_random, codec_id, path)
        seconds, peak = in_own_process(load, codec_id, path, rounds)
    return {
        "codec": codec_id,
        "title": find_codec(codec_id).card.title,
        "million_parameters": round(parameters / 1e6, 2),
        "load_seconds": round(seconds, 2),
        "peak_mebibytes": peak,
    }


def in_own_process(function, *arguments):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codecs", default="")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    environment = record.environment()
    results = []
    for codec_id in [name for name in arguments.codecs.split(",") if name] or networks():
        results.append(measure(codec_id, arguments.rounds))
        print(results[-1], flush=True)
    columns = ("codec", "network", "M parameters and codewords", "load s", "peak MiB")
    table = markdown_table(columns, [list(row.values()) for row in results])
    text = f"""# Networks of the codecs at their published sizes

Loading a safetensors file from the file cache of the system; peak memory is that of a process that does nothing else.

{table}"""
    record.write_result("codecs", {"environment": environment, "results": results}, text)


if __name__ == "__main__":
    main()
