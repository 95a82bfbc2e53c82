"""What a person reads about robustness conditions."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.flows.summaries import LISTED, say
from codecfake.flows.tables import show_json, show_table

if TYPE_CHECKING:
    from codecfake.pipeline.conditions.derive import DerivedSetting


def show_settings(*, json: bool) -> None:
    """List the settings, what they take, and why some cannot be made."""
    from codecfake.pipeline.conditions.settings import FAMILIES, LEFT_OUT

    rows = []
    for family in FAMILIES:
        missing = family.unavailable()
        if missing:
            words = missing.replace("\n", "; ")
        else:
            setting = family.make(family.number())
            words = setting.describe if setting else ""
        rows.append(
            {
                "setting": family.example,
                "takes": family.range,
                "what": words,
                "available": not missing,
            }
        )
    rows += [{"setting": name, "takes": "", "what": why, "available": False} for name, why in LEFT_OUT]
    if json:
        show_json(rows)
        return
    show_table(
        "Robustness conditions",
        ("setting", "takes", "what", "available"),
        [list(row.values()) for row in rows],
    )


def show_conditions(run: Path, results: "Sequence[DerivedSetting]", *, split: str | None, json: bool) -> None:
    """Show what was derived and what was left out, and the command that comes next.

    Args:
        run: The run folder.
        results: What its split holds of each setting.
        split: Name of the split where the user gave it.
        json: Whether to print JSON for programs.
    """
    if json:
        show_json([asdict(result) for result in results])
        return
    rows = [
        (name, counts["real"], counts["fake"])
        for result in results
        for name, counts in result.conditions.items()
    ]
    show_table("Robustness conditions", ("condition", "real", "fake"), rows)
    for result in results:
        clipped = f", {result.clipped_files:,} of them clipped" if result.clipped_files else ""
        say(f"{result.setting}: {result.derived:,} files processed, {result.kept:,} were there{clipped}")
        for row in result.quarantined[:LISTED]:
            say(f"  {row['file']}: {row['reason']}: {row['message']}")
        if len(result.quarantined) > LISTED:
            say(f"  and {len(result.quarantined) - LISTED:,} more: add --json")
    named = shlex.join([str(run), *(["--split", split] if split else [])])
    say(f"Next: codecfake score {named}, codecfake evaluate {named}")
