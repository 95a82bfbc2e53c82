"""`codecfake verify` on a downloaded dataset: the check, and what a person reads of it."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.flows.running import monitored
from codecfake.flows.summaries import LISTED, say
from codecfake.flows.tables import show_json, show_table

if TYPE_CHECKING:
    from codecfake.detector.sources.completeness import CompletenessReport
    from codecfake.pipeline.monitor import Monitor


def verify_dataset(data: Path, *, json: bool) -> bool:
    """Check a downloaded dataset and show what was found.

    Args:
        data: The folder.
        json: Whether to print JSON, with every name, instead of tables.

    Returns:
        Whether everything that is distributed is there.

    Raises:
        CodecfakeError: If the folder holds no dataset that is known.
    """
    from codecfake.detector.sources.completeness import check_completeness

    with monitored() as monitor:
        report = check_completeness(data, _count_into(monitor))
        monitor.end()
    if json:
        show_json(asdict(report) | {"is_whole": report.is_whole})
    else:
        show_completeness(data, report)
    return report.is_whole


def _count_into(monitor: "Monitor") -> Callable[[int, int], None]:
    """Turn a monitor into a callback that takes the files done so far and their total, 0 first."""
    seen = 0

    def advance(done: int, total: int) -> None:
        nonlocal seen
        monitor.raise_if_stopped()
        if not done:
            monitor.begin("Opening", total, "files")
        monitor.advance(done - seen)
        seen = done

    return advance


def show_completeness(data: Path, report: "CompletenessReport") -> None:
    """Show what is missing, list by list and by name, and what is known about the dataset."""
    columns = ("list", "files", "published", "missing", "not distributed", "unreadable", "rates in Hz")
    rows = [
        (
            part.name,
            part.trials,
            "?" if part.published is None else f"{part.published:,}",
            len(part.missing),
            len(part.undistributed),
            len(part.unreadable),
            ", ".join(f"{rate} ({files:,})" for rate, files in part.rates.items()),
        )
        for part in report.lists
    ]
    show_table(f"{data}: {report.dataset}", columns, rows)
    for note in report.notes:
        say(f"Note: {note}.")
    if report.absent:
        say(f"Lists that are not here: {', '.join(report.absent)}")
    for part in report.lists:
        _show_names(f"{part.name}: missing", part.missing)
        _show_names(f"{part.name}: unreadable", part.unreadable)
    _show_names("in no list", report.extra)
    for fact in report.facts:
        say(f"Known: {fact}")
    for part in report.lists:
        if part.published is not None and part.trials != part.published:
            say(f"{part.name} has {part.trials:,} trials here, {part.published:,} as published")
    say("Everything that is distributed is here." if report.is_whole else "This dataset is not complete.")


def _show_names(what: str, names: list[str]) -> None:
    for name in names[:LISTED]:
        say(f"  {what}: {name}")
    if len(names) > LISTED:
        say(f"  {what}: and {len(names) - LISTED:,} more, see --json")
