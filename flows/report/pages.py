"""The frame that every page of a report shares: templates, navigation and static files."""

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES = {"index": "Overview", "detectors": "Detectors", "audit": "Audit", "listen": "Listen"}
"""What the navigation calls each page."""
HERE = Path(__file__).parent


class Site:
    """A folder of pages that is being written.

    Args:
        folder: Where the pages go; it is made when it is missing.
        heading: What the report is about; part of every page's title.
        warnings: What a reader must know before any number, said at the top of every page.
        pages: The pages that will be there; the navigation links to no other.
    """

    def __init__(
        self,
        folder: Path,
        heading: str = "Codecfake",
        warnings: Sequence[str] = (),
        pages: Sequence[str] = tuple(PAGES),
    ) -> None:
        self.folder = folder
        self._frame = {
            "heading": heading,
            "warnings": list(warnings),
            "navigation": {name: title for name, title in PAGES.items() if name in pages},
        }
        folder.mkdir(parents=True, exist_ok=True)

    def write_page(self, name: str, template: str, /, **context: object) -> None:
        """Write ``NAME.html``.

        Args:
            name: A key of ``PAGES``.
            template: File name of the template, which extends ``base.html``.
            context: What the template shows, escaped. Data for scripts goes through ``|tojson``, which also
                escapes what would end a script; it refuses NaN, which no JSON has.
        """
        text = _environment().get_template(template).render(context, page=name, **self._frame)
        (self.folder / f"{name}.html").write_text(text, encoding="utf-8")

    def copy_static(self) -> None:
        """Copy the style sheets and scripts of all pages into ``static``."""
        shutil.copytree(HERE / "static", self.folder / "static", dirs_exist_ok=True)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "ensure_ascii": False}
    return environment
