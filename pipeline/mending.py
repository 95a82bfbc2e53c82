"""Setting aside what is damaged of the files that describe a run, so that it is made again.

Audio is not looked at here: `codecfake verify` finds that, and a retry adds shards for it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from codecfake.manifests.atomic import temporary_sibling
from codecfake.manifests.derived import DERIVED_FOLDER
from codecfake.pipeline.described_damage import DAMAGED, detector_damage, detectors, source_damage
from codecfake.pipeline.shard_store import published_shards
from codecfake.pipeline.source import CHECKSUMS_SUFFIX, SOURCE
from codecfake.pipeline.splitting import SUPERSEDED, Policy, current_splits
from codecfake.pipeline.tree_check import check_tree
from codecfake.pipeline.verification import record_damage

ASSIGNED = re.compile(r"(published|speaker-disjoint)-seed(\d+)")
"""Name of a split that follows from its name and the run."""


@dataclass(frozen=True)
class AssignedSplit:
    """A split that can be made again."""

    policy: Policy
    seed: int


@dataclass(frozen=True)
class SetAside:
    """What was damaged, and is made again."""

    files: tuple[str, ...]
    """Relative to the run folder, each with what was wrong."""
    splits: tuple[AssignedSplit, ...]


def set_aside_damaged(run_dir: Path, say: Callable[[str], None]) -> SetAside:
    """Take damaged descriptions out of a run; the caller holds the run lock, and makes them again.

    Args:
        run_dir: The run.
        say: Told what was found, and what only the user can make again.
    """
    files: list[str] = []

    def found(path: Path, problem: str) -> None:
        files.append(f"{path.relative_to(run_dir).as_posix()}: {problem}")
        say(f"Damaged: {files[-1]}")

    if problems := list(source_damage(run_dir)):
        for path, problem in problems:
            found(path, problem)
        for suffix in (Path(SOURCE).suffix, ".csv", CHECKSUMS_SUFFIX):
            (run_dir / SOURCE).with_suffix(suffix).unlink(missing_ok=True)
    for shard in published_shards(run_dir):
        if damaged := record_damage(shard):
            found(shard / damaged[0], damaged[1])
            shard.rename(temporary_sibling(shard))  # the build clears it away
    splits: list[AssignedSplit] = []
    for split in current_splits(run_dir):
        problems = [(run_dir / path, problem) for path, problem in check_tree(run_dir, split)]
        if not problems:
            continue
        found(*problems[0])
        if name := ASSIGNED.fullmatch(split.name):
            aside = _set_aside(split, SUPERSEDED)
            if (aside / DERIVED_FOLDER).is_dir():
                say(
                    f"Its robustness conditions stay in {aside}; next: codecfake conditions {run_dir} --add SETTING"
                )
            splits.append(AssignedSplit(cast("Policy", name[1]), int(name[2])))
        else:
            say(f"Next: remove {split}, and make it again: codecfake splits {run_dir} --labels DIR")
    for detector in detectors(run_dir):
        for path, problem in detector_damage(detector):
            found(path, problem)
            _set_aside(detector, DAMAGED)
            say(
                f"Set aside; next: codecfake train {run_dir} --name {detector.name}, as it was trained before"
            )
    return SetAside(tuple(files), tuple(splits))


def _set_aside(folder: Path, mark: str) -> Path:
    """Rename a folder, so that nothing takes it for what it was; gives its new place."""
    number = 1
    while (place := folder.with_name(f"{folder.name}{mark}{number}")).exists():
        number += 1
    return folder.rename(place)
