"""The paper's four detectors on a run of real clips: from chance to what each condition's EER becomes.

The clips (VCTK and AISHELL-3 in their layouts) lie in a folder beside the checkout; their fakes are made with the mini
networks, and XLS-R and WavLM are small random networks. So the numbers show that training works, and nothing of how
good these detectors are.

    python benchmarks/detector_models.py [--shared ../shared] [--epochs 8]
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import record

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODELS = ("mel-lcnn", "w2v2-lcnn", "w2v2-aasist", "wavlm-aasist")


def codecfake(*arguments: object) -> str:
    """Run a command as a user types it; what it prints on standard output."""
    command = [sys.executable, "-c", "from codecfake.flows.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(model: str, run: Path, epochs: int) -> dict[str, Any]:
    """Train, score and evaluate one detector; its history and its error rates."""
    options = ("--frontend-config", "tiny", "--epochs", epochs, "--batch-size", 16, "--no-prefect")
    codecfake("train", run, "--model", model, *options)
    codecfake("score", run, "--name", model)
    evaluation = json.loads(codecfake("evaluate", run, "--name", model, "--json"))
    with (run / "detectors" / model / "history.csv").open(encoding="utf-8") as file:
        history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return {"history": history, "evaluation": evaluation}


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """Error rates by condition, and the loss on dev by epoch."""
    conditions = [part["condition"] for part in next(iter(results.values()))["evaluation"]["conditions"]]
    epochs = len(next(iter(results.values()))["history"])
    lines = [
        "# The four detectors on real clips",
        "",
        f"| model | {' | '.join(f'EER % {name}' for name in conditions)} |",
        "|---" * (len(conditions) + 1) + "|",
    ]
    for model, found in results.items():
        rates = {part["condition"]: part["eer_percent"] for part in found["evaluation"]["conditions"]}
        lines.append(f"| {model} | {' | '.join(f'{rates[name]:.1f}' for name in conditions)} |")
    lines += [
        "",
        f"| model | {' | '.join(f'dev loss, epoch {epoch + 1}' for epoch in range(epochs))} |",
        "|---" * (epochs + 1) + "|",
    ]
    for model, found in results.items():
        losses = [f"{row['dev_loss']:.3f}" for row in found["history"]]
        lines.append(f"| {model} | {' | '.join(losses)} |")
    lines += [
        "",
        "Chance is an EER of 50 % and a dev loss of 0.693. Few utterances: an EER moves in steps of some per cent.",
        "Front ends other than mel are small random networks, and the fakes are those of the mini networks.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED, help="Folder that holds corpora/.")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    about = record.environment()
    corpora = arguments.shared.absolute() / "corpora"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        sources = ("--vctk", corpora / "VCTK-Corpus-0.92", "--aishell3", corpora / "data_aishell3")
        codecfake("build", *sources, "--out", run, "--weights", "mini", "--no-prefect")
        results = {model: measure(model, run, arguments.epochs) for model in MODELS}
    record.write_result("detector_models", {"environment": about, "models": results}, markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
