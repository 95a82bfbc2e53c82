"""What every kind of dataset has in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codecfake.detector.trials import SplitTrials


@dataclass(frozen=True)
class Source:
    """A dataset layout: how it is recognised and read, and what is known about it."""

    name: str
    """Name of the dataset, as `SplitTrials` and score folders have it."""
    looked_for: str
    """What makes a folder one of these, for the message when none fits."""
    recognise: Callable[[Path], bool]
    read: Callable[[Path], SplitTrials]
    published_counts: Mapping[str, int] = field(default_factory=dict)
    """Trials per list as published."""
    facts: tuple[str, ...] = ()
    """What a user of the published copy should know."""
    licence: str = ""
    """Under which it is published, where that is known."""
    lists: Callable[[Path], list[Path]] = lambda data: []
    """The text files that list it, in a folder that holds one."""
    undistributed: Mapping[str, str] = field(default_factory=dict)
    """Lists whose bona fide audio is in no published copy, and why."""
