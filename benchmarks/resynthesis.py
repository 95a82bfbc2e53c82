"""Resynthesis by the pipeline against a plain loop over files, with the same network, in the same run.

The loop is what a script does: read a file, resample, run the network on all cores, resample, write, next. The
pipeline runs a shard of a build. Both write WAV PCM_16 at 16 kHz; loading the network is in neither time.
Utterances come to the loop in file order, to the pipeline as the full corpora would be cut: a shard of 512 out of
132,277 sorted by length spans some tens of milliseconds.
Networks: the published sizes with random weights (speed does not depend on their values), and the mini ones.

    python benchmarks/resynthesis.py [--rounds 3]
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import record
import soundfile
import torch

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.pipeline.audio import decode, to_pcm16
from codecfake.pipeline.config import make_config
from codecfake.pipeline.devices import find_device, single_threaded_networks
from codecfake.pipeline.espeak_corpora import write_espeak_corpora
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis import Resynthesis
from codecfake.pipeline.scheduling import run_in_threads
from codecfake.pipeline.shards import SourceRow, cut_shards
from codecfake.pipeline.source import corpus_roots, inspect, list_sources
from codecfake.pipeline.weights import find_checkpoint, load_codec

OUTPUT_RATE = 16_000


@dataclass(frozen=True)
class Case:
    codec: str
    weights: str
    """"mini" or "random": published size, random weights."""
    utterances: int


CASES = (
    Case("F04", "random", 48),
    Case("F07", "random", 6),
    Case("F04", "mini", 96),
    Case("F07", "mini", 48),
)


def load(case: Case, device: str) -> CodecAdapter:
    """The adapter of a case, ready to run."""
    if case.weights == "mini":
        return load_codec(case.codec, find_checkpoint(find_codec(case.codec).card, "mini"), device)
    adapter = find_codec(case.codec)(device)
    adapter.load_random()
    return adapter


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


def write_utterances(speech: Path, root: Path, seconds: np.ndarray) -> None:
    """Make a VCTK of synthetic speech with utterances of the lengths given."""
    sources = sorted(speech.rglob("*.flac"))
    for index, length in enumerate(seconds):
        wave, rate = soundfile.read(sources[index % len(sources)], dtype="float32")
        speaker = f"p{225 + index // 400}"
        path = root / "wav48_silence_trimmed" / speaker / f"{speaker}_{index % 400 + 1:03d}_mic1.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.resize(wave, int(length * rate)), rate, subtype="PCM_16")


def read_corpus(root: Path, out: Path) -> tuple[list[SourceRow], dict[str, Path]]:
    """Rows and root of a corpus."""
    listings = list_sources(make_config({"vctk": root, "out": out}))
    return inspect(listings, Monitor()).to_pylist(), corpus_roots(listings)


def measure(case: Case, speech: Path, folder: Path, rounds: int) -> dict:
    """Run both ways, turn about, in a process of its own."""
    rng = np.random.default_rng(0)
    write_utterances(speech, folder / "files", rng.uniform(2.0, 4.5, case.utterances))
    write_utterances(speech, folder / "shard", rng.uniform(3.23, 3.27, case.utterances))
    files, file_roots = read_corpus(folder / "files", folder)
    shard, shard_roots = read_corpus(folder / "shard", folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    adapter = load(case, device)
    out = folder / "plain"
    out.mkdir()
    plain_loop(adapter, file_roots, files[:2], out)
    plain, piped = [], []
    for _ in range(rounds):
        plain.append(plain_loop(adapter, file_roots, files, out))
    for number in range(rounds):
        piped.append(pipeline(adapter, shard_roots, shard, folder / f"run-{number}"))
    file_seconds, shard_seconds = (sum(row["seconds"] for row in rows) for rows in (files, shard))
    plain_speed = [file_seconds / seconds for seconds in plain]
    piped_speed = [shard_seconds / seconds for seconds in piped]
    return {
        "codec": case.codec,
        "weights": case.weights,
        "device": device,
        "utterances": case.utterances,
        "audio_seconds": round(file_seconds, 1),
        "plain_times_real_time": [round(speed, 2) for speed in plain_speed],
        "pipeline_times_real_time": [round(speed, 2) for speed in piped_speed],
        "ratio": round(statistics.median(piped_speed) / statistics.median(plain_speed), 2),
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
        write_espeak_corpora(
            folder / "speech", folder / "unused", mandarin_speakers=0, utterances_per_speaker=4
        )
        results = []
        for index, case in enumerate(CASES):
            # A process each: the memory settings of the pipeline must not help the next plain loop.
            work = (case, folder / "speech", folder / str(index), arguments.rounds)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                results.append(pool.submit(measure, *work).result())
            print(results[-1], flush=True)
    lines = [
        "# Resynthesis: pipeline against a plain loop over files",
        "",
        "The loop takes utterances of 2.0 to 4.5 s in file order. The pipeline takes a shard as the full corpora",
        "have it: sorted by length, so that its utterances differ by 40 ms. Median of each; speed is in seconds of",
        "audio per second.",
        "",
        "| codec | network | device | utterances | plain loop | pipeline | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        size = "published size, random weights" if row["weights"] == "random" else "mini"
        plain, piped = (statistics.median(row[f"{way}_times_real_time"]) for way in ("plain", "pipeline"))
        lines.append(
            f"| {row['codec']} | {size} | {row['device']} | {row['utterances']} | {plain} | {piped} "
            f"| **{row['ratio']}** |"
        )
    record.write_result("resynthesis", {"environment": environment, "results": results}, "\n".join(lines))


if __name__ == "__main__":
    main()
