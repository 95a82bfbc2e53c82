"""How busy the pipeline keeps a device that is as fast as a GPU: a stand-in that sleeps for as long as a network would.

The stand-in needs no core while it "computes", as a GPU does not, and gives back what it is given. Everything else is
real: 48 kHz FLAC is read, checked, decoded and resampled once for three codecs, and 16 kHz WAV is written, flushed,
checked and published. The share of the time that the device is busy is what a GPU of that speed would reach beside
these cores.

    python benchmarks/overlap.py [--speeds 100,200,400,800] [--utterances 1024]
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import record
import soundfile

from codecfake.codec_adapters import find_codec
from codecfake.flows.bench_tables import OVERLAP
from codecfake.pipeline.config import make_config
from codecfake.pipeline.devices import Device, single_threaded_networks
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis import Resynthesis
from codecfake.pipeline.scheduling import BLOCKS_PER_DEVICE, run_in_threads
from codecfake.pipeline.shards import ShardBlock, SourceRow, cut_shards
from codecfake.pipeline.source import corpus_roots, inspect, list_sources

CODECS = ("Y1", "Y2", "Y3")
UTTERANCES_PER_BATCH = 32
UTTERANCES_PER_SHARD = 256
RATE = 48_000
SECONDS = 3.25


class StandIn(find_codec("F01")):
    """A codec at 16 kHz whose network takes its time and changes nothing."""

    times_real_time: float

    def reconstruct(self, waves):
        time.sleep(waves.numel() / self.card.sample_rate / self.times_real_time)
        return waves


def write_speech(root: Path, utterances: int) -> None:
    """Noise under a slow envelope, in the layout of VCTK; as long as speech to decode."""
    rng = np.random.default_rng(0)
    samples = int(SECONDS * RATE)
    wave = 0.1 * rng.standard_normal(samples) * np.abs(np.sin(np.arange(samples) / RATE * 6))
    for index in range(utterances):
        speaker = f"p{225 + index // 400}"
        path = root / "wav48_silence_trimmed" / speaker / f"{speaker}_{index % 400 + 1:03d}_mic1.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave[: samples - index % 40], RATE, subtype="PCM_16")


def measure(rows: list[SourceRow], roots: dict[str, Path], out: Path, speed: float) -> dict:
    """Build all shards of three codecs on a device of ``speed`` times real time."""
    adapters = {}
    for name in CODECS:
        adapters[name] = StandIn()
        adapters[name].card = replace(StandIn.card, id=name)
        adapters[name].times_real_time = speed
    device = Device("cpu", slots=1, batch_size=UTTERANCES_PER_BATCH)
    work = Resynthesis(out, roots, 16_000, device, adapters.__getitem__, Monitor())
    blocks = []
    for number, first in enumerate(range(0, len(rows), UTTERANCES_PER_SHARD)):
        part = rows[first : first + UTTERANCES_PER_SHARD]
        shards = [replace(cut_shards(name, part)[0], id=f"{number:05d}") for name in CODECS]
        blocks.append(ShardBlock(tuple(shards)))
    records: list[dict] = []
    wall, cpu = time.perf_counter(), time.process_time()
    with single_threaded_networks():
        failures = run_in_threads(
            blocks, lambda block: records.extend(work.run_block(block)), Monitor(), BLOCKS_PER_DEVICE
        )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert not failures, failures
    busy = sum(record["stage_seconds"]["network"] for record in records)
    audio = sum(record["source_seconds"] for record in records)
    return {
        "device_times_real_time": speed,
        "busy_percent": round(100 * busy / wall, 1),
        "audio_seconds_per_second": round(audio / wall, 1),
        "cores_used": round(cpu / wall, 2),
        "cpu_milliseconds_per_output": round(1000 * cpu / (len(rows) * len(CODECS)), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speeds", default="100,200,400,800")
    parser.add_argument("--utterances", type=int, default=1024)
    arguments = parser.parse_args()
    environment = record.environment()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_speech(folder / "vctk", arguments.utterances)
        listings = list_sources(make_config({"vctk": folder / "vctk", "out": folder / "unused"}))
        rows = inspect(listings, Monitor()).to_pylist()
        roots = corpus_roots(listings)
        results = []
        for speed in map(float, arguments.speeds.split(",")):
            results.append(measure(rows, roots, folder / f"run-{speed:.0f}", speed))
            print(results[-1], flush=True)
    record.write_result("overlap", {"environment": environment, "rows": results}, OVERLAP.page(results))


if __name__ == "__main__":
    main()
