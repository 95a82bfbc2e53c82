"""Importing a dataset: shards, a source manifest, a split with its tree, and a list of what did not fit."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.dataset import CodecRecord
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.label_matching import LabelAssignment, place_by_labels
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import source_rows
from codecfake.pipeline.build import remove_drafts
from codecfake.pipeline.conditions.checking import derived_stores
from codecfake.pipeline.devices import cpu_count
from codecfake.pipeline.imports.conditions import import_conditions
from codecfake.pipeline.imports.listing import Listing, Problem
from codecfake.pipeline.imports.problems import find_problems, publish_problems
from codecfake.pipeline.imports.record import ImportRecord, stamp_import
from codecfake.pipeline.imports.shards import cut, take_files
from codecfake.pipeline.imports.sources import source_of
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.run_lock import run_lock
from codecfake.pipeline.shard_store import published_shards, read_items, read_record
from codecfake.pipeline.source import SOURCE, publish_source, read_source_table
from codecfake.pipeline.splitting import SplitReport, publish_split

if TYPE_CHECKING:
    import pyarrow as pa

UNKNOWN = CodecRecord("", "")
"""A published dataset does not tell with which weights and settings its fakes were made."""

LEAST_READERS = 8
"""On few cores too, one file waits for the disk while another is decoded."""


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    run_dir: Path
    dataset: str
    shards_done: int
    shards_found: int
    """Published by an earlier call."""
    files: int
    """Audio files in the run."""
    hours: float
    linked: int
    copied: int
    problems_file: Path
    """Names them one by one."""
    problems: dict[str, int]
    """Number of lines and files that were not taken, or not as they are, by reason."""
    notes: list[str]
    split: SplitReport


def import_dataset(run_dir: Path, listing: Listing, monitor: Monitor) -> ImportReport:
    """Make a run folder out of a dataset, or go on with an import that was stopped or killed.

    A repeated call takes files that have come since, as after another archive of the dataset was unpacked.

    Args:
        run_dir: The run folder, new or that of an earlier call, outside the dataset.
        listing: The dataset.
        monitor: Told about the progress.

    Returns:
        What was taken; what was not is in ``import-problems.csv``.

    Raises:
        CodecfakeError: If the folder holds something else, or not one file of the dataset can be read.
        Stopped: If the user asked to stop; shards that were published stay.
    """
    run_dir = run_dir.resolve()
    if run_dir.is_relative_to(listing.root) or listing.root.is_relative_to(run_dir):
        raise CodecfakeError(
            f"{run_dir} and the dataset {listing.root} lie inside each other",
            next_step="give a folder outside the dataset, on the same disk so that links take no room",
        )
    with run_lock(run_dir, monitor.stop.set), ThreadPoolExecutor(max(LEAST_READERS, cpu_count())) as pool:
        stamp_import(run_dir, _record_of(listing))
        remove_drafts(run_dir)
        done, found = take_files(run_dir, "", listing, listing.files, "Importing", pool, monitor)
        items = read_items(run_dir)
        if not _knows_recordings(run_dir / SOURCE, items):
            publish_source(source_of(run_dir, listing, items, pool), run_dir / SOURCE)
        split = _split(run_dir, listing, items, monitor)
        unfit = import_conditions(run_dir, split.folder, listing, pool, monitor)
        return _report(run_dir, listing, split, unfit, done, found)


def _knows_recordings(path: Path, items: "pa.Table") -> bool:
    """Whether the source manifest has every bona fide file; a call that was killed may have added some."""
    import pyarrow.compute as pc

    if not path.is_file():
        return False
    taken = pc.sum(pc.and_(pc.equal(items["codec"], REAL), items["reason"].is_null())).as_py() or 0
    return pc.count(read_source_table(path)["sha256"]).as_py() == taken


def _record_of(listing: Listing) -> ImportRecord:
    import pyarrow.compute as pc

    codecs = [codec for codec, _, _ in cut(listing.files)]
    return ImportRecord(
        dataset=listing.dataset,
        folder=str(listing.root),
        licence=listing.licence,
        digest=listing.digest,
        lists=listing.list_digests,
        utterances=pc.count_distinct(listing.files["utterance_id"]).as_py(),
        shards={codec: codecs.count(codec) for codec in dict.fromkeys(codecs)},
        notes=listing.notes,
        weights=listing.weights,
        licences=listing.licences,
    )


def _split(run_dir: Path, listing: Listing, items: "pa.Table", monitor: Monitor) -> SplitReport:
    """Publish the split that the dataset's own lists make."""
    import pyarrow.compute as pc

    source = read_source_table(run_dir / SOURCE)

    usable = items.filter(items["reason"].is_null())
    if not len(usable):
        raise CodecfakeError(
            f"not one audio file of {listing.root} can be read",
            cause="the archives are not unpacked yet, or lie elsewhere",
            next_step=f"codecfake verify {listing.root}, then repeat the command",
        )
    rows = pc.index_in(usable["file"], value_set=listing.files["file"].combine_chunks()).to_numpy()
    assigned = LabelAssignment(listing.split[rows], listing.condition_set[rows], listing.condition_sets)
    return publish_split(
        run_dir,
        source,
        items,
        {codec: UNKNOWN for codec in pc.unique(items["codec"]).to_pylist() if codec != REAL},
        name=f"imported-{listing.dataset}",
        head={"policy": "imported", "seed": None, "labels": None, "lists": listing.list_digests},
        placement=place_by_labels(assigned, source_rows(usable, source)),
        report=monitor.say,
    )


def _report(
    run_dir: Path, listing: Listing, split: SplitReport, unfit: Sequence[Problem], done: int, found: int
) -> ImportReport:
    import pyarrow as pa
    import pyarrow.compute as pc

    homes = [run_dir, *derived_stores(split.folder)]
    records = [read_record(shard) for home in homes for shard in published_shards(home)]
    items = pa.concat_tables([read_items(home) for home in homes])
    problems = find_problems([*listing.problems, *unfit], records, items)
    counts = problems["reason"].combine_chunks().value_counts().to_pylist()
    return ImportReport(
        run_dir=run_dir,
        dataset=listing.dataset,
        shards_done=done,
        shards_found=found,
        files=pc.count(items["sha256"]).as_py(),
        hours=(pc.sum(items["seconds"]).as_py() or 0.0) / 3600,
        linked=sum(record["linked"] for record in records),
        copied=sum(record["copied"] for record in records),
        problems_file=publish_problems(run_dir, problems),
        problems={count["values"]: count["counts"] for count in counts},
        notes=listing.notes,
        split=split,
    )
