"""`export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


class Format(StrEnum):
    """The layouts that a split can be written in."""

    TREE = "tree"
    HF = "hf"
    WEBDATASET = "webdataset"
    SHAR = "shar"
    ASVSPOOF = "asvspoof"


def export(
    layout: Annotated[
        Format,
        typer.Argument(
            metavar="FORMAT",
            help="tree (published layout and archives for Zenodo), hf (Parquet and AudioFolder), webdataset, "
            "shar (Lhotse) or asvspoof (protocols).",
        ),
    ],
    run: options.RunFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, or that of a stopped export.")],
    split: options.SplitName = None,
    json: options.Json = False,
) -> None:
    """Write a split for another tool, with dataset card, Croissant metadata and checksums; no audio is re-encoded."""
    from dataclasses import asdict

    from codecfake.flows.running import find_split, monitored
    from codecfake.flows.summaries import say
    from codecfake.flows.tables import show_json
    from codecfake.pipeline.exports.export import export_run

    run, out = run.absolute(), out.absolute()
    with monitored() as monitor:
        report = export_run(run, out, layout.value, find_split(run, split), monitor)
    if json:
        show_json(asdict(report))
        return
    packed = (
        f", {report.packed} packed files with {report.packed_bytes / 1e9:.2f} GB" if report.packed else ""
    )
    state = "Exported" if report.is_new else "Already complete:"
    say(
        f"{state} {report.split} as {report.format}: {report.files:,} audio files, {report.hours:.2f} hours{packed}"
        f"\n{report.folder}: README.md is the dataset card, croissant.json the Croissant metadata"
    )
