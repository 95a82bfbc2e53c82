"""The first page: what the data is, how much of it there is, and how it was made."""

import os
from collections.abc import Sequence
from pathlib import Path

from codecfake.detector.trials import SplitTrials
from codecfake.flows.report.data_counts import DataCounts, count_data, parts_table
from codecfake.flows.report.page_tables import PageTable
from codecfake.flows.report.pages import Site
from codecfake.flows.report.run_facts import (
    RunFacts,
    codecs_table,
    corpora_table,
    quarantine_table,
    reasons_table,
    speed_table,
)
from codecfake.manifests.schema import REAL
from codecfake.pipeline.exports.card_texts import SYNTHETIC_WARNING
from codecfake.pipeline.exports.licences import AS_PUBLISHED, is_synthetic
from codecfake.pipeline.provenance import codecfake_version, now

MINI = (
    "The fakes were made with demonstration networks (--weights mini), not with the codecs' published weights. "
    "Do not report results on them."
)


def warnings_of(facts: RunFacts) -> list[str]:
    """What a reader must know before any number of a run."""
    warnings = []
    if is_synthetic(facts.stamp, facts.imported):
        warnings.append(SYNTHETIC_WARNING)
    if facts.weights == "mini":
        warnings.append(MINI)
    if (limit := str(facts.fingerprint.get("limit"))).isdecimal():
        warnings.append(f"Built from {int(limit):,} utterances only (--limit).")
    if facts.status and not facts.status.is_complete:
        missing = sum(codec.shards - codec.shards_published for codec in facts.status.codecs)
        warnings.append(f"The run is not finished: {missing:,} shards are missing.")
    return warnings


def write_overview(
    site: Site,
    data: Path,
    trials: SplitTrials,
    facts: RunFacts,
    *,
    licence: str = "",
    sources: int | None = None,
) -> None:
    """Write ``index.html``.

    Args:
        site: The report.
        data: What it is about.
        trials: Its files.
        facts: What is known of the run.
        licence: Of a downloaded dataset as a whole, where it is known.
        sources: Bona fide files found beside fakes that come without them.
    """
    counts = count_data(trials)
    status = facts.status
    site.write_page(
        "index",
        "overview.html",
        facts=_headline(counts, sources),
        split=trials.name,
        summary=facts.split,
        notes=[*trials.notes, *facts.split.get("warnings", [])],
        parts=parts_table(trials),
        counts=counts.table(),
        quarantine=_some(reasons_table(status), quarantine_table(status)) if status else None,
        speed=speed_table(facts) if facts.records and not facts.imported else None,
        published=_published(facts),
        corpora=corpora_table(facts, counts),
        codecs=codecs_table(facts, counts, trials.conditions),
        licence=licence,
        knows_weights=facts.weights not in ("", AS_PUBLISHED),
        command=facts.command,
        started=facts.stamp.get("process", {}).get("started", ""),
        machine=_machine(facts),
        fingerprint=_fingerprint(facts),
        digest=facts.stamp.get("digest", ""),
        imported=facts.imported,
        settings=_settings(facts),
        is_run=bool(facts.stamp),
        made=f"{now()} by codecfake {codecfake_version()}",
        name=data.name or os.fspath(data),
    )


def _headline(counts: DataCounts, sources: int | None) -> dict[str, str]:
    real, fake = counts.total(codec=REAL), counts.total(fakes=True)
    facts = {
        "source utterances": len(counts.utterances),
        "bona fide files": real.files,
        "bona fide files beside them": sources or 0,
        "spoofed files": fake.files,
        "codecs": len(counts.codecs) - (REAL in counts.codecs),
        "speakers": len(counts.speakers),
    }
    shown = {name: f"{value:,}" for name, value in facts.items() if value}
    if counts.languages:
        shown["languages"] = ", ".join(sorted(counts.languages))
    if seconds := real.seconds + fake.seconds:
        shown["hours of audio"] = f"{seconds / 3600:,.2f}"
    return shown


def _some(*tables: PageTable) -> Sequence[PageTable]:
    return [table for table in tables if table.rows]


def _settings(facts: RunFacts) -> PageTable:
    rows = [[setting, description] for setting, description in facts.settings.items()]
    return PageTable("Robustness conditions", ["setting", "what was done"], rows)


def _published(facts: RunFacts) -> tuple[str, str] | None:
    times = sorted(record["published_at"] for record in facts.records if "published_at" in record)
    return (times[0], times[-1]) if times else None


def _machine(facts: RunFacts) -> PageTable:
    rows: list[list[str]] = []
    for name, value in facts.stamp.get("environment", {}).items():
        if isinstance(value, dict):
            rows += [[part, str(text)] for part, text in value.items()]
        elif value != "":
            rows.append([name, (", ".join(value) or "none") if isinstance(value, list) else str(value)])
    return PageTable("Versions and hardware of the build", ["what", "value"], rows)


def _fingerprint(facts: RunFacts) -> PageTable:
    rows = [[name, value] for name, value in facts.origin.items()]
    return PageTable("What decides the audio", ["what", "value"], rows)
