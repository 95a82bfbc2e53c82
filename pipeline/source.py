"""The source manifest of a run: every utterance of the corpora, with its digest, or why it is not usable."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import published
from codecfake.manifests.checksums import publish_checksums
from codecfake.manifests.paths import refuse_escapes
from codecfake.manifests.records import read_parquet
from codecfake.manifests.schema import check_schema, source_schema
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.monitor import Monitor, count_into
from codecfake.pipeline.object_store import Location
from codecfake.pipeline.shard_store import ITEMS

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "source.parquet"
RETRIES = "retries"
CHECKSUMS_SUFFIX = ".sha256"


def list_sources(config: RunConfig) -> list[CorpusListing]:
    """List the corpora of a run, cut to its limit: every k-th utterance, so that all speakers take part."""
    from dataclasses import replace

    listings = list_corpora(config.vctk, config.aishell3, config.microphone)
    total = sum(len(listing.utterances) for listing in listings)
    if config.limit is None or config.limit >= total:
        return listings
    limited, seen = [], 0
    for listing in listings:
        kept = [
            utterance
            for index, utterance in enumerate(listing.utterances, start=seen)
            if (index + 1) * config.limit // total > index * config.limit // total
        ]
        seen += len(listing.utterances)
        limited.append(replace(listing, utterances=tuple(kept)))
    return limited


def corpus_roots(listings: Sequence[CorpusListing]) -> dict[str, Location]:
    """The folder or URL that the paths of each corpus are relative to."""
    return {listing.corpus: listing.root for listing in listings}


def ensure_source(
    config: RunConfig,
    listings: Sequence[CorpusListing],
    monitor: Monitor,
    examine: "Callable[[pa.Table], pa.Table]" = lambda table: table,
) -> "pa.Table":
    """Read the run's source manifest, or make it by reading every file of the corpora once.

    Args:
        config: Configuration of the run.
        listings: Its corpora.
        monitor: Told about the progress.
        examine: Completes, or refuses, a manifest that was made, before it is published.
    """
    path = config.out / SOURCE
    if path.is_file():
        table = read_source_table(path)
        _tell_differences(table, listings, monitor)
        return table
    table = examine(inspect(listings, monitor))
    publish_source(table, path)
    return table


def inspect(listings: Sequence[CorpusListing], monitor: Monitor) -> "pa.Table":
    """Decode and hash every listed file."""
    from codecfake.pipeline.devices import cpu_count
    from codecfake.pipeline.inspection import inspect_corpora

    total = sum(len(listing.utterances) for listing in listings)
    monitor.begin("Reading the corpora", total, "utterances")
    table = inspect_corpora(listings, cpu_count(), count_into(monitor))
    monitor.end()
    return table


def publish_source(table: "pa.Table", path: Path) -> None:
    """Publish a source manifest as Parquet, with a CSV beside it for people, and the digests of both."""
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    check_schema(table, source_schema(), str(path))
    with published(path.with_suffix(".csv")) as temporary:
        csv.write_csv(table, temporary)
    with published(path) as temporary:
        pq.write_table(table, temporary)
        # Before the table is there: who finds it makes it never again.
        files = {path: temporary, path.with_suffix(".csv"): None}
        publish_checksums(path.with_suffix(CHECKSUMS_SUFFIX), files)


def read_source_list(path: Path) -> "pa.Table":
    """Read the CSV beside a source manifest, which says the same."""
    import pyarrow.csv as csv

    table = csv.read_csv(
        path.with_suffix(".csv"),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        # Only text is quoted, so that an empty text is no empty cell.
        convert_options=csv.ConvertOptions(
            column_types=source_schema(),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    check_schema(table, source_schema(), str(path.with_suffix(".csv")))
    refuse_escapes(table, stems=["utterance_id"])
    return table.cast(source_schema()).combine_chunks()


def read_source_table(path: Path) -> "pa.Table":
    """Read a source manifest and check it; an utterance's name becomes that of its files."""
    table = read_parquet(path, next_step="codecfake retry RUN, which reads the corpora again")
    check_schema(table, source_schema(), str(path))
    refuse_escapes(table, stems=["utterance_id"])
    return table


def current_source(run_dir: Path) -> "pa.Table":
    """The source manifest of a run, with the rows that retries have read anew in place of the old ones."""
    import pyarrow as pa

    tables = [read_source_table(run_dir / SOURCE)]
    tables += [read_source_table(path) for path in retry_sources(run_dir)]
    if len(tables) == 1:
        return tables[0]
    rows = {row["utterance_id"]: row for table in tables for row in table.to_pylist()}
    return pa.Table.from_pylist(list(rows.values()), schema=source_schema())


def retry_sources(run_dir: Path) -> list[Path]:
    """The source manifests of the retries of a run; one whose tasks were not published never came to count."""
    found = sorted((run_dir / RETRIES).glob(f"*/{SOURCE}"))
    return [path for path in found if path.with_name(ITEMS).is_file()]


def _tell_differences(table: "pa.Table", listings: Sequence[CorpusListing], monitor: Monitor) -> None:
    planned = set(table["utterance_id"].to_pylist())
    listed = {utterance.utterance_id for listing in listings for utterance in listing.utterances}
    if new := len(listed - planned):
        monitor.say(
            f"{new} utterances are new in the corpora since this run began; a new run would take them."
        )
    if gone := len(planned - listed):
        monitor.say(
            f"{gone} utterances of this run are gone from the corpora; what needs them is quarantined."
        )
