"""Every command that reads or writes the manifests, on a run of the dataset's full size: seconds and memory.

The files are tiny (0.12 s), so the run needs some 6 GB of disk instead of 100; what grows with the number of files is
as in the full dataset. Each command is a process of its own, typed as a user would. Commands that compute on every
file get Ctrl-C after five minutes: what they read of the manifests is in memory by then.

    python benchmarks/load.py [--files 1058216] [--folder FOLDER]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import record
from small_files import CODECS, Stages, make_corpus, make_wavs, write_shard

from codecfake.flows.bench_tables import LOAD
from codecfake.manifests.labels import Label
from codecfake.pipeline.build import build
from codecfake.pipeline.config import make_config
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shard_store import is_published
from codecfake.pipeline.shards import ShardBlock

FILES = 1_058_216
SPLIT = "published-seed0"
DETECTOR = "random"
"""Its name: not trained."""
COMMAND = "from codecfake.flows.cli import main; main()"
LAUNCHER = """
import json, os, signal, sys, time
began = time.perf_counter()
command = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
stopped = []
def stop(*_):
    stopped.append(os.kill(command, signal.SIGINT))
signal.signal(signal.SIGALRM, stop)
signal.alarm(int(sys.argv[1]))
_, status, used = os.wait4(command, 0)
print(json.dumps({
    "exit": os.waitstatus_to_exitcode(status),
    "ended": "stopped" if stopped else "failed" if status else "done",
    "seconds": round(time.perf_counter() - began, 1),
    "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
    "peak_mebibytes": round(used.ru_maxrss / 1024),
}))
"""
"""A small process between: a child's memory begins with the most that its parent ever had."""
COMMANDS = (
    "status {run}",
    "verify {run}",
    "splits {run} --policy speaker-disjoint --seed 1",
    "evaluate {run} --split published-seed0 --name random",
    "audit {run} --split published-seed0",
    "report {run} --split published-seed0",
    "compare {run} {run}",
    "retry {run}",
    "export asvspoof {run} {out}/asvspoof --split published-seed0",
    "export webdataset {run} {out}/webdataset --split published-seed0",
    "export hf {run} {out}/hf --split published-seed0",
    "export shar {run} {out}/shar --split published-seed0",
    "export tree {run} {out}/tree --split published-seed0",
    "import {run}/splits/published-seed0/Codecfake {out}/imported",
    "train {run} --split published-seed0 --out {out}/detector --no-prefect",
    "features {run} --split published-seed0 --frontend-config tiny --out {out}/features",
    "score {run} --split published-seed0 --name random --out {out}/scores",
    "conditions {run} --split published-seed0 --add noise-snr10 --codecs C1",
)
NO_LIMIT = 0
LIMITS = {"train": 300, "features": 300, "score": 300}
"""Seconds after which a command that computes on every file is stopped."""


def build_run(folder: Path, files: int) -> Path:
    """Build a run whose shards hold noise that no network has seen; everything else is the build's own work."""
    utterances = files // (1 + len(CODECS))
    if not (folder / "corpus").exists():
        make_corpus(folder / "corpus", utterances)
    config = make_config(
        {"aishell3": folder / "corpus", "out": folder / "run", "weights": "mini", "device": "cpu"}
    )
    wavs, stages = make_wavs(files), Stages()

    def write_blocks(_job: Any, blocks: list[ShardBlock], _monitor: Monitor) -> list[str]:
        for block in blocks:
            for shard in block.shards:
                if not is_published(config.out, shard.codec, shard.id):
                    write_shard(config.out, shard, wavs, stages)
        return []

    build(config, Monitor(), write_blocks)
    return config.out


def write_detector(run: Path) -> None:
    """Publish an untrained Mel-LCNN with random scores, higher ones for bona fide: only reading them is measured."""
    from codecfake.detector.descriptions import describe
    from codecfake.detector.model import build_network, publish_detector, publish_weights, read_description
    from codecfake.detector.score_files import score_path
    from codecfake.detector.score_provenance import start_scores
    from codecfake.detector.trials import read_trials

    folder = run / "detectors" / DETECTOR
    trials = read_trials(run, SPLIT)
    description = describe("mel-lcnn") | {"split": SPLIT, "manifest_sha256": trials.digest}
    publish_weights(build_network(description), folder / "untrained.safetensors")
    publish_detector(folder, folder / "untrained.safetensors", description)
    parts = trials.evaluated()
    start_scores(folder / "scores", read_description(folder), trials, parts)
    rng = np.random.default_rng(0)
    for part in parts:
        scores = rng.normal(size=len(part)) + (part.labels == Label.BONA_FIDE)
        lines = [f"{file}\t{score:.6f}\n" for file, score in zip(part.files, scores, strict=True)]
        score_path(folder / "scores", part.name).write_text("filename\tcm-score\n" + "".join(lines))


def measure(command: str) -> dict[str, Any]:
    """Run a command; give its seconds, those of CPU, and the most memory that one of its processes took."""
    limit = LIMITS.get(command.partition(" ")[0], NO_LIMIT)
    argv = [sys.executable, "-c", LAUNCHER, str(limit), sys.executable, "-c", COMMAND, *command.split()]
    answer = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def measure_commands(folder: Path, files: int) -> list[dict[str, Any]]:
    """Build the run, and type every command."""
    run, out, rows = build_run(folder, files), folder / "out", []
    if not (run / "detectors").exists():
        write_detector(run)
    for command in COMMANDS:
        row = {"command": command.format(run="RUN", out="OUT")} | measure(command.format(run=run, out=out))
        print(row, flush=True)
        rows.append(row)
        shutil.rmtree(out, ignore_errors=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--folder", type=Path, help="keeps the run, and is used again; 6 KB per file")
    arguments = parser.parse_args()
    about = record.environment()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        rows = measure_commands(arguments.folder, arguments.files)
    else:
        with tempfile.TemporaryDirectory() as name:
            rows = measure_commands(Path(name), arguments.files)
    record.write_result(
        "load", {"files": arguments.files, "rows": rows, "environment": about}, LOAD.page(rows)
    )


if __name__ == "__main__":
    main()
