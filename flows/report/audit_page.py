"""The page of the shortcut audit, from what `codecfake audit` left beside the data."""

import os
from pathlib import Path

from codecfake.detector.evaluation.described import checked
from codecfake.flows.audit import Audit
from codecfake.flows.audit_report import (
    HEADINGS,
    NAMED_COLUMNS,
    cures,
    named_rows,
    quality_table,
    rates_table,
    verdict,
)
from codecfake.flows.report.page_tables import PageTable, page_table
from codecfake.flows.report.pages import Site
from codecfake.manifests.records import DamagedFileError, read_json

AUDIT = Path("audit") / "audit.json"
LISTED = 200


def read_audit(path: Path) -> Audit:
    """Read what ``Audit.to_json`` gave.

    Raises:
        DamagedFileError: If the file holds something else.
    """
    next_step = "codecfake audit DATA"
    return checked(Audit, read_json(path, {}, next_step=next_step), path, next_step=next_step)


def write_audit(site: Site, data: Path, *, needs_sources: bool) -> None:
    """Write ``audit.html``: the findings, or which command finds them.

    Args:
        site: The report.
        data: What it is about.
        needs_sources: Whether the data holds fakes alone.
    """
    path, audit, problem = data / AUDIT, None, ""
    try:
        audit = read_audit(path) if path.is_file() else None
    except DamagedFileError as error:
        problem = str(error).replace(f"{data.parent}{os.sep}", "")
    site.write_page(
        "audit",
        "audit.html",
        data=data.name,
        option=" --real FOLDER" if needs_sources else "",
        problem=problem,
        audit=audit,
        **(_findings(audit) if audit else {}),
    )


def _findings(audit: Audit) -> dict[str, object]:
    kinds = []
    for kind, heading in HEADINGS.items():
        found = audit.named(kind)
        named = PageTable(
            f"{heading}: what tells fakes from bona fide files", NAMED_COLUMNS, named_rows(found)
        )
        kinds.append({"heading": heading, "table": named, "cures": cures(found)})
    outliers = [
        [entry.file, part.codec, entry.measure, f"{entry.value:.2f}", f"{entry.median:.2f}"]
        for part in audit.quality
        for entry in part.outliers
    ]
    columns = ["file", "codec", "measure", "dB", "median of the codec, dB"]
    unreadable = [[name, problem] for name, problem in audit.unreadable.items()]
    return {
        "verdict": verdict(audit),
        "limit": f"{50 - audit.margin_points:g}",
        "kinds": kinds,
        "rates": page_table(rates_table(audit)),
        "quality": page_table(quality_table(audit)),
        "outliers": PageTable(_listed("outliers", outliers), columns, outliers[:LISTED]),
        "unreadable": PageTable(
            _listed("unreadable files", unreadable), ["file", "problem"], unreadable[:LISTED]
        ),
    }


def _listed(what: str, rows: list) -> str:
    return f"{min(len(rows), LISTED):,} of {len(rows):,} {what}"
