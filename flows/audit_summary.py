"""What a person reads on the terminal when an audit has ended."""

from pathlib import Path

from codecfake.flows.audit import Audit
from codecfake.flows.audit_report import (
    HEADINGS,
    LISTED,
    NAMED_COLUMNS,
    cures,
    named_rows,
    quality_table,
    verdict,
)
from codecfake.flows.summaries import say
from codecfake.flows.tables import show_table


def show_audit(audit: Audit, folder: Path) -> None:
    """Show what was named, what helps, and the quality of each codec.

    Args:
        audit: The findings.
        folder: Where the whole report is.
    """
    for kind, heading in HEADINGS.items():
        if not (found := audit.named(kind)):
            continue
        show_table(heading, NAMED_COLUMNS, named_rows(found[:LISTED]))
        if len(found) > LISTED:
            say(f"  and {len(found) - LISTED:,} more, see audit.md")
        for cure in cures(found):
            say(f"  {cure}")
    quality = quality_table(audit)
    show_table(quality.title, [column.title for column in quality.columns], quality.texts())
    if audit.unreadable:
        say(f"{len(audit.unreadable):,} files could not be read, see audit.md")
    if audit.is_weak:
        say(
            "Warning: some codecs have fewer than ten source utterances, so only what tells all files apart is named."
        )
    say(verdict(audit))
    say(f"Report: {folder / 'audit.md'}")
