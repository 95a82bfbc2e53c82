"""Setting aside what is damaged of the files that describe a run, so that it is made again.

Audio is not looked at here: `codecfake verify` finds that, and a retry adds shards for it. Splits whose audio was
replaced since, by whatever killed call, are found once all audio is there.
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
from codecfake.manifests.schema import source_schema
from codecfake.pipeline.by_hand import is_by_hand
from codecfake.pipeline.described_damage import (
    DAMAGED,
    PLAN_IS_GONE,
    detector_damage,
    detectors,
    listed_damage,
    retry_plans,
    source_damage,
)
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.restoring import remaining_damage, restore_audio
from codecfake.pipeline.retries import TASKS, publish_plan
from codecfake.pipeline.retry_numbers import lost_plans, plan_folder
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.shard_check import record_damage
from codecfake.pipeline.shard_store import published_shards, read_items
from codecfake.pipeline.source import (
    CHECKSUMS_SUFFIX,
    SOURCE,
    publish_source,
    read_source_list,
    read_source_table,
)
from codecfake.pipeline.source_check import unknown_utterances
from codecfake.pipeline.split_audio import stale_audio
from codecfake.pipeline.split_folders import mend_tree
from codecfake.pipeline.splitting import Policy, current_splits
from codecfake.pipeline.tree_check import check_tree

ASSIGNED = re.compile(r"(published|speaker-disjoint)-seed(-?\d+)")
"""Name of a split that follows from its name and the run."""


@dataclass(frozen=True)
class SetAside:
    """What was damaged, and is made again."""

    files: tuple[str, ...]
    """Relative to the run folder, each with what was wrong."""
    splits: tuple[Path, ...]
    """Folders of damaged splits, still in their places."""


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
    for number in lost_plans(run_dir):
        found(plan_folder(run_dir, number), PLAN_IS_GONE)
        publish_plan(run_dir, number, source_schema().empty_table(), {})
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
    if problem := unknown_utterances(run_dir, read_items(run_dir)):
        found(run_dir / SOURCE, problem)
        _set_aside_source(run_dir / SOURCE)
    splits = []
    audio = {row["path"]: row["problem"] for row in remaining_damage(run_dir)}
    for split in current_splits(run_dir):
        problems = _tree_damage(run_dir, split)
        if audio and not problems:  # its links lead to the damaged file once that is replaced
            problems = [(path, audio[path]) for path in _named_in(split, audio)]
        if problems:
            found(run_dir / problems[0][0], problems[0][1])
            splits.append(split)
    for detector in detectors(run_dir):
        for path, problem in detector_damage(detector):
            found(path, problem)
            set_aside(detector, DAMAGED)
            say(
                f"Set aside; next: codecfake train {run_dir} --name {detector.name}, as it was trained before"
            )
    return SetAside(tuple(files), tuple(splits))


def mend_splits(run_dir: Path, damaged: Collection[Path], monitor: Monitor) -> list[str]:
    """Mend splits in their places, or replace them where their audio changed; a killed call is repeated.

    Args:
        run_dir: The run, with all its audio; the caller holds the run lock.
        damaged: Splits that were found damaged.
        monitor: Told about the progress, and what only the user can make again.

    Returns:
        The splits that were made again because their audio changed, each with what was wrong.
    """
    for split in damaged:
        _mend_in_place(run_dir, split, monitor)
    items = read_items(run_dir).select(["path", "sha256"])
    problems = {split: stale_audio(split, items) for split in current_splits(run_dir)}
    del items  # not in memory twice
    replaced = []
    for split, problem in problems.items():
        if problem:
            told = f"{split.relative_to(run_dir).as_posix()}: {problem}"
            monitor.say(f"Damaged: {told}")
            replaced += [told] if _split_again(run_dir, split, monitor) else []
    return replaced


def _mend_in_place(run_dir: Path, split: Path, monitor: Monitor) -> None:
    is_damaged = bool(_tree_damage(run_dir, split))
    if ASSIGNED.fullmatch(split.name):
        _split_again(run_dir, split, monitor, mend=is_damaged)
    elif is_damaged:
        with suppress(CodecfakeError):
            mend_tree(run_dir, split, monitor.say)
        if _tree_damage(run_dir, split):
            _split_again(run_dir, split, monitor)


def _split_again(run_dir: Path, split: Path, monitor: Monitor, *, mend: bool = False) -> bool:
    """Make a split again as its name says; where that takes more than the run, as label files do, only the user can."""
    if name := ASSIGNED.fullmatch(split.name):
        policy = cast("Policy", name[1])
        split_run(run_dir, policy=policy, seed=int(name[2]), monitor=monitor, mend=mend)
    else:
        monitor.say(f"Next: move {split} away, and make it again: codecfake splits {run_dir} --labels DIR")
    return bool(name)


def _tree_damage(run_dir: Path, split: Path) -> list[tuple[str, str]]:
    """What is wrong with a split and can be mended."""
    return [(path, problem) for path, problem in check_tree(run_dir, split) if not is_by_hand(problem)]


def _mend_source(source: Path, damaged: Sequence[Path]) -> None:
    """Write table, CSV and list again where either of the first two is whole; else set all aside."""
    if source not in damaged:
        with suppress(CodecfakeError):
            publish_source(read_source_table(source), source)
            return
    csv, checksums = source.with_suffix(".csv"), source.with_suffix(CHECKSUMS_SUFFIX)
    if not {csv, checksums}.intersection(path for path, _ in listed_damage(checksums, [csv.name])):
        publish_source(read_source_list(source), source)
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
