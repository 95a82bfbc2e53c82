"""What an import did not take, or not as it was: from the lists, from copies that differ, from the audio."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.atomic import published
from codecfake.pipeline.imports.listing import Problem, ProblemKind
from codecfake.pipeline.imports.taking import DIFFERENT_COPIES

if TYPE_CHECKING:
    import pyarrow as pa

SAVED_AS = "import-problems.csv"
COLUMNS = ("where", "what", "reason", "message")


def find_problems(
    told: Sequence[Problem], records: Sequence[Mapping[str, Any]], items: "pa.Table"
) -> "pa.Table":
    """Collect everything that did not fit.

    Args:
        told: What the lists have.
        records: ``shard.json`` of all shards.
        items: Their rows; the quarantined ones may be as many as the dataset has files.

    Returns:
        The string columns ``COLUMNS``; ``where`` is a list, a folder, or a codec.
    """
    import pyarrow as pa

    told = [*told, *_different_copies(records)]
    cells = [[str(getattr(problem, name)) for problem in told] for name in COLUMNS]
    lines = pa.table([pa.array(column, pa.string()) for column in cells], names=COLUMNS)
    quarantined = items.filter(items["reason"].is_valid()).select(["codec", "file", "reason", "message"])
    return pa.concat_tables([lines, quarantined.rename_columns(list(COLUMNS))], promote_options="permissive")


def publish_problems(run_dir: Path, problems: "pa.Table") -> Path:
    """Publish problems as CSV with a header, and tell where."""
    import pyarrow.csv as csv

    path = run_dir / SAVED_AS
    with published(path) as temporary:
        csv.write_csv(problems, temporary, csv.WriteOptions(quoting_style="needed"))
    return path


def _different_copies(records: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for record in records:
        for file, paths in record[DIFFERENT_COPIES].items():
            for path in paths:
                message = f"{path} is another file than the one of that name that was taken"
                yield Problem(path.rpartition("/")[0], file, ProblemKind.DIFFERENT_COPY, message)
