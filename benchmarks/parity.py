"""Every network against its reference implementation, through the official checkpoint format, at full size.

Clone the references into one folder first, each under its own name (AcademiCodec, AudioDec, FunCodec, SpeechTokenizer,
descript-audio-codec, encodec, soundstream-pytorch), and ``pip install einops``; what else they import is not needed.
Weights are random, codebooks spread. Nothing of the references is contained here: their clones are imported.

    python benchmarks/parity.py FOLDER_OF_CLONES
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import record

REFERENCES = (
    ("soundstream", "soundstream-pytorch"),
    ("seanet", "SpeechTokenizer"),
    ("seanet", "FunCodec"),
    ("seanet", "encodec"),
    ("audiodec", "AudioDec"),
    ("hificodec", "AcademiCodec"),
    ("dac", "descript-audio-codec"),
    ("freqcodec", "FunCodec"),
)
"""Scripts of ``references`` with the clone that each takes."""


def run(script: str, clone: Path) -> list[dict]:
    """Compare in a process of its own: the references' modules have clashing names."""
    path = Path(__file__).resolve().parent / "references" / f"{script}.py"
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, str(path), str(clone), scratch], stdout=subprocess.PIPE, text=True, check=True
        )
    commit = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    about = {"reference": clone.name, "commit": commit.stdout.strip()}
    return [json.loads(line) | about for line in done.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clones", type=Path)
    arguments = parser.parse_args()
    environment = record.environment()
    environment["command"] = "python benchmarks/parity.py FOLDER_OF_CLONES"
    results = []
    for script, name in REFERENCES:
        results += run(script, arguments.clones / name)
        print(results[-1], flush=True)
    lines = [
        "# Networks against their reference implementations",
        "",
        "Full published size, random weights with spread codebooks, saved in the official checkpoint format and read",
        "by the adapter; single precision on one core. Difference: largest, relative to the reference's peak. Time:",
        "ours relative to the reference's, processor time, medians of three.",
        "",
        "| codec | reference | seconds | codes that differ | waveform difference | time |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['codec']} | {row['reference']} {row['commit']} | {row['seconds']:g} "
        f"| {row['codes_different']:.2%} | {row['waveform_difference']:.1e} | {row['time_ratio']:.2f} |"
        for row in results
    ]
    record.write_result("parity", {"environment": environment, "results": results}, "\n".join(lines))


if __name__ == "__main__":
    main()
