"""Schemas of the tables in a run folder, and the one check that a table keeps to its schema."""

from functools import cache
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError

if TYPE_CHECKING:
    import pyarrow as pa

REAL = "real"
"""The codec name under which bona fide audio is stored."""


@cache
def source_schema() -> "pa.Schema":
    """One row per utterance that the corpora hold, usable or not.

    ``reason`` is null for a usable utterance; ``path`` is relative to the root of its corpus.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("utterance_id", pa.string(), nullable=False),
            pa.field("corpus", pa.string(), nullable=False),
            pa.field("language", pa.string(), nullable=False),
            pa.field("speaker", pa.string(), nullable=False),
            pa.field("gender", pa.string(), nullable=False),
            pa.field("transcript", pa.string()),
            pa.field("path", pa.string(), nullable=False),
            pa.field("seconds", pa.float64(), nullable=False),
            pa.field("samples", pa.int64(), nullable=False),
            pa.field("sample_rate", pa.int32(), nullable=False),
            pa.field("channels", pa.int16(), nullable=False),
            pa.field("subtype", pa.string(), nullable=False),
            pa.field("sha256", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("message", pa.string()),
            pa.field("notes", pa.string(), nullable=False),
        ]
    )


@cache
def item_schema() -> "pa.Schema":
    """One row per utterance of a shard; ``reason`` is null when its audio was published."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("utterance_id", pa.string(), nullable=False),
            pa.field("codec", pa.string(), nullable=False),
            pa.field("file", pa.string(), nullable=False),
            pa.field("path", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("message", pa.string()),
            pa.field("samples", pa.int64(), nullable=False),
            pa.field("seconds", pa.float64(), nullable=False),
            pa.field("sample_rate", pa.int32(), nullable=False),
            pa.field("source_sha256", pa.string()),
            pa.field("sha256", pa.string()),
            pa.field("clipped_samples", pa.int32(), nullable=False),
        ]
    )


@cache
def dataset_schema() -> "pa.Schema":
    """One row per audio file of a split.

    ``source_sha256`` is empty where an imported dataset lacks the recording of a fake.
    ``split`` says where the file is used, ``source_split`` where its utterance belongs: they differ for the
    fakes of an unseen codec, which cover the whole corpus and are all evaluated.
    """
    import pyarrow as pa

    text = ("file", "label", "method", "codec", "codec_config", "checkpoint_sha256", "utterance_id")
    about = ("source_sha256", "corpus", "language", "speaker", "gender", "split", "source_split")
    return pa.schema(
        [
            *(pa.field(name, pa.string(), nullable=False) for name in (*text, *about)),
            pa.field("conditions", pa.list_(pa.string()), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            pa.field("samples", pa.int64(), nullable=False),
            pa.field("seconds", pa.float64(), nullable=False),
            pa.field("sample_rate", pa.int32(), nullable=False),
            pa.field("sha256", pa.string(), nullable=False),
        ]
    )


def check_schema(table: "pa.Table", schema: "pa.Schema", where: str) -> None:
    """Refuse a table that has other columns than its schema, or nulls where none may be.

    Args:
        table: The table to check.
        schema: What it has to be.
        where: The file or step it came from, for the message.

    Raises:
        CodecfakeError: If the table does not keep to the schema; the message names the column.
    """
    found = {field.name: field.type for field in table.schema}
    wanted = {field.name: field.type for field in schema}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            types = f"is {found.get(name, 'absent')}, expected {wanted.get(name, 'none')}"
            raise CodecfakeError(
                f"{where}: column {name!r} {types}",
                cause="the table was written by another version of codecfake",
            )
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise CodecfakeError(f"{where}: column {field.name!r} has empty cells")
