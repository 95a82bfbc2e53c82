"""What a split keeps of a setting: shards as the build publishes them, a record, and a manifest made from both.

``splits/NAME/conditions/SETTING`` holds ``shards/CODEC/ID`` like a run. The split's own manifest is not touched, so
detectors that were trained on it stay valid; nothing under ``conditions`` is ever trained on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.manifests.atomic import publish_json
from codecfake.manifests.dataset import write_dataset
from codecfake.manifests.derived import MANIFEST, derived_file, derived_name
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.records import read_json
from codecfake.manifests.splits import SPLITS
from codecfake.pipeline.conditions.processing import HEARD_RATE, Setting
from codecfake.pipeline.shard_store import read_items

if TYPE_CHECKING:
    import pyarrow as pa

RECORD = "condition.json"
IMPORTED_FROM = "imported from "
"""How the description of a setting begins that `codecfake import` took."""


def start_store(store: Path, split: Path, setting: Setting, highest_rate: int) -> None:
    """Make a store ready, or refuse one that was begun in another way.

    Args:
        store: Folder of the setting.
        split: Folder of the split.
        setting: What will be done.
        highest_rate: Of the files of the split, in Hz.

    Raises:
        CodecfakeError: If it was imported, or holds files that other versions made, so that the two would mix.
    """
    now: dict[str, Any] = {
        "setting": setting.name,
        "description": setting.describe,
        "versions": dict(setting.versions),
        "manifest_sha256": file_sha256(split / MANIFEST),
        "shards": "one row of shards for each codec and set of conditions",
    }
    if setting.is_at_heard_rate and highest_rate > HEARD_RATE:  # earlier versions took each file's own rate
        now["acts_at"] = HEARD_RATE
    before = read_record(store)
    if str(before.get("description")).startswith(IMPORTED_FROM):
        raise CodecfakeError(
            f"{store} was {before['description']}",
            cause="its files came with the dataset, and none is made here beside them",
            next_step="leave this setting out, or import the dataset again if files of it were missing",
        )
    if before and any(before.get(name) != value for name, value in now.items()):
        raise CodecfakeError(
            f"{store} was made in another way: {before.get('description')}, {before.get('versions')}",
            cause="PyAV, libsndfile or codecfake was updated since, and its files or shards would differ",
            next_step=f"remove {store} to make all of it anew, or go back to those versions",
        )
    if not before:
        publish_json(store / RECORD, now)


def read_record(store: Path) -> dict[str, Any]:
    """Read how a store was made; empty when it was not begun."""
    path = store / RECORD
    again = f"remove {store} and run codecfake conditions RUN --add {store.name}"
    return read_json(path, {}, next_step=again) if path.is_file() else {}


def evaluated_rows(clean: "pa.Table", chosen: Sequence[str] | None) -> "pa.Table":
    """Rows of the files that belong to some conditions of a split.

    Args:
        clean: The split's manifest.
        chosen: Conditions such as C1, or codecs such as F01; all conditions when None.

    Raises:
        CodecfakeError: If the split has no such condition or codec, or nothing to evaluate.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_fake = np.asarray(pc.equal(clean["label"], Label.SPOOF.published_name))
    is_eval = np.asarray(pc.equal(clean["split"], SPLITS[2]))
    fakes = clean.filter(pa.array(is_fake & is_eval)).select(["codec", "conditions"]).combine_chunks()
    known = set(pc.unique(pc.list_flatten(fakes["conditions"])).to_pylist())
    wanted = set(known)
    if chosen is not None:
        codecs = {}
        for codec in pc.unique(fakes["codec"]).to_pylist():
            mine = fakes.filter(pc.equal(fakes["codec"], codec))["conditions"]
            codecs[codec] = set(pc.unique(pc.list_flatten(mine)).to_pylist())
        if unknown := [name for name in chosen if name not in known and name not in codecs]:
            raise CodecfakeError(
                f"the split has no condition {unknown[0]!r}; it has {', '.join(sorted(known))}"
            )
        wanted = set().union(*(codecs.get(name, {name}) for name in chosen))
    if not wanted:
        raise CodecfakeError("the split has no evaluation files", cause="too few utterances were built")
    sets = clean["conditions"].combine_chunks()
    parents = np.asarray(pc.list_parent_indices(sets))
    hits = np.asarray(pc.is_in(pc.list_flatten(sets), value_set=pa.array(sorted(wanted))))
    is_wanted = np.zeros(clean.num_rows, dtype=bool)
    is_wanted[parents[hits]] = True
    return clean.filter(pa.array(is_wanted & is_eval))


def derived_table(store: Path, setting: str, clean: "pa.Table") -> "pa.Table":
    """The manifest of a setting: the rows of the split whose files were processed, with what came out.

    Args:
        store: Folder of the setting.
        setting: Its name.
        clean: The split's manifest.

    Returns:
        A dataset table in the order of ``clean``; conditions of which a file was not tried yet are left out.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    tried = read_items(store)
    items = tried.filter(tried["reason"].is_null()).combine_chunks()
    clean = clean.filter(pc.equal(clean["split"], SPLITS[2]))
    files = pa.array([derived_file(file, setting) for file in clean["file"].to_pylist()], pa.string())
    is_waiting = pc.invert(pc.is_in(files, value_set=tried["file"].combine_chunks()))
    unfinished = set(pc.unique(pc.list_flatten(clean["conditions"].filter(is_waiting))).to_pylist())
    found = pc.index_in(files, value_set=items["file"].combine_chunks())
    table, made = clean.filter(found.is_valid()), items.take(found.drop_null())
    is_fake = pc.equal(table["label"], Label.SPOOF.published_name)
    known = set(pc.unique(pc.list_flatten(table["conditions"].filter(is_fake))).to_pylist()) - unfinished
    conditions = [
        [derived_name(name, setting) for name in names if name in known]
        for names in table["conditions"].to_pylist()
    ]
    columns = {name: made[name] for name in ("file", "path", "samples", "seconds", "sample_rate", "sha256")}
    columns["conditions"] = pa.array(conditions, pa.list_(pa.string()))
    for name, column in columns.items():
        position = table.schema.get_field_index(name)
        table = table.set_column(position, table.schema.field(position), column)
    return table.filter(pc.greater(pc.list_value_length(table["conditions"]), 0))


def publish_manifest(store: Path, table: "pa.Table") -> None:
    """Publish the manifest of a setting, with which it can be scored and evaluated."""
    write_dataset(table, store)
