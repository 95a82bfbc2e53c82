"""Holding the audio that a published split names against the audio that its run has now.

A split that is older than a retry, or than a loss of shards, names files that were replaced or that are nobody's any
more. Nothing else tells: such a file may still lie there, and match the tree.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.derived import MANIFEST
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.records import read_parquet
from codecfake.pipeline.shard_store import AUDIO

if TYPE_CHECKING:
    import pyarrow as pa


def stale_audio(split: Path, items: "pa.Table", absent: Collection[str] = ()) -> str:
    """Say what is wrong with the audio that a split names; empty when nothing is, or its manifest is damaged.

    Args:
        split: Folder of the split.
        items: The rows that count of all published shards, as `read_items` gives them.
        absent: Shards, as ``shards/F01/00000``, that are to be made again: what is named of them is not lost.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        named = read_parquet(split / MANIFEST, ["path", "sha256"])
    except (OSError, ValueError, CodecfakeError) as error:
        refuse_exhaustion(error)
        return ""  # told of the manifest
    found = pc.index_in(named["path"], value_set=items["path"].combine_chunks())
    is_same = pc.equal(items["sha256"].take(found), named["sha256"])
    stale = named["path"].filter(pc.invert(pc.fill_null(is_same, fill_value=False)))
    if absent:
        shards = pc.replace_substring_regex(stale, f"/{AUDIO}/[^/]*$", "")
        stale = stale.filter(pc.invert(pc.is_in(shards, value_set=pa.array(sorted(absent), pa.string()))))
    if not len(stale):
        return ""
    return f"{len(stale):,} of its files, such as {stale[0]}, were replaced or lost since it was made"
