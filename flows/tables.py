"""Printing results: a table for people, JSON for programs, on standard output."""

import json
from collections.abc import Sequence
from typing import Any

from codecfake.manifests.showing import for_json, for_terminal


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; columns of numbers are aligned to the right, whole ones with thousands separators."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(for_terminal(title)), title_justify="left")
    for index, column in enumerate(columns):
        is_number = rows and all(_is_number(row[index]) for row in rows)
        table.add_column(
            Text(for_terminal(column)), justify="right" if is_number else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(for_terminal(_format(cell))) for cell in row))
    Console().print(table)


def show_json(content: Any) -> None:
    """Print JSON; paths become text."""
    from rich.console import Console

    text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
    Console().out(for_json(text), highlight=False)


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def _format(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
