"""Hugging Face: Parquet with the audio inside, and the same as an AudioFolder of links."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.manifests.atomic import published
from codecfake.manifests.labels import Label
from codecfake.pipeline.exports.contents import Contents, about
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.links import link_audio
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
    for group, rows in contents.groups().items():
        name = "validation" if group == "dev" else group
        parts = cut(contents, rows, PARQUET_BYTES)
        units += [
            Unit(f"data/{name}-{at:05d}-of-{len(parts):05d}.parquet", group, part)
            for at, part in enumerate(parts)
        ]
    return units


def configurations(contents: Contents) -> list[dict[str, Any]]:
    """The ``configs`` of the card: everything by default, and one configuration per condition."""
    groups = contents.groups()
    conditions = {
        name.removeprefix("test-"): _real_group(contents, name)
        for name in groups
        if name.startswith("test-") and not name.startswith("test-real")
    }
    trained = [
        {"split": split, "path": f"data/{split}-*"}
        for group, split in (("train", "train"), ("dev", "validation"))
        if group in groups
    ]
    tested = (
        [{"split": "test", "path": _tested_files(contents)}]
        if any("test-" in name for name in groups)
        else []
    )
    default = {"config_name": "default", "default": True, "data_files": trained + tested}
    return [default] + [
        {
            "config_name": name,
            "data_files": [
                {"split": "test", "path": [f"data/{real}-?????-of-*", f"data/test-{name}-?????-of-*"]}
            ],
        }
        for name, real in conditions.items()
    ]


def _tested_files(contents: Contents) -> str | list[str]:
    """Where the files of test are as they were built: what robustness conditions derive from them is not mixed in."""
    if not contents.settings:
        return "data/test-*"
    clean = [
        name for name in contents.groups() if name.startswith("test-") and not _setting_of(contents, name)
    ]
    return [f"data/{name}-?????-of-*" for name in clean]


def _setting_of(contents: Contents, group: str) -> str:
    """The robustness condition that a group is under; empty for files as they were built."""
    return next((setting for setting in contents.settings if group.endswith(f"-{setting}")), "")


def _real_group(contents: Contents, group: str) -> str:
    """The bona fide files that a group of fakes is held against."""
    setting = _setting_of(contents, group)
    return f"test-real-{setting}" if setting else "test-real"


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
            audio = {"bytes": content, "path": row["file"]}
            batch.append(about(row) | {"audio": audio, "label": int(Label.parse(row["label"]))})
            if len(batch) == ROWS_PER_GROUP:
                flush()
        if batch:
            flush()


def write_loose(contents: Contents, out: Path, monitor: Monitor) -> None:
    """Make the AudioFolder: links, and last a ``metadata.jsonl`` per split."""
    root = out / AUDIO_FOLDER
    paths = _audio_folder_paths(contents)
    link_audio(contents, root, dict(enumerate(paths)), monitor)
    for split in SPLIT_NAMES.values():
        rows = np.flatnonzero([path.startswith(f"{split}/") for path in paths])
        if not len(rows):
            continue
        with (
            published(root / split / "metadata.jsonl") as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            for start in range(0, len(rows), FILES_PER_FOLDER):
                some = rows[start : start + FILES_PER_FOLDER]
                for row, content in zip(some, contents.rows(some), strict=True):
                    line = {"file_name": paths[row].removeprefix(f"{split}/")} | about(content)
                    # A list that is empty in one split and not in another would have two types.
                    line["conditions"] = ";".join(line["conditions"])
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _audio_folder_paths(contents: Contents) -> list[str]:
    """``train/F04/002/NAME.wav``: numbered folders of the same few thousand files on every call."""
    columns = (contents.table[name].to_pylist() for name in ("split", "codec", "file"))
    counts: dict[tuple[str, str], int] = {}
    paths = []
    for split, codec, file in zip(*columns, strict=True):
        number = counts.get((split, codec), 0)
        counts[split, codec] = number + 1
        paths.append(f"{SPLIT_NAMES[split]}/{codec}/{number // FILES_PER_FOLDER:03d}/{file}")
    return paths


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


LAYOUT = Layout(plan, write_unit, write_loose, configurations=configurations)
