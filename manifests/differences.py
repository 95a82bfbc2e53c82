"""Two configurations side by side, for refusing to mix them."""

from collections.abc import Mapping


def side_by_side(there: Mapping[str, object], wanted: Mapping[str, object], what: str) -> str:
    """List the settings in which two configurations differ.

    Args:
        there: Settings of what exists.
        wanted: Settings asked for now.
        what: Heading of the first, such as "in the run folder".

    Returns:
        A table of three columns, indented, one line per differing setting; "" if they are equal.
    """
    rows = [
        (name, str(there.get(name, "-")), str(wanted.get(name, "-")))
        for name in sorted(there.keys() | wanted.keys())
        if there.get(name) != wanted.get(name)
    ]
    if not rows:
        return ""
    rows.insert(0, ("setting", what, "asked for now"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"  {name:<{widths[0]}}  {old:<{widths[1]}}  {new}" for name, old, new in rows)
