"""Resynthesis by the pipeline against a plain loop over files, with the same network, in the same run.

The loop is what a script does: read a file, resample, run the network on all cores, resample, write, next. The
pipeline runs the shards of a build. Both write WAV PCM_16 at 16 kHz; loading the network is in neither time.
Networks: the published sizes with random weights (speed does not depend on their values), and the mini ones.

    python benchmarks/resynthesis.py [--rounds 3]
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import record
import soundfile
import torch
from safetensors.torch import save_file

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.codec_adapters.codecs.dac import PUBLISHED_NETWORK
from codecfake.pipeline.audio import decode, to_pcm16
from codecfake.pipeline.config import make_config
from codecfake.pipeline.devices import find_device, single_threaded_networks
from codecfake.pipeline.espeak_corpora import write_espeak_corpora
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis import Resynthesis
from codecfake.pipeline.scheduling import run_in_threads
from codecfake.pipeline.shards import SourceRow, cut_shards
from codecfake.pipeline.source import corpus_roots, inspect, list_sources
from codecfake.pipeline.weights import find_checkpoint, load_codec, mini_folder

OUTPUT_RATE = 16_000


@dataclass(frozen=True)
class Case:
    codec: str
    weights: str
    """"mini" or "random": published size, random weights."""
    utterances: int


CASES = (
    Case("F04", "random", 48),
    Case("F07", "random", 10),
    Case("F04", "mini", 96),
    Case("F07", "mini", 96),
)


def write_random_weights(folder: Path) -> None:
    """Networks of the published sizes."""
    from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

    torch.manual_seed(0)
    networks = {"F04": EncodecModel(EncodecConfig()), "F07": DacModel(DacConfig(**PUBLISHED_NETWORK))}
    for codec_id, network in networks.items():
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, folder / f"{codec_id}.safetensors")


def plain_loop(adapter: CodecAdapter, roots: dict[str, Path], rows: list[SourceRow], out: Path) -> float:
    """Seconds that one file after the other takes."""
    began = time.perf_counter()
    for row in rows:
        wave, rate = decode(roots[row["corpus"]] / row["path"])
        (fake,) = adapter.resynthesize([wave], rate, OUTPUT_RATE)
        soundfile.write(out / f"{row['utterance_id']}.wav", to_pcm16(fake)[0], OUTPUT_RATE, subtype="PCM_16")
    return time.perf_counter() - began


def pipeline(adapter: CodecAdapter, roots: dict[str, Path], rows: list[SourceRow], out: Path) -> float:
    """Seconds that publishing the same files as shards takes."""
    work = Resynthesis(out, roots, OUTPUT_RATE, find_device(adapter.device), lambda _id: adapter, Monitor())
    began = time.perf_counter()
    with single_threaded_networks():
        failures = run_in_threads(cut_shards(adapter.card.id, rows), work.run_shard, work.monitor)
    assert not failures, failures
    return time.perf_counter() - began


def measure(case: Case, corpora: Path, folder: Path, rounds: int) -> dict:
    """Run both ways, turn about."""
    folder.mkdir(exist_ok=True)
    settings = {"vctk": corpora / "vctk", "aishell3": corpora / "aishell3", "out": folder}
    config = make_config(settings | {"limit": case.utterances})
    rows = inspect(list_sources(config), Monitor()).to_pylist()
    roots = corpus_roots(config)
    weights = str(folder.parent / "weights") if case.weights == "random" else "mini"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    adapter = load_codec(case.codec, find_checkpoint(find_codec(case.codec).card, weights), device)
    plain_loop(adapter, roots, rows[:2], folder)
    times = [
        (plain_loop(adapter, roots, rows, folder), pipeline(adapter, roots, rows, folder / f"run-{number}"))
        for number in range(rounds)
    ]
    seconds = sum(row["seconds"] for row in rows)
    ratios = [plain / piped for plain, piped in times]
    return {
        "codec": case.codec,
        "weights": case.weights,
        "device": device,
        "utterances": len(rows),
        "audio_seconds": round(seconds, 1),
        "plain_times_real_time": round(seconds / statistics.median(plain for plain, _ in times), 2),
        "pipeline_times_real_time": round(seconds / statistics.median(piped for _, piped in times), 2),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    environment = record.environment()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_espeak_corpora(folder / "vctk", folder / "aishell3")
        (folder / "weights").mkdir()
        write_random_weights(folder / "weights")
        results = []
        for index, case in enumerate(CASES):
            if case.weights == "mini" and not (mini_folder() / f"{case.codec}.safetensors").is_file():
                continue
            out = folder / str(index)
            out.mkdir()
            results.append(measure(case, folder, out, arguments.rounds))
            print(results[-1], flush=True)
    lines = [
        "# Resynthesis: pipeline against a plain loop over files",
        "",
        "| codec | network | device | utterances | audio s | plain loop, x real time | pipeline, x real time | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        size = "published size, random weights" if row["weights"] == "random" else "mini"
        lines.append(
            f"| {row['codec']} | {size} | {row['device']} | {row['utterances']} | {row['audio_seconds']} | "
            f"{row['plain_times_real_time']} | {row['pipeline_times_real_time']} | **{row['ratio']}** |"
        )
    record.write_result("resynthesis", {"environment": environment, "results": results}, "\n".join(lines))


if __name__ == "__main__":
    main()
