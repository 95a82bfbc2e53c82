"""Robustness conditions of a tree that `codecfake export` wrote: they are those of the imported split again."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.atomic import publish_json
from codecfake.manifests.derived import MANIFEST, derived_file, derived_folder
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.records import read_parquet
from codecfake.manifests.splits import SPLITS
from codecfake.pipeline.conditions.store import (
    IMPORTED_FROM,
    RECORD,
    derived_table,
    publish_manifest,
    read_record,
)
from codecfake.pipeline.imports.listing import COLUMNS, DerivedFiles, Listing, Problem, ProblemKind
from codecfake.pipeline.imports.shards import take_files
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shard_store import drafts

if TYPE_CHECKING:
    import pyarrow as pa


def import_conditions(
    run_dir: Path, split: Path, listing: Listing, pool: ThreadPoolExecutor, monitor: Monitor
) -> list[Problem]:
    """Take the files of every setting as ``splits/NAME/conditions/SETTING``, as `codecfake conditions` makes them.

    Args:
        run_dir: The run folder.
        split: Folder of its imported split.
        listing: The dataset.
        pool: Works on the files.
        monitor: Told about the progress.

    Returns:
        Files that come from no evaluation file of the split; they are not taken.

    Raises:
        Stopped: If the user asked to stop.
    """
    import pyarrow.compute as pc

    clean = read_parquet(split / MANIFEST)
    evaluated = clean.filter(pc.equal(clean["split"], SPLITS[2]))
    problems: list[Problem] = []
    for setting, derived in listing.derived.items():
        known, strangers = _meet(derived.files, evaluated, setting)
        problems += _tell(strangers, setting)
        if len(known):
            files = _with_unlisted(known, evaluated, setting, derived)
            _take_setting(run_dir, split, listing, setting, files, clean, pool, monitor)
    return problems


def _meet(files: "pa.Table", evaluated: "pa.Table", setting: str) -> "tuple[pa.Table, pa.Table]":
    """The files that were made from evaluation files of the same codec, and the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    origins = pc.binary_join_element_wise(_named(evaluated, setting), evaluated["codec"], "/")
    keys = pc.binary_join_element_wise(files["file"], files["codec"], "/")
    is_known = pc.is_in(keys, value_set=pa.array(origins.to_pylist(), pa.string()))
    return files.filter(is_known), files.filter(pc.invert(is_known))


def _named(evaluated: "pa.Table", setting: str) -> "pa.ChunkedArray":
    """The names of evaluation files under a setting."""
    import pyarrow as pa

    names = [derived_file(file, setting) for file in evaluated["file"].to_pylist()]
    return pa.chunked_array([pa.array(names, pa.string())])


def _tell(strangers: "pa.Table", setting: str) -> Iterator[Problem]:
    for row in strangers.select(["file", "codec"]).to_pylist():
        message = "the evaluation file that it was made from is not in the split"
        yield Problem(f"{row['codec']} under {setting}", row["file"], ProblemKind.NO_ORIGIN, message)


def _with_unlisted(
    files: "pa.Table", evaluated: "pa.Table", setting: str, derived: DerivedFiles
) -> "pa.Table":
    """Add files that the lists of the setting leave out, without a path: so it is known that nobody waits for them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = _named(evaluated, setting)
    listed = set(derived.conditions)
    is_meant = np.array(
        [not listed.isdisjoint(one) for one in evaluated["conditions"].to_pylist()], dtype=bool
    )
    is_listed = np.asarray(pc.is_in(names, value_set=files["file"].combine_chunks()))
    rows = pa.array(np.flatnonzero(is_meant & ~is_listed))
    absent = {name: evaluated[name].take(rows) for name in COLUMNS if name not in ("file", "path")}
    absent |= {"file": names.take(rows), "path": pa.repeat("", len(rows))}
    return pa.concat_tables([files, pa.table({name: absent[name] for name in COLUMNS})]).combine_chunks()


def _take_setting(
    run_dir: Path,
    split: Path,
    listing: Listing,
    setting: str,
    files: "pa.Table",
    clean: "pa.Table",
    pool: ThreadPoolExecutor,
    monitor: Monitor,
) -> None:
    store = derived_folder(split, setting)
    record = {
        "setting": setting,
        "description": f"{IMPORTED_FROM}{listing.dataset}",
        "versions": {},
        "manifest_sha256": file_sha256(split / MANIFEST),
    }
    before = read_record(store)
    if before and before != record:
        monitor.say(f"{setting} stays as `codecfake conditions` made it in this run")
        return
    if not before:
        publish_json(store / RECORD, record)
    for leftover in drafts(store):
        shutil.rmtree(leftover, ignore_errors=True)
    place = f"{store.relative_to(run_dir).as_posix()}/"
    take_files(store, place, listing, files, f"Importing {setting}", pool, monitor)
    publish_manifest(store, derived_table(store, setting, clean))
