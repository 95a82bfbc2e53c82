"""What a person reads of an audit: tables on standard output, JSON, Markdown and a CSV of all files."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from codecfake.detector.audit.features import FEATURES
from codecfake.detector.audit.separation import Kind, Separation
from codecfake.detector.evaluation.table import MISSING, Column, Table
from codecfake.flows.audit import Audit
from codecfake.manifests.atomic import publish_json, publish_text
from codecfake.manifests.showing import for_markdown
from codecfake.pipeline.audit.measuring import MeasuredFile

LISTED = 20
HEADINGS = {
    Kind.SHORTCUT: "Shortcuts",
    Kind.CODEC_TRACE: "Traces of the codecs themselves",
}
NAMED_COLUMNS = ("codec", "feature", "EER %", "95 %", "bona fide", "fake")


def publish_audit(folder: Path, audit: Audit, measured: Sequence[MeasuredFile]) -> None:
    """Publish ``audit.json``, ``audit.md`` and ``files.csv``.

    Args:
        folder: Folder to publish into; it is made when it is missing.
        audit: The findings.
        measured: Every file.
    """
    publish_json(folder / "audit.json", audit.to_json())
    publish_text(folder / "audit.md", to_markdown(audit))
    publish_text(folder / "files.csv", _files_table(measured).to_csv())


def verdict(audit: Audit) -> str:
    """The outcome in one sentence or two."""
    shortcuts, traces = (audit.named(kind) for kind in HEADINGS)
    text = "No shortcut found."
    if shortcuts:
        features = list(dict.fromkeys(entry.feature for entry in shortcuts))
        codecs = len({entry.codec for entry in shortcuts})
        text = f"{len(shortcuts)} shortcuts found, in {codecs} codecs: {', '.join(features)}."
    if traces:
        features = list(dict.fromkeys(entry.feature for entry in traces))
        text += f" The codecs themselves leave traces in {' and '.join(features)}."
    return text


def named_rows(separations: Sequence[Separation]) -> list[tuple[str, ...]]:
    """Rows under ``NAMED_COLUMNS``."""
    return [
        (
            entry.codec,
            entry.feature,
            f"{entry.eer_percent:.1f}",
            _interval(entry),
            f"{entry.bona_fide} {entry.unit}".strip(),
            f"{entry.fake} {entry.unit}".strip(),
        )
        for entry in separations
    ]


def cures(separations: Sequence[Separation]) -> list[str]:
    """What helps, a sentence for all features that the same helps against."""
    features: dict[str, list[str]] = {}
    for entry in separations:
        known = features.setdefault(entry.cure, [])
        known += [] if entry.feature in known else [entry.feature]
    return [f"{', '.join(names)}: {cure}." for cure, names in features.items()]


def quality_table(audit: Audit) -> Table:
    """Quality control, one row per codec."""
    columns = (
        Column("codec", ("codec",)),
        Column("files", ("files",), "{:,}"),
        Column("unreadable", ("unreadable",)),
        Column("SI-SDR dB", ("si_sdr",), "{:.1f}"),
        Column("log-mel distance dB", ("mel_distance",), "{:.2f}"),
        Column("level dB", ("level_db",), "{:+.2f}"),
        Column("clipped", ("clipped_files",), "{:,}"),
        Column("silent", ("silent_files",), "{:,}"),
        Column("outliers", ("outliers",)),
    )
    rows = [asdict(part) | {"outliers": len(part.outliers)} for part in audit.quality]
    return Table("Quality control (medians over pairs of source and fake)", columns, rows)


def rates_table(audit: Audit) -> Table:
    """The error rate of every feature, one row per codec."""
    rows: dict[str, dict[str, object]] = {}
    for entry in audit.separations:
        rows.setdefault(entry.codec, {"codec": entry.codec})[entry.feature] = entry.eer_percent
    columns = [Column(feature.title, (feature.title,), "{:.1f}") for feature in FEATURES]
    return Table("EER % of every feature", (Column("codec", ("codec",)), *columns), list(rows.values()))


def to_markdown(audit: Audit) -> str:
    """The whole audit for a reader."""
    limit = 50 - audit.margin_points
    text = [
        f"# Shortcut audit of {for_markdown(f'{audit.data}, {audit.split}')}",
        f"**{verdict(audit)}**",
        f"Files of {audit.utterances:,} of {audit.all_utterances:,} source utterances were measured. Each feature by "
        f"itself classifies the fakes of a codec against the bona fide files of the same utterances; 50 % is chance. "
        f"It is named where its EER, with the whole 95 % interval ({audit.rounds:,} rounds over source utterances), "
        f"is below {limit:g} %.",
        *([_weak()] if audit.is_weak else []),
        *(f"- Note: {for_markdown(note)}" for note in audit.notes),
    ]
    for kind, heading in HEADINGS.items():
        found = audit.named(kind)
        text += [f"## {heading}", _named_markdown(found) if found else "None."]
        text += ["\n".join(f"- {cure}" for cure in cures(found))] if found else []
    text += [
        "Shortcuts come from how files were made: a cure takes them away. Traces come out of the network: no setting "
        "of a build removes them, and a detector may rely on them.",
        "## All error rates",
        rates_table(audit).to_markdown(),
        "## Quality control",
        quality_table(audit).to_markdown(),
        "Medians over pairs of source and fake at 16 kHz; level is the RMS relative to the source's. A fake that lags "
        "behind its source has a low SI-SDR, whatever it sounds like.",
        *_outlier_lines(audit),
    ]
    if audit.unreadable:
        lines = [f"- {for_markdown(f'{name}: {problem}')}" for name, problem in audit.unreadable.items()]
        text += ["## Unreadable files", "\n".join(_shortened(lines))]
    return "\n\n".join(block.strip() for block in text) + "\n"


def _named_markdown(separations: Sequence[Separation]) -> str:
    rows = [dict(zip(NAMED_COLUMNS, row, strict=True)) for row in named_rows(separations)]
    return Table("", tuple(Column(name, (name,)) for name in NAMED_COLUMNS), rows).to_markdown()


def _outlier_lines(audit: Audit) -> list[str]:
    lines = [
        f"- {for_markdown(f'{part.codec}: {outlier.file}')}, "
        f"{outlier.measure} {outlier.value:.2f} dB (median {outlier.median:.2f} dB)"
        for part in audit.quality
        for outlier in part.outliers
    ]
    return ["### Outliers", "\n".join(_shortened(lines))] if lines else []


def _shortened(lines: list[str]) -> list[str]:
    rest = len(lines) - LISTED
    return lines[:LISTED] + ([f"- and {rest:,} more, see audit.json"] if rest > 0 else [])


def _weak() -> str:
    return (
        "**Warning.** Some codecs have fewer than ten source utterances. There, only what tells all files apart is "
        "named, and three files against three may also be told apart by chance."
    )


def _interval(entry: Separation) -> str:
    found = entry.interval_percent
    return f"{found.low:.1f} to {found.high:.1f}" if found else MISSING


def _files_table(measured: Sequence[MeasuredFile]) -> Table:
    rows = []
    for entry in measured:
        features = asdict(entry.features) if entry.features else {}
        quality = asdict(entry.quality) if entry.quality else {}
        about = {"file": entry.file.name, "codec": entry.file.codec, "utterance_id": entry.file.utterance_id}
        rows.append(about | features | quality | {"problem": entry.problem})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table("", (), [{name: row.get(name) for name in names} for row in rows])
