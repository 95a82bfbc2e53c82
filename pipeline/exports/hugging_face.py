"""Hugging Face: Parquet with the audio inside, and the same as an AudioFolder of links."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.manifests.atomic import published
from codecfake.manifests.labels import Label
from codecfake.pipeline.exports.contents import Contents, about
from codecfake.pipeline.exports.groups import Group, group_rows
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.links import link_audio
from codecfake.pipeline.exports.naming import audio_name
from codecfake.pipeline.exports.units import Unit, cut
from codecfake.pipeline.monitor import Monitor

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_BYTES = 500e6
ROWS_PER_GROUP = 100
"""Rows that a reader has in memory at once, audio and all; what the Hub's viewer works well with."""
FILES_PER_FOLDER = 5_000
"""The Hub takes at most 10,000."""
AUDIO_FOLDER = "audiofolder"
SPLIT_NAMES = {"train": "train", "dev": "validation", "eval": "test"}
VALUES = {"string": "string", "int64": "int64", "int32": "int32", "double": "float64"}


def plan(contents: Contents) -> list[Unit]:
    """Parquet files per group, numbered as the Hub numbers them."""
    units = []
    for group in group_rows(contents):
        name = "validation" if group.name == "dev" else group.name
        parts = cut(contents, group.rows, PARQUET_BYTES)
        units += [
            Unit(f"data/{name}-{at:05d}-of-{len(parts):05d}.parquet", group.name, part)
            for at, part in enumerate(parts)
        ]
    return units


def configurations(contents: Contents) -> list[dict[str, Any]]:
    """The ``configs`` of the card: everything by default, and the trials of each condition.

    A condition that shares a group with trials of others has no configuration.
    """
    groups = group_rows(contents)
    clean = [group for group in groups if group.name.startswith("test-") and not group.setting]
    # What robustness conditions derive from the files of test is not mixed in.
    tested = [_files_of(group) for group in clean] if contents.settings else "data/test-*"
    parts = {"train": "data/train-*", "dev": "data/validation-*"}
    data_files: list[dict[str, Any]] = [
        {"split": SPLIT_NAMES[group.name], "path": parts[group.name]}
        for group in groups
        if group.name in parts
    ]
    data_files += [{"split": "test", "path": tested}] if clean else []
    mixed = {name for group in groups if not group.is_alike for name in group.conditions}
    conditions = dict.fromkeys(name for group in groups for name in group.conditions if name not in mixed)
    return [{"config_name": "default", "default": True, "data_files": data_files}] + [
        {
            "config_name": name,
            "data_files": [
                {"split": "test", "path": [_files_of(group) for group in groups if name in group.conditions]}
            ],
        }
        for name in conditions
    ]


def _files_of(group: Group) -> str:
    return f"data/{group.name}-?????-of-*"


def write_unit(contents: Contents, out: Path, unit: Unit, path: Path, monitor: Monitor) -> None:
    """Write a Parquet file with the columns ``audio``, ``label`` as a class index, and the manifest's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(contents)
    batch: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(batch, schema))
            batch.clear()

        for row, content in contents.read(unit.rows, monitor):
            audio = {"bytes": content, "path": audio_name(row["file"], row["path"])}
            batch.append(about(row) | {"audio": audio, "label": int(Label.parse(row["label"]))})
            if len(batch) == ROWS_PER_GROUP:
                flush()
        if batch:
            flush()


def write_loose(contents: Contents, out: Path, monitor: Monitor) -> None:
    """Make the AudioFolder: links, and last a ``metadata.jsonl`` per split."""
    paths = _audio_folder_paths(contents)
    link_audio(contents, out, paths, monitor)
    for split, metadata in _metadata_files(contents).items():
        folder = f"{AUDIO_FOLDER}/{split}/"
        rows = [row for row, path in paths.items() if path.startswith(folder)]
        with published(out / metadata) as temporary, temporary.open("w", encoding="utf-8") as file:
            for start in range(0, len(rows), FILES_PER_FOLDER):
                some = rows[start : start + FILES_PER_FOLDER]
                for row, content in zip(some, contents.rows(np.array(some)), strict=True):
                    line = {"file_name": paths[row].removeprefix(folder)} | about(content)
                    # A list that is empty in one split and not in another would have two types.
                    line["conditions"] = ";".join(line["conditions"])
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _audio_folder_paths(contents: Contents) -> dict[int, str]:
    """``audiofolder/train/F04/002/NAME.wav`` per row: numbered folders of the same few thousand files on every call.

    Files under a robustness condition have none: a folder of any name with "test" in it is read as part of test.
    """
    columns = (contents.table[name].to_pylist() for name in ("split", "codec", "file", "path"))
    rows = zip(*columns, contents.setting.to_pylist(), strict=True)
    counts: Counter[tuple[str, str]] = Counter()
    paths = {}
    for row, (split, codec, file, path, setting) in enumerate(rows):
        if setting:
            continue
        number = counts[split, codec] // FILES_PER_FOLDER
        counts[split, codec] += 1
        folder = f"{AUDIO_FOLDER}/{SPLIT_NAMES[split]}/{codec}/{number:03d}"
        paths[row] = f"{folder}/{audio_name(file, path)}"
    return paths


def _metadata_files(contents: Contents) -> dict[str, str]:
    """The list of each split that has files."""
    present = set(contents.table["split"].unique().to_pylist())
    return {
        name: f"{AUDIO_FOLDER}/{name}/metadata.jsonl"
        for split, name in SPLIT_NAMES.items()
        if split in present
    }


def _schema(contents: Contents) -> "pa.Schema":
    """The schema, with the features that the library ``datasets`` reads from it."""
    import pyarrow as pa

    fields = [pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    features: dict[str, Any] = {"audio": {"_type": "Audio"}}
    for field in contents.table.schema:
        if field.name == "path":
            continue
        if field.name == "label":
            fields.append(pa.field("label", pa.int64()))
            names = [label.published_name for label in Label]
            features["label"] = {"names": names, "_type": "ClassLabel"}
        elif pa.types.is_list(field.type):
            fields.append(field)
            features[field.name] = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
        else:
            fields.append(field.with_nullable(True))
            features[field.name] = {"dtype": VALUES[str(field.type)], "_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(fields, metadata=metadata)


LAYOUT = Layout(
    plan,
    write_unit,
    write_loose,
    loose_audio=lambda contents: _audio_folder_paths(contents).values(),
    loose_lists=lambda contents: list(_metadata_files(contents).values()),
    configurations=configurations,
)
