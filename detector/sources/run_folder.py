"""A run folder of ours, read by the manifest of one of its splits."""

from pathlib import Path

from codecfake.detector.trials import SplitTrials, read_trials
from codecfake.manifests.errors import CodecfakeError

LOOKED_FOR = "a run folder of codecfake build: splits/NAME/manifest.parquet"


def recognise(data: Path) -> bool:
    """Whether there is a published split."""
    return bool(split_names(data))


def read(data: Path, split: str | None = None) -> SplitTrials:
    """Read a split, the only one if none is named.

    Raises:
        CodecfakeError: If there is none of that name, or several and none was named.
    """
    names = split_names(data)
    if split is None and len(names) > 1:
        raise CodecfakeError(
            f"{data} has several splits: {', '.join(names)}", next_step="name one of them with --split"
        )
    return read_trials(data, split or names[0])


def split_names(data: Path) -> list[str]:
    """Names of the published splits, without the superseded ones."""
    found = Path(data).glob("splits/[!.]*/manifest.parquet")
    return sorted(path.parent.name for path in found if ".superseded-" not in path.parent.name)
