"""Setting aside what is damaged of the files that describe a run, so that it is made again.

Audio is not looked at here: `codecfake verify` finds that, and a retry adds shards for it.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from codecfake.manifests.atomic import set_aside, temporary_sibling
from codecfake.manifests.derived import DERIVED_FOLDER
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import DamagedFileError, read_parquet
from codecfake.pipeline.described_damage import (
    DAMAGED,
    detector_damage,
    detectors,
    retry_plans,
    source_damage,
)
from codecfake.pipeline.retries import TASKS
from codecfake.pipeline.shard_store import published_shards
from codecfake.pipeline.source import CHECKSUMS_SUFFIX, SOURCE, publish_source, read_source_table
from codecfake.pipeline.splitting import SUPERSEDED, Policy, current_splits
from codecfake.pipeline.tree_check import check_tree
from codecfake.pipeline.verification import read_damage, record_damage

ASSIGNED = re.compile(r"(published|speaker-disjoint)-seed(\d+)")
"""Name of a split that follows from its name and the run."""


@dataclass(frozen=True)
class AssignedSplit:
    """A split that can be made again."""

    folder: Path
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
        _mend_source(run_dir / SOURCE, [path for path, _ in problems])
    for plan in retry_plans(run_dir):
        problems = list(_plan_damage(plan))  # all, before what they are about is moved
        for path, problem in problems:
            found(path, problem)
        if problems:
            # What is still quarantined is planned again; shards that were published of it stay.
            for name in (SOURCE, TASKS):
                _set_aside_source(plan / name)
    for shard in published_shards(run_dir):
        if damaged := record_damage(shard):
            found(shard / damaged[0], damaged[1])
            shard.rename(temporary_sibling(shard))  # the build clears it away
    splits: list[AssignedSplit] = []
    audio = {row["path"]: row["problem"] for row in read_damage(run_dir)}
    for split in current_splits(run_dir):
        problems = [(run_dir / path, problem) for path, problem in check_tree(run_dir, split)]
        if audio and not problems:
            problems = [(run_dir / path, audio[path]) for path in _named_in(split, audio)]
        if not problems:
            continue
        found(*problems[0])
        if name := ASSIGNED.fullmatch(split.name):
            splits.append(AssignedSplit(split, cast("Policy", name[1]), int(name[2])))
        else:
            say(f"Next: remove {split}, and make it again: codecfake splits {run_dir} --labels DIR")
    for detector in detectors(run_dir):
        for path, problem in detector_damage(detector):
            found(path, problem)
            set_aside(detector, DAMAGED)
            say(
                f"Set aside; next: codecfake train {run_dir} --name {detector.name}, as it was trained before"
            )
    return SetAside(tuple(files), tuple(splits))


def set_aside_split(run_dir: Path, split: Path, say: Callable[[str], None]) -> None:
    """Take a damaged split away, right before it is made again."""
    aside = set_aside(split, SUPERSEDED)
    if (aside / DERIVED_FOLDER).is_dir():
        say(f"Its robustness conditions stay in {aside}; next: codecfake conditions {run_dir} --add SETTING")


def _mend_source(source: Path, damaged: Sequence[Path]) -> None:
    """Write list and CSV again where the table is whole; else set all aside, for the corpora may be away."""
    if source not in damaged:
        with suppress(CodecfakeError):
            publish_source(read_source_table(source), source)
            return
    _set_aside_source(source)


def _set_aside_source(source: Path) -> None:
    for suffix in (source.suffix, ".csv", CHECKSUMS_SUFFIX):
        if (path := source.with_suffix(suffix)).exists():
            set_aside(path, DAMAGED)


def _plan_damage(plan: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong with the plan of a retry."""
    yield from source_damage(plan)
    try:
        if (plan / TASKS).is_file():
            read_parquet(plan / TASKS, ["codec", "utterance_id"])
    except DamagedFileError as error:
        yield plan / TASKS, error.what


def _named_in(split: Path, paths: Collection[str]) -> list[str]:
    """Those of the paths that the manifest of a split names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    named = read_parquet(split / "manifest.parquet", ["path"])["path"]
    return named.filter(pc.is_in(named, value_set=pa.array(list(paths), pa.string()))).to_pylist()
