"""Holding the robustness conditions of a split against what was published."""

from collections.abc import Iterator
from pathlib import Path

from codecfake.manifests.dataset import digest_table
from codecfake.manifests.derived import DERIVED_FOLDER, MANIFEST, derived_manifests
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.records import read_parquet
from codecfake.pipeline.conditions.store import IMPORTED_FROM, RECORD, derived_table, read_record


def derived_stores(split: Path) -> list[Path]:
    """Folders of the settings of a split: those that were begun, and those that have a manifest."""
    begun = {path.parent for path in (split / DERIVED_FOLDER).glob(f"[!.]*/{RECORD}")}
    return sorted(begun | {path.parent for path in derived_manifests(split).values()})


def check_manifest(run_dir: Path, split: Path, store: Path) -> Iterator[tuple[str, str]]:
    """Compare the manifest of a setting with its shards, and its origin with the split, whose manifest is whole.

    Yields:
        Path relative to the run folder, and what is wrong with it.
    """
    where = (store / MANIFEST).relative_to(run_dir).as_posix()
    again = f"codecfake conditions RUN --add {store.name}"
    if not (store / RECORD).is_file():
        yield (
            (store / RECORD).relative_to(run_dir).as_posix(),
            f"it is gone; remove {store.name}, then {again}",
        )
        return
    try:
        record = read_record(store)
        if str(record.get("description")).startswith(IMPORTED_FROM):
            again = "codecfake import DATA RUN"
        if not (store / MANIFEST).exists():
            yield where, f"it is gone, or was not finished; repeat {again}"
            return
        if record.get("manifest_sha256") != file_sha256(split / MANIFEST):
            yield (
                where,
                f"it was derived from another manifest than that of {split.name}; remove {store.name}",
            )
            return
        expected = derived_table(store, store.name, read_parquet(split / MANIFEST))
        if digest_table(read_parquet(store / MANIFEST)) != digest_table(expected):
            yield where, f"its shards say otherwise; repeat {again}"
    except (OSError, ValueError, LookupError, CodecfakeError) as error:
        refuse_exhaustion(error)
        yield where, f"it cannot be read: {getattr(error, 'what', error)}; remove {store.name}, then {again}"
