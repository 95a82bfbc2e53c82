"""A day's work in minutes: does a build grow in memory, open files or threads while it goes on?

A workstation GPU at 38 times real time makes the whole dataset, 900 h of audio in 2,072 shards, in a day. Here a build
makes as many shards, with as many tasks in Prefect and as many signs of life of its lock (every ten seconds of that
day), but few and short utterances in each shard, and a codec that computes next to nothing. What is left of a
process's growth is what a day's build would leak.

    python benchmarks/soak.py [--shards 2072]
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import record
import soundfile

from codecfake.codec_adapters import find_codec
from codecfake.flows.bench_tables import SOAK
from codecfake.flows.running import run_build
from codecfake.manifests import leases
from codecfake.pipeline import shards
from codecfake.pipeline.config import make_config

DAY_SECONDS = 86_400
SHARDS = 2_072
CODECS = ("real", "F01")
UTTERANCES_PER_SHARD = 16
RATE = 16_000
SECONDS = 0.6
EXPECTED_SHARDS_PER_SECOND = 20.0
"""On two cores; only decides how fast the clock of the lock runs."""
SAMPLES = 40
WARM_UP = 0.25
"""Share of the shards after which nothing should grow any more."""


def write_corpus(root: Path, utterances: int) -> None:
    """Noise in the layout of AISHELL-3, all of different content."""
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(int(SECONDS * RATE) + utterances)
    for index in range(utterances):
        speaker = f"SSB{index // 400:04d}"
        path = root / "train" / "wav" / speaker / f"{speaker}{index % 400 + 1:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise[index : index + int(SECONDS * RATE)], RATE, subtype="PCM_16")


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def resident_mebibytes(pid: int) -> float:
    """Memory of a process that is its own: what it shares with the files it runs from does not grow."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))
    return int(kibibytes) / 1024


FIGURES = {
    "build_mebibytes": "memory of the build, MiB",
    "server_mebibytes": "memory of its Prefect server, MiB",
    "open_files": "open files",
    "threads": "threads",
    "temporary_files": "temporary files",
    "drafts": "unpublished shards",
}


class Watch:
    """Looks at this process and its children again and again.

    Args:
        run_dir: The run folder, whose published shards tell how far the build is.
        total: Shards of the build.
        temporary: The folder for temporary files.
    """

    def __init__(self, run_dir: Path, total: int, temporary: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self._run_dir, self._total, self._temporary = run_dir, total, temporary
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        step = self._total / SAMPLES
        while not self._ended.wait(0.5):
            done = sum(1 for _ in self._run_dir.glob("shards/*/*/shard.json"))
            if done >= step * (len(self.rows) + 1):
                self.rows.append({"shards": done} | self._figures())

    def _figures(self) -> dict[str, float]:
        here, *others = family(os.getpid())
        return {
            "build_mebibytes": round(resident_mebibytes(here), 1),
            "server_mebibytes": round(sum(resident_mebibytes(pid) for pid in others), 1),
            "open_files": len(list(Path("/proc/self/fd").iterdir())),
            "threads": threading.active_count(),
            "temporary_files": sum(1 for _ in self._temporary.rglob("*")),
            "drafts": sum(1 for _ in self._run_dir.glob("shards/*/.*")),
        }


def growth(rows: list[dict[str, float]], name: str) -> dict[str, float]:
    """Median of the quarter after the warm-up, and of the last quarter."""
    quarter = max(1, len(rows) // 4)
    first = int(WARM_UP * len(rows))
    before = float(np.median([row[name] for row in rows[first : first + quarter]]))
    after = float(np.median([row[name] for row in rows[-quarter:]]))
    return {"second_quarter": before, "last_quarter": after, "change": round(after - before, 1)}


def soak(folder: Path, total: int) -> dict:
    """Build, and give what the watch saw."""
    utterances = total // len(CODECS) * UTTERANCES_PER_SHARD
    write_corpus(folder / "corpus", utterances)
    temporary = folder / "temporary"
    temporary.mkdir()
    tempfile.tempdir = str(temporary)
    leases.REFRESH_SECONDS *= total / EXPECTED_SHARDS_PER_SECOND / DAY_SECONDS
    shards.MINIMUM_UTTERANCES = shards.MAXIMUM_UTTERANCES = UTTERANCES_PER_SHARD
    network = find_codec("F01")
    network.reconstruct = lambda self, waves: waves
    config = make_config(
        {
            "aishell3": folder / "corpus",
            "out": folder / "run",
            "codecs": ["F01"],
            "weights": "mini",
            "device": "cpu",
        }
    )
    watch = Watch(folder / "run", total, temporary)
    began = time.perf_counter()
    try:
        run_build(config, use_prefect=True)
    finally:
        watch.end()
    seconds = time.perf_counter() - began
    return {
        "shards": watch.rows[-1]["shards"],
        "utterances": utterances * len(CODECS),
        "seconds": round(seconds, 1),
        "lock_refreshes_at_most": round(seconds / leases.REFRESH_SECONDS),
        "rows": [{"what": title} | growth(watch.rows, name) for name, title in FIGURES.items()],
        "samples": watch.rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=SHARDS)
    arguments = parser.parse_args()
    about = record.environment()
    with tempfile.TemporaryDirectory() as name:
        result = soak(Path(name), arguments.shards)
    record.write_result("soak", result | {"environment": about}, SOAK.page(result["rows"]))


if __name__ == "__main__":
    main()
