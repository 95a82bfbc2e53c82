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
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import DamagedFileError, read_parquet
from codecfake.pipeline.described_damage import (
    DAMAGED,
    detector_damage,
    detectors,
    retry_plans,
    source_damage,
)
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.restoring import remaining_damage, restore_audio
from codecfake.pipeline.retries import TASKS
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.shard_store import published_shards
from codecfake.pipeline.source import CHECKSUMS_SUFFIX, SOURCE, publish_source, read_source_table
from codecfake.pipeline.split_folders import mend_tree
from codecfake.pipeline.splitting import Policy, current_splits
from codecfake.pipeline.tree_check import check_tree
from codecfake.pipeline.verification import record_damage

ASSIGNED = re.compile(r"(published|speaker-disjoint)-seed(\d+)")
"""Name of a split that follows from its name and the run."""


@dataclass(frozen=True)
class DamagedSplit:
    """A split to be mended once all audio is there."""

    folder: Path
    policy: Policy | None
    """``None`` where it takes more than the run to make it again, as label files do."""
    seed: int


@dataclass(frozen=True)
class SetAside:
    """What was damaged, and is made again."""

    files: tuple[str, ...]
    """Relative to the run folder, each with what was wrong."""
    splits: tuple[DamagedSplit, ...]
    """Still in their places."""


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
    restore_audio(run_dir, say)  # what a killed retry left to do
    splits: list[DamagedSplit] = []
    audio = {row["path"]: row["problem"] for row in remaining_damage(run_dir)}
    for split in current_splits(run_dir):
        problems = [(run_dir / path, problem) for path, problem in check_tree(run_dir, split)]
        if audio and not problems:
            problems = [(run_dir / path, audio[path]) for path in _named_in(split, audio)]
        if not problems:
            continue
        found(*problems[0])
        name = ASSIGNED.fullmatch(split.name)
        policy, seed = (cast("Policy", name[1]), int(name[2])) if name else (None, 0)
        splits.append(DamagedSplit(split, policy, seed))
    for detector in detectors(run_dir):
        for path, problem in detector_damage(detector):
            found(path, problem)
            set_aside(detector, DAMAGED)
            say(
                f"Set aside; next: codecfake train {run_dir} --name {detector.name}, as it was trained before"
            )
    return SetAside(tuple(files), tuple(splits))


def mend_split(run_dir: Path, split: DamagedSplit, monitor: Monitor) -> None:
    """Mend a damaged split in its place, or replace it where its audio changed; a killed call is repeated."""
    is_damaged = any(True for _ in check_tree(run_dir, split.folder))
    if split.policy:
        split_run(run_dir, policy=split.policy, seed=split.seed, monitor=monitor, mend=is_damaged)
        return
    if is_damaged:
        with suppress(CodecfakeError):
            mend_tree(run_dir, split.folder, monitor.say)
        is_damaged = any(True for _ in check_tree(run_dir, split.folder))
    if is_damaged or _named_in(split.folder, [row["path"] for row in remaining_damage(run_dir)]):
        monitor.say(
            f"Next: move {split.folder} away, and make it again: codecfake splits {run_dir} --labels DIR"
        )


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
