"""What an export is called, what it is, and what to cite: a dataset of our own, or one that was imported."""

from dataclasses import dataclass

from codecfake.pipeline.exports import card_texts
from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.imports.record import REBUILT

PAPERS = {"codecfake-15": (card_texts.CODECFAKE15_PAPER, card_texts.CODECFAKE15_CITATION)}
CODECFAKE = (card_texts.CODECFAKE_PAPER, card_texts.CODECFAKE_CITATION)


@dataclass(frozen=True)
class Identity:
    """What a card and its metadata say of the whole dataset."""

    name: str
    """For programs."""
    title: str
    content: str
    paper: str
    citation: str
    """BibTeX."""


def identify(contents: Contents) -> Identity:
    """Tell what a split is of."""
    if contents.imported is None:
        return Identity(REBUILT, "Codecfake, rebuilt", card_texts.CONTENT, *CODECFAKE)
    dataset, licence = contents.imported.dataset, contents.imported.licence
    exception = card_texts.BUT_FOR_CONDITIONS if contents.settings else ""
    published = card_texts.IMPORTED_CONTENT.format(dataset=dataset, licence=licence, exception=exception)
    content = card_texts.CONTENT if contents.imported.is_rebuilt else published
    return Identity(f"{dataset}-imported", f"{dataset}, imported", content, *PAPERS.get(dataset, CODECFAKE))
