"""`compare`: where two runs differ, and by how much."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN1", help="A run folder.")],
    second: Annotated[Path, typer.Argument(metavar="RUN2", help="Another one.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="STEPS",
            help="Take audio for the same that differs by so many steps of 16 bits: 1 between machines.",
            show_default="identical bytes",
        ),
    ] = None,
    frames: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="With --tolerance: 20 ms frames of a codec that may differ by more, as where a code flips.",
        ),
    ] = 5.0,
    json: options.Json = False,
) -> None:
    """Show where two runs differ (exit code 1): settings, utterances, quarantine, splits, conditions, audio, scores.

    How they were made (versions, hardware) is shown and decides nothing; nor do scores, where a tolerance is given.
    """
    from dataclasses import asdict

    from codecfake.detector.score_comparison import compare_detectors
    from codecfake.flows.comparison_summary import show_runs
    from codecfake.flows.running import monitored
    from codecfake.flows.tables import show_json
    from codecfake.pipeline.comparing.audio import Tolerance
    from codecfake.pipeline.comparing.runs import compare_runs

    tolerated = None if tolerance is None else Tolerance(tolerance, frames)
    with monitored() as monitor:
        comparison = compare_runs(first.absolute(), second.absolute(), tolerated, monitor)
        scores = compare_detectors(first, second)
    are_same = comparison.are_same and (tolerated is not None or all(part.are_same for part in scores))
    if json:
        show_json(asdict(comparison) | {"scores": [asdict(part) for part in scores], "are_same": are_same})
    else:
        show_runs(comparison, scores, are_same=are_same)
    if not are_same:
        raise typer.Exit(1)
