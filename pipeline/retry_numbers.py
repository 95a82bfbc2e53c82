"""The numbers of the retries of a run, by what they planned and by what they published."""

import re
from pathlib import Path

from codecfake.pipeline.config import SAVED_AS as CONFIG
from codecfake.pipeline.shard_store import RETRY_PREFIX, published_shards
from codecfake.pipeline.source import RETRIES

RETRY_SHARD = re.compile(f"{RETRY_PREFIX}([0-9]+)-")


def plan_folder(run_dir: Path, number: int) -> Path:
    """Where the plan of a retry is published."""
    return run_dir / RETRIES / f"{number:03d}"


def next_number(run_dir: Path) -> int:
    """A number that neither a plan nor a shard of a retry has."""
    return 1 + max(_planned(run_dir) | _made(run_dir), default=0)


def lost_plans(run_dir: Path) -> list[int]:
    """Numbers of the retries that published shards and have no plan any more; later shards of an import have none."""
    return sorted(_made(run_dir) - _planned(run_dir)) if (run_dir / CONFIG).is_file() else []


def _planned(run_dir: Path) -> set[int]:
    return {int(path.name) for path in (run_dir / RETRIES).glob("[0-9]*") if path.name.isdecimal()}


def _made(run_dir: Path) -> set[int]:
    found = (RETRY_SHARD.match(shard.name) for shard in published_shards(run_dir))
    return {int(match[1]) for match in found if match}
