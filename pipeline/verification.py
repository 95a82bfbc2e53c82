"""Counting, decoding and hashing everything that was published."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codecfake.manifests.atomic import publish_json
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.audio import decode
from codecfake.pipeline.devices import cpu_count
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shard_store import (
    AUDIO,
    ITEMS,
    drafts,
    published_shards,
    read_items,
    read_record,
    read_shard_items,
)
from codecfake.pipeline.splitting import current_splits
from codecfake.pipeline.tree_check import check_tree

SAVED_AS = "verify.json"


@dataclass(frozen=True)
class Damage:
    """Something published that is not as it was published."""

    path: str
    """Relative to the run folder."""
    problem: str
    codec: str = ""
    utterance_id: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """What was checked, and what is wrong."""

    shards: int
    missing_shards: tuple[str, ...]
    """Planned, not published."""
    files: int
    seconds: float
    """Seconds of audio decoded."""
    splits: int
    unpublished: tuple[str, ...]
    """Drafts that a killed run left; the next build clears them away."""
    damage: tuple[Damage, ...]

    @property
    def is_whole(self) -> bool:
        """Whether everything planned is there and as it was published."""
        return not self.damage and not self.missing_shards


def verify(run_dir: Path, planned: Sequence[tuple[str, str]], monitor: Monitor) -> VerifyReport:
    """Check every published shard and split, and write the report into the run folder.

    Args:
        run_dir: The run folder.
        planned: Codec and id of every shard of the plan.
        monitor: Told about the progress.
    """
    import pyarrow.compute as pc

    shards = published_shards(run_dir)
    present = {(shard.parent.name, shard.name) for shard in shards}
    damage = [problem for shard in shards for problem in _check_record(run_dir, shard)]
    items = read_items(run_dir)
    items = items.filter(items["sha256"].is_valid())
    monitor.begin("Verifying", len(items), "files")
    with ThreadPoolExecutor(cpu_count()) as pool:
        for batch in items.to_batches(max_chunksize=4096):
            problems = pool.map(lambda row: _check_file(run_dir, row, monitor), batch.to_pylist())
            damage += [problem for problem in problems if problem]
    monitor.end()
    splits = current_splits(run_dir)
    for split in splits:
        damage += [Damage(path, problem) for path, problem in check_tree(run_dir, split)]
    report = VerifyReport(
        shards=len(shards),
        missing_shards=tuple(f"{codec}/{shard}" for codec, shard in planned if (codec, shard) not in present),
        files=len(items),
        seconds=pc.sum(items["seconds"]).as_py() or 0.0,
        splits=len(splits),
        unpublished=tuple(path.relative_to(run_dir).as_posix() for path in drafts(run_dir)),
        damage=tuple(damage),
    )
    publish_json(run_dir / SAVED_AS, asdict(report))
    return report


def read_damage(run_dir: Path) -> list[dict[str, Any]]:
    """The damaged audio files that the last `verify` found: rows with codec and utterance id."""
    path = run_dir / SAVED_AS
    if not path.is_file():
        return []
    damage = json.loads(path.read_text(encoding="utf-8"))["damage"]
    return [row | {"reason": str(Reason.DAMAGED)} for row in damage if row["utterance_id"]]


def _check_record(run_dir: Path, shard: Path) -> Iterator[Damage]:
    where = shard.relative_to(run_dir).as_posix()
    record = read_record(shard)
    if file_sha256(shard / ITEMS) != record["items_sha256"]:
        yield Damage(f"{where}/{ITEMS}", "its sha256 is not that of shard.json")
        return
    known = set(read_shard_items(shard)["file"].to_pylist())
    for path in sorted((shard / AUDIO).iterdir()):
        if path.name not in known:
            yield Damage(f"{where}/{AUDIO}/{path.name}", "no row of the shard names it")


def _check_file(run_dir: Path, row: dict[str, Any], monitor: Monitor) -> Damage | None:
    monitor.raise_if_stopped()
    problem = _problem_of(run_dir / row["path"], row)
    monitor.advance(1)
    return problem and Damage(row["path"], problem, row["codec"], row["utterance_id"])


def _problem_of(path: Path, row: dict[str, Any]) -> str:
    from soundfile import LibsndfileError

    try:
        if file_sha256(path) != row["sha256"]:
            return "its sha256 is not that of the manifest"
        wave, sample_rate = decode(path)
    except FileNotFoundError:
        return "it is gone"
    except (OSError, LibsndfileError) as error:
        return f"it cannot be read: {error}"
    if (len(wave), sample_rate) != (row["samples"], row["sample_rate"]):
        return f"{len(wave)} samples at {sample_rate} Hz, not as in the manifest"
    return ""
