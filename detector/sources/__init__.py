"""The datasets a detector reads; which one a folder holds is told by its layout."""

from pathlib import Path

from codecfake.detector.sources import (
    asvspoof5,
    asvspoof2019,
    asvspoof2021,
    codecfake,
    codecfake15,
    in_the_wild,
    run_folder,
)
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import SplitTrials
from codecfake.manifests.errors import CodecfakeError

SOURCES: tuple[Source, ...] = (
    codecfake.SOURCE,
    asvspoof2019.SOURCE,
    asvspoof2021.SOURCE,
    asvspoof5.SOURCE,
    in_the_wild.SOURCE,
    codecfake15.SOURCE,
)
"""The downloaded datasets, in the order in which they are tried."""


def open_trials(data: Path, split: str | None = None) -> SplitTrials:
    """Read the trials of a folder: a run of ours, or a downloaded dataset.

    Args:
        data: The folder.
        split: Name of the split, for a run folder that has several.

    Returns:
        The trials. Audio that is missing does not stop the reading; the notes tell how much it is.

    Raises:
        CodecfakeError: If the folder is not one of the known layouts, or the split is not there.
    """
    data = Path(data).resolve()
    if run_folder.recognise(data):
        return run_folder.read(data, split)
    source = find_source(data)
    if split is not None:
        raise CodecfakeError(
            f"{data} is no run folder, so it has no split {split!r}", next_step="leave --split out"
        )
    return source.read(data)


def find_source(data: Path) -> Source:
    """Tell which downloaded dataset a folder holds.

    Raises:
        CodecfakeError: If it is none that is known; the message lists what was looked for.
    """
    data = Path(data).resolve()
    if not data.is_dir():
        raise CodecfakeError(f"{data} is no folder")
    for source in SOURCES:
        if source.recognise(data):
            return source
    looked_for = "\n".join(
        f"  - {text}" for text in (run_folder.LOOKED_FOR, *(s.looked_for for s in SOURCES))
    )
    raise CodecfakeError(
        f"{data} holds no dataset that is known. Looked for:\n{looked_for}",
        cause="the folder is the one above or below, or an archive is not unpacked yet",
    )
