"""Taking files into shards of a run, or of a robustness condition in it; what is published is not taken again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.pipeline.imports.listing import Listing
from codecfake.pipeline.imports.record import shard_id
from codecfake.pipeline.imports.taking import import_shard
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retry_numbers import next_number
from codecfake.pipeline.shard_store import RETRY_PREFIX, is_published, read_items

if TYPE_CHECKING:
    import pyarrow as pa

FILES_PER_SHARD = 1024


def cut(files: "pa.Table") -> Iterator[tuple[str, str, np.ndarray]]:
    """Codec, id and rows of every shard; the same for the same lists, whatever audio there is."""
    encoded = files["codec"].combine_chunks().dictionary_encode()
    indices = encoded.indices.to_numpy()
    for position, codec in enumerate(encoded.dictionary.to_pylist()):
        rows = np.flatnonzero(indices == position)
        for index, start in enumerate(range(0, len(rows), FILES_PER_SHARD)):
            yield codec, shard_id(index), rows[start : start + FILES_PER_SHARD]


def take_files(
    home: Path,
    place: str,
    listing: Listing,
    files: "pa.Table",
    title: str,
    pool: ThreadPoolExecutor,
    monitor: Monitor,
) -> tuple[int, int]:
    """Take files, those among them that have come since an earlier call.

    Args:
        home: Folder that holds ``shards``: the run, or the store of a robustness condition.
        place: Where that is in the run: empty, or ending with ``/``.
        listing: The dataset.
        files: What is taken, with the columns of ``listing.files``.
        title: What the progress is called.
        pool: Works on the files.
        monitor: Told about every file.

    Returns:
        Number of shards that this call planned to take, and of those that were there.

    Raises:
        Stopped: If the user asked to stop; shards that were published stay.
    """
    plan = list(cut(files))
    todo = [part for part in plan if not is_published(home, *part[:2])]
    monitor.begin(title, sum(len(rows) for _, _, rows in todo), "files")
    for codec, name, rows in todo:
        import_shard(home, place, listing, codec, name, files.take(rows).to_pylist(), pool, monitor)
    monitor.end()
    _take_what_came_since(home, place, listing, files, pool, monitor)
    return len(todo), len(plan) - len(todo)


def _take_what_came_since(
    home: Path,
    place: str,
    listing: Listing,
    files: "pa.Table",
    pool: ThreadPoolExecutor,
    monitor: Monitor,
) -> None:
    """Try quarantined files again that are there now, as after one more archive was unpacked; shards are added."""
    import pyarrow.compute as pc

    items = read_items(home)
    lost = items.filter(items["reason"].is_valid())["file"].combine_chunks()
    rows = np.flatnonzero(pc.is_in(files["file"], value_set=lost))
    paths = files["path"].take(rows).to_pylist()
    rows = rows[[is_there for is_there in pool.map(lambda path: (listing.root / path).is_file(), paths)]]
    prefix = f"{RETRY_PREFIX}{next_number(home):03d}-"
    for codec, index, part in cut(files.take(rows)):
        some = files.take(rows[part]).to_pylist()
        import_shard(home, place, listing, codec, f"{prefix}{index}", some, pool, monitor, is_retry=True)
