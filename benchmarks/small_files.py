"""What many files cost: every step of a run that handles files one by one, at several sizes.

The files are tiny (0.12 s), so that what is measured is the cost of a file, not of its audio. Cost per file
should not grow with their number.

Usage: python benchmarks/small_files.py [--files 10000,100000] [--folder FOLDER]
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from record import environment, write_result

from codecfake.manifests.dataset import CodecRecord
from codecfake.manifests.schema import REAL
from codecfake.pipeline.audio import encode_wav
from codecfake.pipeline.config import make_config
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_splits import make_split
from codecfake.pipeline.shard_store import AUDIO, publish_shard, read_items, shard_draft, shard_path
from codecfake.pipeline.shards import Shard, cut_shards
from codecfake.pipeline.source import inspect, list_sources, publish_source
from codecfake.pipeline.status import planned_shards, run_status
from codecfake.pipeline.verification import verify

CODECS = tuple(f"F{number:02d}" for number in range(1, 8))
SAMPLE_RATE = 16_000
SAMPLES = 1_920
UTTERANCES_PER_SPEAKER = 404


class Stages:
    """Files, seconds and CPU seconds of every stage."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}

    @contextmanager
    def stage(self, name: str, files: int) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        row = self.rows.setdefault(name, {"files": 0, "seconds": 0.0, "cpu_seconds": 0.0})
        row["files"] += files
        row["seconds"] += wall
        row["cpu_seconds"] += cpu


def make_wavs(count: int) -> Iterator[bytes]:
    """Yield distinct WAV files: noise with a number in its first samples."""
    noise = np.random.default_rng(0).integers(-9_999, 9_999, SAMPLES).astype(np.int16)
    for index in range(count):
        noise[:2] = index & 0x7FFF, index >> 15
        yield encode_wav(noise, SAMPLE_RATE)


def make_corpus(root: Path, count: int) -> None:
    for index, content in enumerate(make_wavs(count)):
        speaker = f"SSB{index // UTTERANCES_PER_SPEAKER:04d}"
        path = root / "train" / "wav" / speaker / f"{speaker}{index % UTTERANCES_PER_SPEAKER + 1:04d}.wav"
        if index % UTTERANCES_PER_SPEAKER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(content)


def write_shard(run_dir: Path, shard: Shard, wavs: Iterator[bytes], stages: Stages) -> None:
    """Write a shard as resynthesis does, without a network."""
    prefix = "" if shard.codec == REAL else f"{shard.codec}_"
    items: list[dict[str, Any]] = []
    contents = [next(wavs) for _ in shard.utterances]
    with shard_draft(run_dir, shard.codec, shard.id) as draft:
        with stages.stage("write", len(shard.utterances)):
            for source, content in zip(shard.utterances, contents, strict=True):
                name = f"{prefix}{source['utterance_id']}.wav"
                place = shard_path(run_dir, shard.codec, shard.id) / AUDIO / name
                (draft / AUDIO / name).write_bytes(content)
                items.append(
                    {
                        "utterance_id": source["utterance_id"],
                        "codec": shard.codec,
                        "file": name,
                        "path": place.relative_to(run_dir).as_posix(),
                        "reason": None,
                        "message": None,
                        "samples": SAMPLES,
                        "seconds": SAMPLES / SAMPLE_RATE,
                        "sample_rate": SAMPLE_RATE,
                        "source_sha256": source["sha256"],
                        "sha256": hashlib.sha256(content).hexdigest(),
                        "clipped_samples": 0,
                    }
                )
        record = {"source_seconds": shard.seconds, "wall_seconds": 1.0}
        with stages.stage("flush and publish", len(items)):
            publish_shard(draft, run_dir, shard.codec, shard.id, items, record)


def measure(folder: Path, files: int) -> dict[str, dict[str, float]]:
    """Time every stage for a run of ``files`` audio files, an eighth of them bona fide."""
    stages, monitor = Stages(), Monitor()
    utterances = files // (1 + len(CODECS))
    corpus, run_dir = folder / "corpus", folder / "run"
    make_corpus(corpus, utterances)
    config = make_config({"aishell3": corpus, "out": run_dir, "weights": "mini", "device": "cpu"})
    with stages.stage("list the corpora", utterances):
        listings = list_sources(config)
    with stages.stage("inspect: hash and decode", utterances):
        source = inspect(listings, monitor)
    run_dir.mkdir()
    publish_source(source, run_dir / "source.parquet")
    rows, wavs = source.to_pylist(), make_wavs(files)
    for codec in (REAL, *CODECS):
        for shard in cut_shards(codec, rows):
            write_shard(run_dir, shard, wavs, stages)
    with stages.stage("read the items", files):
        items = read_items(run_dir)
    assert items.num_rows == files, items.num_rows
    codecs = {codec: CodecRecord("{}", "0" * 64) for codec in CODECS}
    with stages.stage("split and link the tree", files):
        split = make_split(
            run_dir, source, items, codecs, policy="published", labels=None, seed=0, report=monitor.say
        )
    assert split.tree is not None and split.tree.linked >= files, split.tree
    with stages.stage("status", files):
        status = run_status(config)
    assert status.is_complete
    with stages.stage("verify: store and tree", files):
        report = verify(run_dir, planned_shards(config), monitor)
    assert report.is_whole and report.files == files, report
    return stages.rows


def as_rows(results: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """One row per step, which gives files per second and microseconds of CPU per file by size of the run."""
    steps = next(iter(results.values()))
    return [
        {"step": name} | {size: _rates(stages[name]) for size, stages in results.items()} for name in steps
    ]


def _rates(stage: dict[str, float]) -> dict[str, float]:
    return {
        "files": stage["files"],
        "files_per_second": round(stage["files"] / stage["seconds"]),
        "cpu_microseconds": round(1e6 * stage["cpu_seconds"] / stage["files"], 1),
    }


def describe(rows: list[dict[str, Any]]) -> str:
    sizes = [key for key in rows[0] if key != "step"]
    lines = [
        "# The cost of a file",
        "",
        "Files per second, and microseconds of CPU per file, for runs of so many audio files of 0.12 s, an "
        "eighth of them bona fide (listing and inspecting read those alone). What is measured is the cost of "
        "a file: it should not grow with their number.",
        "",
        "| step | " + " | ".join(f"{int(size):,} files" for size in sizes) + " |",
        "|---|" + "---|" * len(sizes),
    ]
    for row in rows:
        cells = [
            f"{row[size]['files_per_second']:,}/s, {row[size]['cpu_microseconds']:.0f} µs" for size in sizes
        ]
        lines.append(f"| {row['step']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time every step that handles files one by one.")
    parser.add_argument("--files", default="10000,100000", help="sizes of the runs, separated by commas")
    parser.add_argument("--folder", type=Path, help="where the files go for the while; 5 KB each")
    arguments = parser.parse_args()
    about = environment()
    results = {}
    for size in arguments.files.split(","):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            results[size] = measure(Path(folder), int(size))
            print(describe(as_rows(results)), flush=True)
    rows = as_rows(results)
    write_result("small_files", {"rows": rows, "environment": about}, describe(rows))


if __name__ == "__main__":
    main()
