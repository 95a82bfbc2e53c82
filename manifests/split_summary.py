"""What a split holds, in numbers, and what is odd about it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.manifests.dataset import condition_rows
from codecfake.manifests.labels import Label
from codecfake.manifests.splits import NOWHERE, SEEN, SPLITS, Placement, source_rows

if TYPE_CHECKING:
    import pyarrow as pa


def count_dataset(table: "pa.Table") -> dict[str, dict[str, dict[str, Any]]]:
    """Count bona fide and spoofed files and hours, per split and per condition.

    Args:
        table: A dataset table.

    Returns:
        ``{"splits": {"train": {"real", "fake", "total", "hours"}, ...}, "conditions": {"C1": {...}, ...}}``;
        in ``eval`` a bona fide file counts once, in ``conditions`` once per condition.
    """
    import pyarrow.compute as pc

    is_fake = np.asarray(pc.equal(table["label"], Label.SPOOF.published_name))
    seconds = table["seconds"].to_numpy()

    def count(rows: np.ndarray) -> dict[str, Any]:
        fake = int(is_fake[rows].sum())
        hours = round(float(seconds[rows].sum()) / 3600, 4)
        return {"real": len(rows) - fake, "fake": fake, "total": len(rows), "hours": hours}

    splits = {name: count(np.flatnonzero(pc.equal(table["split"], name))) for name in SPLITS}
    conditions = {name: count(rows) for name, rows in condition_rows(table).items()}
    return {"splits": splits, "conditions": conditions}


def count_left_out(items: "pa.Table", usable: "pa.Table", placement: Placement) -> dict[str, Any]:
    """Count per codec the usable files that are in no split, and the quarantined ones."""
    import pyarrow as pa

    def count(rows: "pa.Table") -> dict[str, int]:
        return {entry["values"]: entry["counts"] for entry in rows["codec"].value_counts().to_pylist()}

    nowhere = usable.filter(pa.array(placement.split == NOWHERE))
    return {"in_no_split": count(nowhere), "quarantined": count(items.filter(items["reason"].is_valid()))}


def warn(summary: dict[str, Any]) -> list[str]:
    """Say what in the summary of a split a user should know before training on it."""
    warnings = []
    for name, counts in (summary["splits"] | summary["conditions"]).items():
        for kind in ("real", "fake"):
            if not counts[kind] and name != "eval":
                warnings.append(f"{name} has no {kind} files")
    if not summary["splits"]["train"]["fake"]:
        warnings.append(f"no detector can be trained on it: that takes a codec of {SEEN[0]} to {SEEN[-1]}")
    if not summary["conditions"]:
        warnings.append("there is no condition to evaluate")
    for match in (summary["labels"] or {}).get("files", []):
        for count, what in (
            (match["without_file"], "labels have no file in this run"),
            (match["contradictions"], "labels contradict how the file was made; its true label is kept"),
            (match["elsewhere"], "labels name files that are already in another split"),
            (match["repeated"], "lines repeat a file"),
            (match["bad_lines"], "lines are not labels"),
        ):
            if count:
                warnings.append(f"{match['name']}.txt: {count:,} {what}")
    if unnamed := (summary["labels"] or {}).get("unnamed"):
        warnings.append(f"{unnamed:,} files of this run are named by no label file")
    return warnings


def warn_of_changed_sources(usable: "pa.Table", source: "pa.Table") -> list[str]:
    """Say how many files were made from another recording than the source manifest describes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    listed = source["sha256"].combine_chunks().take(pa.array(source_rows(usable, source)))
    changed = pc.sum(pc.not_equal(usable["source_sha256"], listed)).as_py()
    return [f"{changed:,} files were made from other bytes than source.parquet lists"] if changed else []
