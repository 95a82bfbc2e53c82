"""What all figures share: their colours, their style, and how they are published."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00")
"""Told apart with any colour vision: Okabe and Ito, with a dark yellow."""
STYLE = {"svg.hashsalt": "codecfake", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the one style of all figures: matplotlib would read the settings of the folder one stands in, too."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def publish_figure(folder: Path, name: str, draw: "Callable[[], Figure]") -> None:
    """Publish a figure as PNG and SVG; the same figure gives the same bytes.

    Args:
        folder: Folder to publish into.
        name: Name of the files without their endings.
        draw: Makes the figure.
    """
    with figure_style():
        figure = draw()
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout is found; each format would look for it again
        for suffix in ("png", "svg"):
            with published(folder / f"{name}.{suffix}") as temporary:
                dates = {"Date": None} if suffix == "svg" else {}
                figure.savefig(temporary, format=suffix, dpi=150, metadata=dates)
