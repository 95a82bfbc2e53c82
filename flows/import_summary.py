"""What a person reads when an import has ended."""

import shlex
from typing import TYPE_CHECKING

from codecfake.flows.summaries import say, show_split

if TYPE_CHECKING:
    from codecfake.pipeline.imports.importing import ImportReport


def show_import(report: "ImportReport") -> None:
    """Show what was taken, what was not, and what may follow."""
    say(
        f"Imported {report.dataset}: {report.files:,} files ({report.hours:.3f} h), {report.linked:,} linked and "
        f"{report.copied:,} copied, in {report.shards_done} shards now and {report.shards_found} before."
    )
    show_split(report.split)
    for note in report.notes:
        say(f"Note: {note}")
    for reason, count in report.problems.items():
        say(f"{count:,} not taken, or not as they are: {reason}")
    if report.problems:
        say(f"They are listed in {report.problems_file}")
    run = shlex.quote(str(report.run_dir))
    say(f"Next: codecfake verify {run}, codecfake train {run}")
