"""How far the seven mini codecs differ from processor to processor, pretended by their instruction sets.

One process is given all instructions of this machine, one none beyond AVX2, one none beyond SSE 4.1; torch, oneDNN and
MKL take other routines then, as on an older machine. The runs are compared with the tolerance that the README states.

    python benchmarks/reproducibility.py --vctk VCTK-Corpus-0.92 --aishell3 data_aishell3 [--limit 24]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import record

from codecfake.manifests.measurements import markdown_table

COMMAND = "from codecfake.flows.cli import main; main()"
PRETENDED = {
    "again": {},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "SSE 4.1": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
}
STEPS, FRAMES = 1.0, 5.0
COLUMNS = ("instructions", "codec", "files", "identical", "beyond", "frames beyond %", "largest", "SNR dB")


def codecfake(*arguments: object, environment: dict[str, str]) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


def build(options: argparse.Namespace, out: Path, environment: dict[str, str]) -> None:
    corpora = ("--vctk", options.vctk, "--aishell3", options.aishell3, "--limit", options.limit)
    settings = ("--weights", "mini", "--device", "cpu", "--no-prefect")
    done = codecfake("build", *corpora, *settings, "--out", out, environment=environment)
    if done.returncode:
        raise SystemExit(done.stderr)


def compare(first: Path, second: Path) -> dict[str, Any]:
    tolerance = ("--tolerance", STEPS, "--frames", FRAMES, "--json")
    done = codecfake("compare", first, second, *tolerance, environment={})
    return json.loads(done.stdout)


def rows_of(name: str, comparison: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (name, part["codec"], part["files"], part["identical"], part["beyond"], f"{part['frames_beyond']:.3f}",
         f"{part['largest']:.0f}", "-" if part["lowest_snr"] is None else f"{part['lowest_snr']:.1f}")
        for part in comparison["audio"]
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vctk", type=Path, required=True)
    parser.add_argument("--aishell3", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=24)
    options = parser.parse_args()
    about = record.environment()
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first"
        build(options, first, {})
        results = {}
        for name, environment in PRETENDED.items():
            run = Path(folder) / name
            build(options, run, environment)
            results[name] = compare(first, run)
    rows = [row for name, comparison in results.items() for row in rows_of(name, comparison)]
    verdicts = ", ".join(f"{name}: {'yes' if found['are_same'] else 'no'}" for name, found in results.items())
    text = (
        "# Another processor, pretended by its instructions\n\n"
        f"{options.limit} utterances and the seven mini codecs, against a run with all instructions of this machine. "
        f"Differences are in steps of 16 bits; frames of 20 ms count as beyond where a sample differs by more than "
        f"{STEPS:g}. Within the tolerance ({STEPS:g} step in all but {FRAMES:g} % of the frames of each codec): "
        f"{verdicts}.\n\n{markdown_table(COLUMNS, rows)}"
    )
    kept = {name: {"are_same": found["are_same"], "audio": found["audio"]} for name, found in results.items()}
    record.write_result("reproducibility", {"environment": about, "limit": options.limit, "runs": kept}, text)


if __name__ == "__main__":
    main()
