"""Comparing two runs: how they were made, their utterances, quarantine, splits and audio."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.derived import MANIFEST, derived_manifests
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import read_parquet
from codecfake.manifests.schema import dataset_schema
from codecfake.manifests.splits import codec_role
from codecfake.pipeline.comparing.audio import AudioDifferences, Tolerance, compare_audio
from codecfake.pipeline.comparing.circumstances import Difference, compare_circumstances
from codecfake.pipeline.comparing.rows import RowDifferences, compare_rows
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shard_store import latest_items, published_shards, read_shard_items
from codecfake.pipeline.source import SOURCE, current_source
from codecfake.pipeline.splitting import current_splits

if TYPE_CHECKING:
    import pyarrow as pa

ABOUT_SOURCES = (
    *("corpus", "language", "speaker", "gender", "transcript", "path"),
    *("samples", "sample_rate", "channels", "subtype", "sha256", "reason"),
)
"""All but what follows from these, and messages, which libraries word."""
ABOUT_ITEMS = ("file", "reason", "samples", "sample_rate", "source_sha256")
ABOUT_FILES = ("label", "utterance_id", "split", "source_split")


@dataclass(frozen=True)
class RunComparison:
    """Where two runs differ, and by how much."""

    first: Path
    second: Path
    tolerance: Tolerance | None
    circumstances: tuple[Difference, ...]
    """How they were made; decides nothing by itself."""
    sources: RowDifferences
    items: tuple[RowDifferences, ...]
    """By codec."""
    splits: tuple[RowDifferences, ...]
    """By name of the split; each of its robustness settings is one more, ``published-seed0/opus16``."""
    audio: tuple[AudioDifferences, ...]
    """By codec."""

    @property
    def are_same(self) -> bool:
        """Whether utterances, quarantine, splits and audio are the same, audio within the tolerance if there is one."""
        has_same_rows = all(part.are_same for part in (self.sources, *self.items, *self.splits))
        return has_same_rows and all(part.is_same(self.tolerance) for part in self.audio)


def compare_runs(first: Path, second: Path, tolerance: Tolerance | None, monitor: Monitor) -> RunComparison:
    """Compare two run folders.

    Files of equal sha256 in the manifests count as identical and are not read; ``verify`` tells whether a run
    still holds what its manifests say. One codec is in memory at a time.

    Args:
        first: A run folder.
        second: Another one.
        tolerance: What still counts as the same audio; absent, only identical bytes do.
        monitor: Told about the progress, and may stop the work.

    Raises:
        CodecfakeError: If one of them is no run folder, or is not built yet.
    """
    circumstances = compare_circumstances(first, second)
    for run_dir in (first, second):
        if not (run_dir / SOURCE).is_file():
            raise CodecfakeError(f"{run_dir} holds no {SOURCE} yet", next_step=f"codecfake status {run_dir}")
    monitor.say("Comparing the manifests")
    sources, _ = compare_rows(
        SOURCE, current_source(first), current_source(second), "utterance_id", ABOUT_SOURCES
    )
    steps = tolerance.steps if tolerance else 0.0
    items, audio = [], []
    for codec in _codecs(first, second):
        monitor.raise_if_stopped()
        tables = (_items_of(first, codec), _items_of(second, codec))
        differences, rows = compare_rows(codec, *tables, "utterance_id", ABOUT_ITEMS)
        items.append(differences)
        audio.append(compare_audio(codec, (first, second), tables, rows, steps, monitor))
    return RunComparison(
        first=first,
        second=second,
        tolerance=tolerance,
        circumstances=tuple(circumstances),
        sources=sources,
        items=tuple(items),
        splits=tuple(_compare_splits(first, second, tolerance)),
        audio=tuple(audio),
    )


def _codecs(*runs: Path) -> list[str]:
    found = {shard.parent.name for run_dir in runs for shard in published_shards(run_dir)}
    return sorted(found, key=lambda codec: codec_role(codec).order)


def _items_of(run_dir: Path, codec: str) -> "pa.Table":
    shards = [shard for shard in published_shards(run_dir) if shard.parent.name == codec]
    return latest_items(shards, [read_shard_items(shard) for shard in shards])


def _compare_splits(first: Path, second: Path, tolerance: Tolerance | None) -> list[RowDifferences]:
    places = [_manifests(run_dir) for run_dir in (first, second)]
    # The audio of splits is that of the codecs, which is compared by itself; robustness conditions have their own.
    compared = {True: (*ABOUT_FILES, "conditions", "sha256"), False: (*ABOUT_FILES, "conditions")}
    return [
        compare_rows(
            name,
            *(_placements(run.get(name)) for run in places),
            "file",
            compared["/" in name and tolerance is None],
        )[0]
        for name in sorted({name for run in places for name in run})
    ]


def _manifests(run_dir: Path) -> dict[str, Path]:
    """Manifests of the splits and of their robustness settings, by name."""
    found = {}
    for folder in current_splits(run_dir):
        found[folder.name] = folder / MANIFEST
        found |= {f"{folder.name}/{setting}": path for setting, path in derived_manifests(folder).items()}
    return found


def _placements(manifest: Path | None) -> "pa.Table":
    """Where each file of a split is used, conditions as text; no rows where there is no such manifest."""
    import pyarrow.compute as pc

    columns = ["file", *ABOUT_FILES, "sha256", "conditions"]
    table = read_parquet(manifest, columns) if manifest else dataset_schema().empty_table().select(columns)
    return table.set_column(len(columns) - 1, "conditions", pc.binary_join(table["conditions"], ";"))
