"""Figures of Matplotlib as inline SVG whose colours are those of the page, light or dark."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from codecfake.detector.figures import COLOURS, figure_style

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

LINES = ("#b0b0b0", "#bfbfbf", "#e5e5e5", "#e6e6e6")
"""The greys of grids and guides."""
ROLES = {
    **{colour.lower(): f"var(--series-{index})" for index, colour in enumerate(COLOURS)},
    **dict.fromkeys(LINES, "var(--line)"),
    "#000000": "currentColor",
}


def inline_svg(draw: "Callable[[], Figure]", name: str, description: str) -> "Markup":
    """Draw a figure for a page.

    Args:
        draw: Makes the figure, in the colours of ``detector.figures``.
        name: Unique on the page; it starts every id inside.
        description: What a reader sees who does not see the figure.

    Returns:
        An ``svg`` element that needs no escaping.
    """
    from markupsafe import Markup, escape

    buffer = io.StringIO()
    unstamped = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with figure_style():
        draw().savefig(buffer, format="svg", transparent=True, metadata=unstamped)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would hold for the whole page
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda found: ROLES.get(found[0], found[0]), text)
    label = Markup('<svg role="img" aria-label="{}"').format(escape(description))
    return Markup(text.replace("<svg", str(label), 1))  # nosec B704 # Matplotlib escapes the texts in it
