"""How two runs were made: settings, versions and hardware, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import read_json
from codecfake.pipeline.fingerprint import SAVED_AS, read_stamp
from codecfake.pipeline.imports.record import ImportRecord, read_import
from codecfake.pipeline.shard_store import published_shards, read_record

ABSENT = "-"
MAKERS = ("device", "made_with")
"""What a shard says about who made it."""


@dataclass(frozen=True)
class Difference:
    """One setting, version or piece of hardware."""

    name: str
    first: str
    second: str


def compare_circumstances(first: Path, second: Path) -> list[Difference]:
    """Name what differs in how two runs were made, settings first.

    Host, process, time and command are left out: they differ always, and decide nothing.

    Args:
        first: A run folder.
        second: Another one.

    Raises:
        CodecfakeError: If one of them is no run folder.
    """
    told = [_describe(run_dir) for run_dir in (first, second)]
    names = dict.fromkeys(name for facts in told for name in facts)
    pairs = [Difference(name, *(facts.get(name, ABSENT) for facts in told)) for name in names]
    return [pair for pair in pairs if pair.first != pair.second]


def _describe(run_dir: Path) -> dict[str, str]:
    if not (run_dir / SAVED_AS).is_file():
        raise CodecfakeError(
            f"{run_dir} is no run folder: it holds no {SAVED_AS}",
            cause="the path is mistyped, or the build has not started",
            next_step="codecfake compare RUN1 RUN2",
        )
    imported = read_import(run_dir)
    stamp = read_json(run_dir / SAVED_AS, {}) if imported else read_stamp(run_dir)
    settings = _of_import(imported) if imported else _flat(stamp["fingerprint"])
    environment = stamp.get("environment")
    told = _flat(environment) if isinstance(environment, Mapping) else {}
    return settings | told | _makers(run_dir)


def _of_import(record: ImportRecord) -> dict[str, str]:
    return {"imported from": record.dataset, "digest of its lists": record.digest, "licence": record.licence}


def _makers(run_dir: Path) -> dict[str, str]:
    """By codec, what its shards were made with; a resumed or shared run may have several machines."""
    found: dict[str, set[str]] = {}
    for shard in published_shards(run_dir):
        record = read_record(shard)
        text = ", ".join(_flat({name: record.get(name, ABSENT) for name in MAKERS}).values())
        found.setdefault(shard.parent.name, set()).add(text)
    return {f"{codec} made by": "; ".join(sorted(texts)) for codec, texts in found.items()}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} ")
        else:
            flat[f"{prefix}{name}"] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat
