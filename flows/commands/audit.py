"""`audit`: what tells fakes from bona fide files without listening, and how good the fakes are."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


def audit(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="A run folder, a downloaded dataset, or fakes named CODEC+p225_001.wav."
        ),
    ],
    real: Annotated[
        Path | None,
        typer.Option(help="Folder with the sources of the fakes, where DATA holds none.", show_default=False),
    ] = None,
    split: options.SplitName = None,
    condition: Annotated[
        str | None,
        typer.Option(
            help="Audit a robustness condition of a run, e.g. opus16.", show_default="the files as built"
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Source utterances to measure, chosen by a fixed seed; 0 for all.")
    ] = 2000,
    margin: Annotated[
        float,
        typer.Option(
            min=0, max=50, help="Points below 50 % from which an error rate, with its interval, counts."
        ),
    ] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Bootstrap rounds for the 95 % intervals.")] = 1000,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Folder for the report.", show_default="DATA/audit, or DATA/audit-CONDITION"
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Name the shortcuts of a dataset, such as length, level or sampling rate, and check the quality of its fakes."""
    from codecfake.flows.audit import audit_files
    from codecfake.flows.audit_material import gather
    from codecfake.flows.audit_report import publish_audit
    from codecfake.flows.audit_summary import show_audit
    from codecfake.flows.running import monitored
    from codecfake.flows.tables import show_json

    folder = (out or data / (f"audit-{condition}" if condition else "audit")).absolute()
    with monitored() as monitor:
        material = gather(data, split, real, limit, condition)
        result, measured = audit_files(data.absolute(), material, monitor, margin=margin, rounds=rounds)
        publish_audit(folder, result, measured)
    if json:
        show_json(result.to_json())
    else:
        show_audit(result, folder)
