"""What a run folder tells about how it was made: settings, machine, speed, what failed, and licences."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codecfake.codec_adapters import CodecError, find_codec
from codecfake.flows.report.data_counts import DataCounts
from codecfake.flows.report.page_tables import EMPTY, UNKNOWN, PageTable
from codecfake.manifests.derived import derived_folder, derived_manifests
from codecfake.manifests.measurements import without_folders
from codecfake.manifests.records import read_json
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import codec_role
from codecfake.pipeline.conditions.store import read_record as read_setting
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.exports.licences import AS_PUBLISHED, codec_licences, licences_of_corpora
from codecfake.pipeline.fingerprint import SAVED_AS as STAMP
from codecfake.pipeline.fingerprint import weights_key
from codecfake.pipeline.imports.record import ImportRecord, read_import
from codecfake.pipeline.shard_store import published_shards, read_record
from codecfake.pipeline.splitting import SPLITS_FOLDER
from codecfake.pipeline.status import RunStatus, is_run, status_of

QUARANTINED_LISTED = 50


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run; empty for a downloaded dataset."""

    stamp: dict[str, Any] = field(default_factory=dict)
    """``run.json``."""
    weights: str = ""
    """official, mini, a folder, or as published; empty where it is not known."""
    imported: ImportRecord | None = None
    """What the run was imported from, if it was not built."""
    status: RunStatus | None = None
    records: tuple[dict[str, Any], ...] = ()
    """``shard.json`` of every published shard."""
    split: dict[str, Any] = field(default_factory=dict)
    """``splits.json``."""
    settings: dict[str, str] = field(default_factory=dict)
    """What every robustness condition of the split does."""

    @property
    def fingerprint(self) -> dict[str, str]:
        """What decides the audio."""
        return self.stamp.get("fingerprint", {})

    @property
    def origin(self) -> dict[str, str]:
        """The fingerprint, or the lists that an import read."""
        lists = self.imported.lists if self.imported else {}
        return self.fingerprint | {f"sha256 of {path}": digest for path, digest in lists.items()}

    @property
    def command(self) -> str:
        """The command of the build, without the folders of that machine."""
        words = shlex.split(self.stamp.get("process", {}).get("command", ""))
        return shlex.join(map(without_folders, words))


def read_run_facts(data: Path, split: str) -> RunFacts:
    """Read what there is; a run that was not built here, or not wholly, has less of it."""
    imported, is_known = read_import(data), is_run(data)
    weights = saved_config(data).weights if is_known and not imported else ""
    if imported:
        weights = imported.weights or AS_PUBLISHED
    folder = data / SPLITS_FOLDER / split
    return RunFacts(
        stamp=_read_json(data / STAMP),
        weights=weights,
        imported=imported,
        status=status_of(data) if is_known else None,
        records=tuple(read_record(shard) for shard in published_shards(data)) if is_known else (),
        split=_read_json(folder / "splits.json"),
        settings={
            setting: read_setting(derived_folder(folder, setting)).get("description", "")
            for setting in derived_manifests(folder)
        },
    )


def _read_json(path: Path) -> dict[str, Any]:
    return read_json(path, {}) if path.is_file() else {}


def speed_table(facts: RunFacts) -> PageTable:
    """Run time and throughput of every codec."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    devices: dict[str, set[str]] = defaultdict(set)
    for record in facts.records:
        for name in ("wall_seconds", "source_seconds", "published"):
            sums[record["codec"]][name] += record[name]
        devices[record["codec"]].add(record.get("device", EMPTY))  # nothing ran on one in an import
    rows = [
        [
            codec,
            f"{total['published']:,}",
            f"{total['wall_seconds']:,.1f}",
            f"{total['source_seconds'] / total['wall_seconds']:,.1f}" if total["wall_seconds"] else EMPTY,
            ", ".join(sorted(devices[codec])),
        ]
        for codec, total in sorted(sums.items(), key=lambda entry: codec_role(entry[0]).order)
    ]
    columns = ["codec", "files", "seconds of work", "times real time", "device"]
    return PageTable("Run time and throughput over the published shards", columns, rows)


def reasons_table(status: RunStatus) -> PageTable:
    """How many source files and outputs were quarantined, by reason."""
    kinds = (
        ("source file", status.source_reasons),
        ("file of the dataset" if status.imported_from else "output of a codec", status.codec_reasons),
    )
    rows = [[reason, kind, f"{count:,}"] for kind, found in kinds for reason, count in sorted(found.items())]
    return PageTable("Quarantined files by reason", ["reason", "what", "files"], rows)


def quarantine_table(status: RunStatus) -> PageTable:
    """The first quarantined files with what was wrong."""
    chosen = status.quarantined[:QUARANTINED_LISTED]
    rows = [[row["what"], row["reason"], row["message"] or ""] for row in chosen]
    caption = f"{len(chosen):,} of {len(status.quarantined):,} quarantined files"
    return PageTable(caption, ["file", "reason", "message"], rows)


def corpora_table(facts: RunFacts, counts: DataCounts) -> PageTable:
    """Licences of the recordings."""
    rows = licences_of_corpora(sorted(counts.corpora), facts.stamp, facts.imported).items()
    return PageTable("Recordings", ["corpus", "licence as published"], [list(row) for row in rows])


def codecs_table(facts: RunFacts, counts: DataCounts, conditions: Collection[str]) -> PageTable:
    """What each codec is, which of the conditions it makes, and its licences."""
    rows = []
    for codec in counts.codecs:
        if codec == REAL:
            continue
        licences = codec_licences(codec, facts.weights)
        weights = licences.weights if facts.weights else UNKNOWN
        card = _card(codec) if facts.fingerprint else (UNKNOWN, EMPTY)  # others may have used another model
        sha256 = facts.fingerprint.get(weights_key(codec), "")[:12]
        condition = next((name for name in (codec_role(codec).condition, codec) if name in conditions), EMPTY)
        rows.append([codec, condition, *card, licences.code, weights, sha256 or EMPTY])
    columns = ["codec", "condition", "model", "kbit/s", "licence of the code", "of the weights", "sha256"]
    return PageTable("Codecs", columns, rows).informative()


def _card(codec: str) -> tuple[str, str]:
    try:
        card = find_codec(codec).card
    except CodecError:
        return UNKNOWN, EMPTY
    return card.name, f"{card.kilobits_per_second:.3g}"
