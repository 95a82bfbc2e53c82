"""The source manifest of an imported run: one row per utterance, as far as its bona fide file tells."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.schema import REAL, source_schema
from codecfake.pipeline.imports.listing import Listing

if TYPE_CHECKING:
    import pyarrow as pa

NO_RECORDING = "no bona fide file"


def source_of(run_dir: Path, listing: Listing, items: "pa.Table", pool: ThreadPoolExecutor) -> "pa.Table":
    """Make the source manifest of an import.

    Args:
        run_dir: The run folder; ``path`` is relative to it, and empty where there is no bona fide file.
        listing: The dataset.
        items: The rows of all shards.
        pool: Reads the headers of the bona fide files.

    Returns:
        A table in the source schema, sorted by utterance. No row has a reason: an utterance without a bona fide file
        still has its fakes.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = listing.files["utterance_id"].combine_chunks().dictionary_encode()
    _, first = np.unique(encoded.indices.to_numpy(), return_index=True)
    about = listing.files.select(["utterance_id", "corpus", "language", "speaker"]).take(pa.array(first))
    about = about.sort_by("utterance_id").combine_chunks()
    is_real = pc.and_(pc.equal(items["codec"], REAL), items["reason"].is_null())
    real = items.filter(is_real).combine_chunks()
    formats = list(pool.map(lambda path: _format_of(run_dir / path), real["path"].to_pylist(), chunksize=256))
    real = real.append_column("channels", pa.array([channels for channels, _ in formats], pa.int16()))
    real = real.append_column("subtype", pa.array([subtype for _, subtype in formats], pa.string()))
    rows = pc.index_in(about["utterance_id"], value_set=real["utterance_id"].combine_chunks())
    real = real.take(rows)
    count, empty = len(about), {"path": "", "seconds": 0.0, "samples": 0, "sample_rate": 0}
    empty |= {"channels": 0, "subtype": ""}
    columns = {name: about[name] for name in about.column_names}
    columns |= {name: pc.fill_null(real[name], value) for name, value in empty.items()}
    columns |= {
        "gender": pa.repeat("", count),
        "sha256": real["sha256"],
        "notes": pc.if_else(real["sha256"].is_null(), NO_RECORDING, ""),
    }
    schema = source_schema()
    for name in ("transcript", "reason", "message"):
        columns[name] = pa.nulls(count, pa.string())
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _format_of(path: Path) -> tuple[int, str]:
    import soundfile

    info = soundfile.info(path)
    return info.channels, info.subtype
