"""What an export says of its files: ``manifest.csv``, and the numbers that its card gives."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.atomic import published
from codecfake.pipeline.exports.contents import Contents

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.csv"


def listing(contents: Contents, locations: list[str]) -> "pa.Table":
    """The manifest of an export: every file with its label, origin, licences, and where it lies.

    Args:
        contents: The split.
        locations: Path inside the export of the file, or of the archive that holds it, per row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = contents.table.drop_columns(["path"])
    position = table.column_names.index("conditions")
    table = table.set_column(position, "conditions", pc.binary_join(table["conditions"], ";"))
    return table.add_column(0, "location", pa.array(locations, pa.string()))


def write_manifest(table: "pa.Table", out: Path) -> None:
    """Publish ``manifest.csv``."""
    import pyarrow.csv

    with published(out / MANIFEST) as temporary:
        pyarrow.csv.write_csv(table, temporary, pyarrow.csv.WriteOptions(quoting_style="needed"))


def count_by(table: "pa.Table", columns: list[str]) -> list[dict[str, Any]]:
    """Files and hours per distinct value of some columns, ordered by them."""
    grouped = table.group_by(columns).aggregate([("file", "count"), ("seconds", "sum")])
    rows = grouped.sort_by([(name, "ascending") for name in columns]).to_pylist()
    return [
        {name: row[name] for name in columns}
        | {"files": row["file_count"], "hours": round(row["seconds_sum"] / 3600, 3)}
        for row in rows
    ]
