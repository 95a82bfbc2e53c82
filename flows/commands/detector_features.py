"""`features`: compute the features of a front end once and keep them."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


def features(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="A run folder, or a downloaded dataset that `codecfake train` reads."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the cache.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(help="Detector whose front end it is: mel-lcnn, w2v2-lcnn, w2v2-aasist, wavlm-aasist."),
    ] = "w2v2-aasist",
    frontend_config: Annotated[
        str,
        typer.Option(
            help="Weights of the front end: official, tiny (a small random network), or a folder with the files."
        ),
    ] = "official",
    split: options.SplitName = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Cache front-end features (16-bit, memory-mapped); stopped, the same command goes on. Training needs none."""
    from codecfake.detector.descriptions import describe
    from codecfake.detector.feature_writing import write_features
    from codecfake.detector.sources import open_trials
    from codecfake.flows.running import monitored
    from codecfake.flows.summaries import say
    from codecfake.pipeline.devices import find_device

    description = describe(model, front_end_weights=frontend_config)
    trials = open_trials(data, split)
    for text in [*trials.notes, *([description["warning"]] if "warning" in description else [])]:
        say(f"Note: {text}")
    with monitored() as monitor:
        result = write_features(trials, description["front_end"], out, find_device(device).name, monitor.say)
    say(
        f"Features of {result.utterances:,} utterances, {result.gigabytes:,.2f} GB, {result.computed:,} computed now; "
        f"{result.unreadable:,} files could not be read. Cache: {result.folder}"
    )
    weights = "" if frontend_config == "official" else f" --frontend-config {frontend_config}"
    say(f"Next: codecfake train {data} --model {model}{weights} --features {out}")
