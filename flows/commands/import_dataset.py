"""`import`."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


def import_dataset(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="The Codecfake download, or the CodecFake set of fifteen codecs."
        ),
    ],
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A new run folder outside DATA, or that of a stopped import."),
    ],
    json: options.Json = False,
) -> None:
    """Make a run out of a published dataset: its audio linked, or copied to another disk, its lists as a split."""
    from dataclasses import asdict

    from codecfake.flows.import_listing import list_dataset
    from codecfake.flows.import_summary import show_import
    from codecfake.flows.running import monitored
    from codecfake.flows.tables import show_json
    from codecfake.pipeline.imports.importing import import_dataset as import_into

    with monitored() as monitor:
        monitor.say(f"Reading the lists of {data}")
        report = import_into(run.absolute(), list_dataset(data), monitor)
    if json:
        show_json(asdict(report))
    else:
        show_import(report)
