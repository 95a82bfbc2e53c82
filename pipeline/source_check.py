"""Holding the source manifest of a run against the shards that were published of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.reasons import Reason
from codecfake.manifests.records import read_parquet
from codecfake.pipeline.shard_store import is_published, read_shard_items, shard_path
from codecfake.pipeline.shards import Shard
from codecfake.pipeline.source import SOURCE, read_source_table, retry_sources

if TYPE_CHECKING:
    import pyarrow as pa


def unknown_utterances(run_dir: Path, items: "pa.Table") -> str:
    """Say which audio comes from no utterance of the source manifest; empty when none does, or it is damaged.

    Args:
        run_dir: The run folder.
        items: The rows that count of all published shards.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        tables = [
            read_parquet(path, ["utterance_id"]) for path in (run_dir / SOURCE, *retry_sources(run_dir))
        ]
    except (OSError, ValueError, CodecfakeError) as error:
        refuse_exhaustion(error)
        return ""  # told of the manifest
    known = pa.concat_tables(tables)["utterance_id"].combine_chunks()
    strange = items["path"].filter(pc.invert(pc.is_in(items["utterance_id"], value_set=known))).drop_null()
    if not len(strange):
        return ""
    return f"{len(strange):,} published files, such as {strange[0]}, come from none of its utterances"


def without_repaired(source: "pa.Table", run_dir: Path) -> "pa.Table":
    """Quarantine what only a retry read, in a source manifest made anew: the first shards were cut without it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tables = [read_source_table(path) for path in retry_sources(run_dir)]
    if not tables:
        return source
    retried = pa.concat_tables(tables)["utterance_id"].combine_chunks()
    is_repaired = pc.and_(pc.is_in(source["utterance_id"], value_set=retried), source["reason"].is_null())
    for name, value in (
        ("reason", str(Reason.SOURCE_CHANGED)),
        ("message", "repaired after the build; a retry read it"),
    ):
        position = source.schema.get_field_index(name)
        column = pc.if_else(is_repaired, value, source[name])
        source = source.set_column(position, source.schema.field(position), column)
    return source


def refuse_other_plan(run_dir: Path, shards: Sequence[Shard]) -> None:
    """Refuse a source manifest that would cut other shards under the ids of published ones.

    Args:
        run_dir: The run folder.
        shards: All shards that would be cut.

    Raises:
        CodecfakeError: If the corpora changed since the manifest that was lost.
    """
    for shard in shards:
        if not is_published(run_dir, shard.codec, shard.id):
            continue
        items = read_shard_items(shard_path(run_dir, shard.codec, shard.id))
        if set(items["utterance_id"].to_pylist()) != {row["utterance_id"] for row in shard.utterances}:
            raise CodecfakeError(
                f"the corpora are not those that {run_dir} was built from: {shard.codec}/{shard.id} differs",
                cause=f"{SOURCE} was lost, and files of the corpora were added, removed or changed since the build",
                next_step="bring the corpora back to what they were, then repeat the command",
            )
