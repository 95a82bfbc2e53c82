"""`detector import`."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A released checkpoint, anti-spoofing_feat_model.pt.")
]
Out = Annotated[Path, typer.Option(help="Folder to write the detector to.", show_default=False)]


def import_detector(file: File, out: Out) -> None:
    """Turn a checkpoint of the Codecfake authors into a detector folder, without running what is in it."""
    from codecfake.detector.published_import import import_checkpoint
    from codecfake.flows.summaries import say

    description = import_checkpoint(file, out)
    say(f"{description['model']}, {description['imported']['class']} of {file.name}: {out}")
    for assumption in description["imported"]["assumed"]:
        say(f"Assumed: {assumption}.")
    say(f"Next: codecfake score DATA --detector {out}")
