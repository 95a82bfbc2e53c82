"""What an export format has to say: which files it packs, how one is written, what lies loose beside them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.exports.units import Unit
from codecfake.pipeline.monitor import Monitor

Plan = Callable[[Contents], list[Unit]]
WriteUnit = Callable[[Contents, Path, Unit, Path, Monitor], None]
"""Takes the split, the export, the unit, the temporary path it is written to, and who is told of its files."""
WriteLoose = Callable[[Contents, Path, Monitor], None]


@dataclass(frozen=True)
class Layout:
    """A format that a split can be exported in."""

    plan: Plan | None = None
    """Units in the order they are written in; the same on every call for the same split."""
    write_unit: WriteUnit | None = None
    write_loose: WriteLoose | None = None
    """Writes what is not packed, before the units; a repeated call keeps what is there."""
    loose_audio: Callable[[Contents], Iterable[str]] = lambda contents: ()
    """Paths of the audio that it writes."""
    loose_lists: Callable[[Contents], list[str]] = lambda contents: []
    """Paths of the text files that it writes; the checksums of the export cover them."""
    locations: Callable[[Contents], list[str]] | None = None
    """Where each row lies, when that is not the unit that holds it."""
    companions: Callable[[Unit], list[str]] = lambda unit: []
    """Further files that ``write_unit`` publishes with a unit."""
    configurations: Callable[[Contents], list[dict[str, Any]]] = lambda contents: []
    """``configs`` of the card, for the Hub."""
