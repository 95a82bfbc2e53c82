"""One table, written as Markdown, CSV, LaTeX and JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from codecfake.manifests.showing import for_markdown, for_terminal

MISSING = "–"
LATEX_SPECIALS = str.maketrans(
    {
        **{char: f"\\{char}" for char in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        MISSING: "--",
    }
)


@dataclass(frozen=True)
class Column:
    """A column for readers, made of one or more cells of a row."""

    title: str
    keys: tuple[str, ...]
    template: str = "{}"
    """How the cells are shown, for ``str.format``; a cell that is None shows the whole column as missing."""

    def show(self, row: Mapping[str, Any]) -> str:
        """Text of this column in a row."""
        cells = [row[key] for key in self.keys]
        return MISSING if any(cell is None for cell in cells) else self.template.format(*cells)


@dataclass(frozen=True)
class Table:
    """Rows of raw cells, and the columns that readers see of them; the first one holds names."""

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Any]]

    def only(self, *titles: str) -> "Table":
        """The same rows with some of the columns."""
        return replace(self, columns=tuple(column for column in self.columns if column.title in titles))

    def texts(self) -> list[list[str]]:
        """The rows as readers see them."""
        return [[column.show(row) for column in self.columns] for row in self.rows]

    def to_markdown(self) -> str:
        """A table of GitHub's Markdown, names left and numbers right."""
        lines = [
            f"| {' | '.join(column.title for column in self.columns)} |",
            "|---" + "|---:" * (len(self.columns) - 1) + "|",
        ]
        lines += [f"| {' | '.join(map(for_markdown, row))} |" for row in self.texts()]
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        """A ``tabular`` with rules of the package booktabs, in a ``table`` with the title as its caption."""

        def line(cells: Sequence[str]) -> str:
            return " & ".join(map(_for_latex, cells)) + r" \\"

        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_for_latex(self.title)}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}",
                r"\toprule",
                line([column.title for column in self.columns]),
                r"\midrule",
                *(line(row) for row in self.texts()),
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def to_csv(self) -> str:
        """All raw cells at full precision, one row per line; what is None is empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]) if self.rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def to_json(self) -> list[dict[str, Any]]:
        """The raw cells, one object per row."""
        return [dict(row) for row in self.rows]


def _for_latex(text: str) -> str:
    """Escape all that LaTeX would obey; an empty line would end the row."""
    return " ".join(for_terminal(text).split()).translate(LATEX_SPECIALS)
