"""`report`: a folder of web pages that shows what a dataset holds and how well detectors do on it."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


def report(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="A run folder, a downloaded dataset, or fakes named CODEC+p225_001.wav."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the pages.", show_default="RUN/report; beside a dataset: DATA-report"),
    ] = None,
    split: options.SplitName = None,
    real: Annotated[
        Path | None,
        typer.Option(help="Folder with the sources of the fakes, where DATA holds none.", show_default=False),
    ] = None,
    detector: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a detector that scored DATA and lies elsewhere; repeatable.", show_default=False
        ),
    ] = None,
    listen: Annotated[
        int, typer.Option(min=0, help="Utterances to listen to, chosen by a fixed seed; 0 for none.")
    ] = 12,
    utterance: Annotated[
        list[str] | None,
        typer.Option(help="Id of one more utterance to listen to; repeatable.", show_default=False),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=0, help="Bootstrap rounds for the 95 % intervals; 0 for none.")
    ] = 1000,
) -> None:
    """Show a dataset, its detectors and its audit in pages that open from disk, and its audio side by side."""
    from codecfake.flows.report.report import ReportRequest, default_folder, make_report
    from codecfake.flows.running import monitored
    from codecfake.flows.summaries import say

    data = data.absolute()
    request = ReportRequest(data, split, real, tuple(detector or ()), listen, tuple(utterance or ()), rounds)
    with monitored() as monitor:
        page = make_report(request, (out or default_folder(data)).absolute(), monitor)
    say(f"Open {page}")
