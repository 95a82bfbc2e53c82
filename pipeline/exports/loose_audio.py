"""Which audio an export has beside its archives, and with which bytes, by the lists that it carries itself."""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.records import parse_json
from codecfake.pipeline.exports.hugging_face import AUDIO_FOLDER
from codecfake.pipeline.exports.listing import MANIFEST
from codecfake.pipeline.split_folders import TREE_NAME
from codecfake.pipeline.tree import tree_folders

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("location", "file", "split", "conditions", "sha256")


def read_listing(folder: Path) -> "pa.Table":
    """Read what of ``manifest.csv`` tells where audio lies."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv

    columns = csv.ConvertOptions(
        include_columns=list(COLUMNS), column_types=dict.fromkeys(COLUMNS, pa.string())
    )
    with BufferedReader(open_plain(folder / MANIFEST)) as file:
        table = csv.read_csv(file, csv.ReadOptions(), csv.ParseOptions(newlines_in_values=True), columns)
    position = table.column_names.index("conditions")
    names = pc.split_pattern(table["conditions"], ";")
    none = pa.array([[]], names.type)
    return table.set_column(
        position, "conditions", pc.if_else(pc.equal(table["conditions"], ""), none[0], names)
    )


def expected_audio(folder: Path, form: str, listing: "pa.Table") -> dict[str, str]:
    """Give the sha256 of each audio file that lies beside archives, by its path in the export.

    Args:
        folder: The export, whose lists are whole.
        form: Its format.
        listing: What `read_listing` gave.
    """
    if form == "hf":
        return dict(_of_audio_folder(folder))
    digests = listing["sha256"].to_pylist()
    if form == "tree":
        files = listing["file"].to_pylist()
        return {
            f"{TREE_NAME}/{name}/{files[row]}": digests[row]
            for name, rows in tree_folders(listing).items()
            for row in rows
        }
    return dict(zip(listing["location"].to_pylist(), digests, strict=True)) if form == "asvspoof" else {}


def _of_audio_folder(folder: Path) -> Iterator[tuple[str, str]]:
    for metadata in sorted((folder / AUDIO_FOLDER).glob("*/metadata.jsonl")):
        inside = metadata.parent.relative_to(folder).as_posix()
        with BufferedReader(open_plain(metadata)) as file:
            for line in file:
                row = parse_json(line, metadata)
                yield f"{inside}/{row['file_name']}", row["sha256"]
