"""`codecfake verify` on an export: the check, and what a person reads of it."""

from dataclasses import asdict
from pathlib import Path

from codecfake.flows.running import monitored
from codecfake.flows.summaries import LISTED, say
from codecfake.flows.tables import show_json


def verify_export(folder: Path, *, json: bool) -> bool:
    """Check an export and show what was found.

    Args:
        folder: The export.
        json: Whether to print JSON, with every name, instead of text.

    Returns:
        Whether everything is as it was exported.
    """
    from codecfake.pipeline.exports.checking import check_export

    with monitored() as monitor:
        check = check_export(folder, monitor)
    if json:
        show_json(asdict(check) | {"folder": str(folder), "is_whole": check.is_whole})
        return check.is_whole
    say(f"{folder}: {check.listed:,} files of its checksums and {check.loose_audio:,} audio files hashed")
    if check.left_out:
        say(
            f"{check.left_out:,} files are not here whose audio lies in a folder beside: not unpacked, or packed only"
        )
    for path, problem in list(check.damage.items())[:LISTED]:
        say(f"  {path}: {problem}")
    if len(check.damage) > LISTED:
        say(f"  and {len(check.damage) - LISTED:,} more, see --json")
    say(
        "Everything is as it was exported."
        if check.is_whole
        else "This export is not whole. Next: get these files again where you have it from; where you made it, the "
        "same `codecfake export` makes what is gone. Remove what is damaged first."
    )
    return check.is_whole
