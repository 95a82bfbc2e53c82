"""Where a tree comes from: one that codecfake wrote says so in files beside it, or lies in a run."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from codecfake.manifests.plain_files import open_plain, read_plain
from codecfake.manifests.showing import for_markdown
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.exports.licences import GIVEN_LICENCE, MINI_LICENCE, NOT_KNOWN, licences_of_corpora
from codecfake.pipeline.fingerprint import read_stamp
from codecfake.pipeline.imports.record import REBUILT, read_import
from codecfake.pipeline.splitting import SPLITS_FOLDER
from codecfake.pipeline.status import is_run

LARGEST_METADATA = 1 << 26
LONGEST_LICENCE = 300
LICENCE_COLUMNS = ["corpus", "corpus_licence", "weights_licence"]


@dataclass(frozen=True)
class Origin:
    """What a tree is of."""

    dataset: str
    licence: str
    """Of its recordings."""
    licences: dict[str, str]
    """That of each corpus, where they are told apart."""
    weights: str
    """With which its fakes were made: official, mini or other; empty where nothing tells."""


def find_origin(data: Path, datasets: Collection[str]) -> Origin | None:
    """Tell the origin of a tree that codecfake wrote; None for one of which nothing tells that.

    Args:
        data: The tree in an export or in a split of a run, or the export.
        datasets: Names of the datasets that can be imported.

    Raises:
        CodecfakeError: If the run that it lies in is damaged.
    """
    for folder in (data, data.parent):
        if (folder / "export.json").is_file():
            return _of_export(folder, datasets)
    for folder in data.parents:
        if data.is_relative_to(folder / SPLITS_FOLDER) and is_run(folder):
            return _of_run(folder)
    return None


def _of_export(folder: Path, datasets: Collection[str]) -> Origin | None:
    import pyarrow as pa
    import pyarrow.csv as csv

    text = csv.ConvertOptions(
        include_columns=LICENCE_COLUMNS, column_types=dict.fromkeys(LICENCE_COLUMNS, pa.string())
    )
    try:
        name = json.loads(read_plain(folder / "croissant.json", LARGEST_METADATA))["name"]
        with BufferedReader(open_plain(folder / "manifest.csv")) as file:
            rows = csv.read_csv(file, convert_options=text).group_by(LICENCE_COLUMNS).aggregate([])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    dataset = str(name).removesuffix("-imported")
    if dataset not in (REBUILT, *datasets):
        return None
    licences = {
        row["corpus"]: for_markdown(row["corpus_licence"])[:LONGEST_LICENCE] or NOT_KNOWN
        for row in rows.to_pylist()
    }
    return Origin(dataset, _joined(licences), licences, _weights(set(rows["weights_licence"].to_pylist())))


def _weights(licences: Collection[str]) -> str:
    """The weights that the licences of fakes' weights tell; the most doubtful ones where they differ."""
    told = set(licences) - {""}
    for licence, weights in ((MINI_LICENCE, "mini"), (GIVEN_LICENCE, "other"), (NOT_KNOWN, "")):
        if licence in told:
            return weights
    return "official" if told else ""


def _of_run(run_dir: Path) -> Origin:
    if imported := read_import(run_dir):
        return Origin(imported.dataset, imported.licence, imported.licences, imported.weights)
    stamp = read_stamp(run_dir)
    names = [entry.split()[0] for entry in stamp["fingerprint"]["corpora"].split(", ") if entry]
    weights = saved_config(run_dir).weights
    licences = licences_of_corpora(names, stamp, None)
    return Origin(
        REBUILT, _joined(licences), licences, weights if weights in ("official", "mini") else "other"
    )


def _joined(licences: dict[str, str]) -> str:
    """One licence, or that of each corpus."""
    named = [f"{corpus or 'others'}: {licence}" for corpus, licence in sorted(licences.items())]
    joined = "; ".join(named) if len(set(licences.values())) > 1 else "".join(set(licences.values()))
    return for_markdown(joined)[:LONGEST_LICENCE] or NOT_KNOWN
