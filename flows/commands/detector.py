"""`train`, `score` and `evaluate`."""

from typing import Annotated

import typer

from codecfake.flows.commands import options


def train(
    run: options.RunFolder,
    split: options.SplitName = None,
    name: options.DetectorName = "mel-lcnn",
    epochs: Annotated[int | None, typer.Option(show_default="10")] = None,
    batch_size: Annotated[int | None, typer.Option(show_default="128")] = None,
    seed: Annotated[int | None, typer.Option(show_default="688")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    no_prefect: options.NoPrefect = False,
) -> None:
    """Train Mel-LCNN on a split, or go on with its training; the defaults are the paper's."""
    from codecfake.flows.running import find_split, run_training
    from codecfake.flows.summaries import say

    folder, training = run.absolute(), options.given(epochs=epochs, batch_size=batch_size, seed=seed)
    result = run_training(folder, find_split(run, split), name, training, device, use_prefect=not no_prefect)
    say(
        f"Best epoch {result.best_epoch}: dev loss {result.best_dev_loss:.4f}, "
        f"dev EER {result.best_dev_eer_percent:.3f} %. Detector: {result.detector_dir}"
    )
    say(f"Next: codecfake score {run} --name {name}, then codecfake evaluate {run} --name {name}")


def score(
    run: options.RunFolder,
    name: options.DetectorName = "mel-lcnn",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Score dev and every condition: TSV files with a header, higher means bona fide."""
    from codecfake.flows.running import run_scoring
    from codecfake.flows.summaries import say

    run_scoring(run.absolute(), name, device)
    say(f"Scores: {run / 'detectors' / name / 'scores'}. Next: codecfake evaluate {run} --name {name}")


def evaluate(
    run: options.RunFolder, name: options.DetectorName = "mel-lcnn", json: options.Json = False
) -> None:
    """Print the EER of every condition, and the confusion at the threshold fixed on dev."""
    from codecfake.detector.evaluation import evaluate as evaluate_detector
    from codecfake.flows.summaries import show_evaluation
    from codecfake.flows.tables import show_json

    result = evaluate_detector(run.absolute(), run.absolute() / "detectors" / name)
    if json:
        show_json(result.to_json())
    else:
        show_evaluation(result)
