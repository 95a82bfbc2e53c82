"""Holding the robustness conditions of a split against what was published."""

from collections.abc import Iterator
from pathlib import Path

from codecfake.manifests.dataset import digest_table
from codecfake.manifests.derived import MANIFEST, derived_manifests
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.conditions.store import derived_table, read_record


def derived_stores(split: Path) -> list[Path]:
    """Folders of the settings of a split whose manifest is published."""
    return [path.parent for path in derived_manifests(split).values()]


def check_manifest(run_dir: Path, split: Path, store: Path) -> Iterator[tuple[str, str]]:
    """Compare the manifest of a setting with its shards, and its origin with the split.

    Yields:
        Path relative to the run folder, and what is wrong with it.
    """
    import pyarrow.parquet as pq

    where = (store / MANIFEST).relative_to(run_dir).as_posix()
    try:
        if read_record(store).get("manifest_sha256") != file_sha256(split / MANIFEST):
            yield (
                where,
                f"it was derived from another manifest than that of {split.name}; remove {store.name}",
            )
            return
        expected = derived_table(store, store.name, pq.read_table(split / MANIFEST))
        if digest_table(pq.read_table(store / MANIFEST)) != digest_table(expected):
            yield where, f"its shards say otherwise; repeat codecfake conditions RUN --add {store.name}"
    except (OSError, ValueError, CodecfakeError) as error:
        yield where, f"it cannot be read: {error}"
