"""Our numbers beside the paper's."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codecfake.detector.evaluation.assembling import published_condition
from codecfake.detector.evaluation.paper_tables import PublishedEer, published_eers, published_rows
from codecfake.detector.evaluation.results import Evaluation
from codecfake.detector.evaluation.table import Column, Table
from codecfake.manifests.atomic import publish_json, publish_text
from codecfake.manifests.errors import CodecfakeError

VOCODER_DATA = "asvspoof2019-la"
DATA_OF_NO_ROW = {"asvspoof5", "codecfake-15"}
"""Names of data sets as `open_trials` gives them; a run folder and Codecfake itself have other names."""
IMPORTED_SPLIT = "imported-"
"""What `codecfake import` puts before the name of a data set, for the split that its lists make."""
COMPARISON = "evaluation.against_paper"
"""Name of the published files without their endings."""
COLUMNS = (
    Column("condition", ("condition",)),
    Column("table", ("table",)),
    Column("printed %", ("printed",), "{:.3f}"),
    Column("corrected %", ("corrected",), "{:.3f}"),
    Column("ours %", ("ours",), "{:.3f}"),
    Column("difference", ("difference",), "{:+.3f}"),
)


@dataclass(frozen=True)
class Comparison:
    """A row of the paper beside an evaluation."""

    row: str
    cells: list[PublishedEer]
    ours: dict[str, float]
    """EER in percent by condition or average."""

    def table(self) -> Table:
        """Every cell of the row; ours minus the corrected value, or the printed one where that is right."""
        rows = []
        for cell in self.cells:
            ours = self.ours.get(cell.condition)
            difference = None if ours is None else ours - cell.best_known
            rows.append(asdict(cell) | {"ours": ours, "difference": difference})
        return Table(f"EER against the paper, row {self.row}", COLUMNS, rows)

    def notes(self) -> list[str]:
        """One sentence per remark, with the cells that it is about."""
        about: dict[str, list[str]] = {}
        for cell in self.cells:
            if cell.note:
                about.setdefault(cell.note, []).append(f"{cell.condition} (Table {cell.table})")
        return [f"{', '.join(cells)}: {note}." for note, cells in about.items()]


def compare_with_paper(
    evaluation: Evaluation, row: str | None = None, description: Mapping[str, Any] | None = None
) -> Comparison:
    """Choose the row of the paper that an evaluation belongs to, and put both side by side.

    Args:
        evaluation: The evaluation.
        row: Name of the row; told by the description when not given.
        description: Content of the detector's ``model.json``, where there is one.

    Raises:
        CodecfakeError: If the row is not told, or the paper has no such row; the message lists all rows.
    """
    chosen = row or (row_of(description) if description else None)
    known = published_rows()
    if chosen not in known:
        what = (
            f"the paper has no row {chosen!r}"
            if chosen
            else "which row of the paper this detector is in is not known"
        )
        raise CodecfakeError(what, next_step=f"--row with one of {', '.join(known)}")
    ours = {published_condition(result.condition): result.eer_percent for result in evaluation.conditions}
    return Comparison(chosen, published_eers(chosen), ours | evaluation.averages)


def row_of(description: Mapping[str, Any]) -> str | None:
    """Name of the row of a trained detector; None when its description does not tell, or it is of no row's data."""
    if "model" not in description or "training" not in description:
        return None
    told = [part["name"] for part in description.get("data", [])] or [description.get("split", "")]
    names = {name.removeprefix(IMPORTED_SPLIT) for name in told}
    if names & DATA_OF_NO_ROW:
        return None
    others = names - {VOCODER_DATA}
    task = "vocoder" if not others else "co-trained" if VOCODER_DATA in names else "codec"
    optimizer = description["training"].get("optimizer", "adam")
    return f"{task}/{description['model']}" + ("" if optimizer == "adam" else f"+{optimizer}")


def publish_comparison(folder: Path, comparison: Comparison) -> None:
    """Publish ``evaluation.against_paper.{json,csv,md,tex}``."""
    table, stem = comparison.table(), COMPARISON
    notes = "\n".join(f"- {note}" for note in comparison.notes())
    content = {"row": comparison.row, "cells": table.to_json(), "notes": comparison.notes()}
    publish_json(folder / f"{stem}.json", content)
    publish_text(folder / f"{stem}.csv", table.to_csv())
    publish_text(folder / f"{stem}.md", f"# {table.title}\n\n{table.to_markdown()}\n{notes}\n")
    publish_text(folder / f"{stem}.tex", table.to_latex())
