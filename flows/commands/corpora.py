"""`corpora check` and `corpora fetch`."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


def check(
    vctk: options.Vctk = None,
    aishell3: options.Aishell3 = None,
    microphone: options.Microphone = None,
    json: options.Json = False,
) -> None:
    """Read every file of the corpora and report counts, quirks and what cannot be used."""
    from codecfake.flows.running import monitored
    from codecfake.flows.tables import show_json, show_table
    from codecfake.pipeline.corpora import list_corpora
    from codecfake.pipeline.corpora.report import CorporaReport
    from codecfake.pipeline.source import inspect

    listings = list_corpora(vctk, aishell3, microphone or "mic1")
    with monitored() as monitor:
        report = CorporaReport.from_source(listings, inspect(listings, monitor))
    if json:
        show_json(report.to_dict())
        return
    for section in report.sections():
        show_table(section.title, section.columns, section.rows)


def fetch(
    name: Annotated[str, typer.Argument(metavar="vctk|aishell3", help="Which corpus.")],
    out: Annotated[Path, typer.Option(help="Folder to download and unpack into.")],
) -> None:
    """Download and unpack a corpus; repeat the command to go on where it stopped."""
    from codecfake.flows.progress import steps_into
    from codecfake.flows.running import monitored
    from codecfake.flows.summaries import say
    from codecfake.pipeline.corpora_fetch import describe_fetch, fetch_corpus

    out = out.absolute()
    for line in describe_fetch(name, out):
        say(line)
    with monitored() as monitor:
        folder = fetch_corpus(name, out, steps_into(monitor))
    say(f"Next: codecfake corpora check --{name} {folder}")
