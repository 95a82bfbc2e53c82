"""The dataset manifest: one row per audio file of a split, as a table, as Parquet and as CSV."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.atomic import published
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.schema import REAL, check_schema, dataset_schema
from codecfake.manifests.splits import NOWHERE, SPLITS, Placement, codec_role, condition_order, source_rows

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 131_072
DIGEST_COLUMNS = ("file", "sha256", "source_sha256", "split", "source_split", "conditions", "path")


@dataclass(frozen=True)
class CodecRecord:
    """What the manifest says about the codec of a fake."""

    config_json: str
    checkpoint_sha256: str


def build_dataset_table(
    source: "pa.Table", items: "pa.Table", codecs: Mapping[str, CodecRecord], placement: Placement
) -> "pa.Table":
    """Join the source manifest, the built files and their placement.

    Args:
        source: The source manifest.
        items: The item table of all shards; quarantined rows are left out.
        codecs: A record for every codec of ``items`` but ``real``.
        placement: Where each row of ``items`` is used; files in no split are left out.

    Returns:
        The dataset table: bona fide files first, then by codec, each ordered by utterance id.

    Raises:
        CodecfakeError: If a file appears twice, lacks its path or hash, or has an unknown utterance or codec.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    items, source = items.combine_chunks(), source.combine_chunks()
    encoded = items["codec"].combine_chunks().dictionary_encode()
    codec_index, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    if unknown := sorted(set(names) - codecs.keys() - {REAL}):
        raise CodecfakeError(f"no record of the codec {', '.join(unknown)}, which has built files")

    utterances = source_rows(items, source)
    _refuse_twins(items, codec_index.astype(np.int64) * source.num_rows + utterances)
    rank = np.empty(source.num_rows, dtype=np.int64)
    rank[pc.sort_indices(source["utterance_id"]).to_numpy()] = np.arange(source.num_rows)
    is_used = items["reason"].is_null().to_numpy() & (placement.split != NOWHERE)
    conditions = pa.array(placement.condition_sets, pa.list_(pa.string()))

    schema = dataset_schema()
    parts = []
    for name in sorted(names, key=lambda name: codec_role(name).order):
        rows = np.flatnonzero(is_used & (codec_index == names.index(name)))
        rows = rows[np.argsort(rank[utterances[rows]])]
        item = items.take(pa.array(rows))
        origin = source.select(["sha256", "corpus", "language", "speaker", "gender"])
        origin = origin.take(pa.array(utterances[rows]))
        record = CodecRecord("", "") if name == REAL else codecs[name]
        label = Label.BONA_FIDE if name == REAL else Label.SPOOF
        columns = {column: item[column] for column in ("file", "utterance_id", "path", "samples", "seconds")}
        columns |= {column: origin[column] for column in origin.column_names}
        columns |= {
            "label": pa.repeat(label.published_name, len(rows)),
            "method": pa.repeat(codec_role(name).method, len(rows)),
            "codec": pa.repeat(name, len(rows)),
            "codec_config": pa.repeat(record.config_json, len(rows)),
            "checkpoint_sha256": pa.repeat(record.checkpoint_sha256, len(rows)),
            "source_sha256": pc.coalesce(item["source_sha256"], origin["sha256"], ""),
            "split": pa.array(SPLITS).take(pa.array(placement.split[rows])),
            "source_split": pa.array(SPLITS).take(pa.array(placement.source_split[rows])),
            "conditions": conditions.take(pa.array(placement.condition_set[rows])),
            "sample_rate": item["sample_rate"],
            "sha256": item["sha256"],
        }
        parts.append(pa.table([columns[column] for column in schema.names], schema=schema))
    # No empty chunks: pyarrow 18 writes a second CSV header after one.
    table = pa.concat_tables([part for part in parts if part.num_rows] or [schema.empty_table()])
    check_schema(table, schema, "the dataset manifest")
    return table


def _refuse_twins(items: "pa.Table", keys: np.ndarray) -> None:
    distinct, first = np.unique(keys, return_index=True)
    if len(distinct) < len(keys):
        twin = np.setdiff1d(np.arange(len(keys)), first)[0]
        raise CodecfakeError(
            f"{len(keys) - len(distinct):,} files are listed twice by the shards, such as "
            f"{items['file'][int(twin)].as_py()}",
            next_step="codecfake verify RUN",
        )


def digest_table(table: "pa.Table") -> str:
    """Hash what a split is made of: its files, their content and where each is used.

    Returns:
        A sha256, the same on every machine and for every version of the table library.
    """
    digest = hashlib.sha256()
    for name in DIGEST_COLUMNS:
        column = _joined_conditions(table) if name == "conditions" else table[name]
        digest.update(f"{name}\n".encode())
        for chunk in column.chunks:
            digest.update("".join(f"{value}\n" for value in chunk.to_numpy(zero_copy_only=False)).encode())
    return digest.hexdigest()


def write_dataset(table: "pa.Table", folder: Path) -> None:
    """Publish ``manifest.parquet`` and ``manifest.csv``, where conditions are joined by ``;``.

    Args:
        table: A dataset table.
        folder: The folder of the split.

    Raises:
        CodecfakeError: If the table does not keep to the dataset schema.
    """
    import pyarrow.csv
    import pyarrow.parquet

    check_schema(table, dataset_schema(), str(folder / "manifest.parquet"))
    repeated = [name for name in table.column_names if name not in ("file", "path", "sha256", "seconds")]
    with published(folder / "manifest.parquet") as temporary:
        pyarrow.parquet.write_table(
            table, temporary, row_group_size=ROWS_PER_GROUP, compression="zstd", use_dictionary=repeated
        )
    position = table.column_names.index("conditions")
    flat = table.set_column(position, "conditions", _joined_conditions(table))
    with published(folder / "manifest.csv") as temporary:
        pyarrow.csv.write_csv(flat, temporary, pyarrow.csv.WriteOptions(quoting_style="needed"))


def _joined_conditions(table: "pa.Table") -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    return pc.binary_join(table["conditions"], ";")


def condition_rows(table: "pa.Table") -> dict[str, np.ndarray]:
    """Give the rows of each condition, conditions in the order of their codecs."""
    import pyarrow.compute as pc

    sets = table["conditions"].combine_chunks()
    names, parents = pc.list_flatten(sets), np.asarray(pc.list_parent_indices(sets))
    ordered = sorted(pc.unique(names).to_pylist(), key=condition_order)
    return {name: parents[np.asarray(pc.equal(names, name))] for name in ordered}
