"""What a person reads when a command has ended."""

from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.flows.tables import show_table
from codecfake.manifests.derived import DERIVED_FOLDER
from codecfake.manifests.showing import for_terminal

if TYPE_CHECKING:
    from codecfake.detector.evaluation import Evaluation
    from codecfake.detector.evaluation.against_paper import Comparison
    from codecfake.detector.evaluation.table import Table
    from codecfake.pipeline.build import BuildReport
    from codecfake.pipeline.splitting import SplitReport
    from codecfake.pipeline.status import RunStatus
    from codecfake.pipeline.verification import VerifyReport

LISTED = 20
COUNT = "{:,}"
"""How the tables of an evaluation write whole numbers."""


def say(text: str) -> None:
    """Print a line on standard output."""
    import typer

    typer.echo(for_terminal(text))


def show_build(run_dir: Path, report: "BuildReport") -> None:
    """Show what a build did and what may follow."""
    say(f"Published {report.shards_done} shards, found {report.shards_found} already published.")
    show_split(report.split)
    say(f"Next: codecfake verify {run_dir}, codecfake train {run_dir}")


def show_split(split: "SplitReport") -> None:
    """Show what a split holds."""
    counts = split.summary["splits"] | split.summary["conditions"]
    rows = [
        (name, part["real"], part["fake"], part["total"], f"{part['hours']:.3f}")
        for name, part in counts.items()
        if name != "eval"
    ]
    show_table(f"Split {split.name}", ("part", "real", "fake", "files", "hours"), rows)
    for warning in split.warnings:
        say(f"Warning: {warning}")
    if split.superseded:
        say(f"The split of earlier inputs was kept as {split.superseded}")
    state = "written" if split.is_new else "up to date"
    say(f"Codecfake tree {state}: {split.folder / 'Codecfake'}")


def show_status(run_dir: Path, status: "RunStatus") -> None:
    """Show where a run stands."""
    rows = [
        (
            part.codec,
            f"{part.shards_published}/{part.shards}",
            part.utterances,
            f"{part.hours:.3f}",
            part.quarantined,
            f"{part.times_real_time:.1f}",
        )
        for part in status.codecs
    ]
    columns = ("codec", "shards", "files", "hours", "quarantined", "x real time")
    show_table(f"{run_dir}: {status.utterances:,} utterances listed", columns, rows)
    for what, reasons in (("source files", status.source_reasons), ("outputs", status.codec_reasons)):
        for reason, count in sorted(reasons.items()):
            say(f"{count:,} {what} quarantined: {reason}")
    for row in status.quarantined[:LISTED]:
        say(f"  {row['what']}: {row['reason']}: {row['message']}")
    if len(status.quarantined) > LISTED:
        say(f"  and {len(status.quarantined) - LISTED:,} more: codecfake status {run_dir} --json")
    if status.imported_from:
        done = f"what was not taken, and why: {run_dir / 'import-problems.csv'}"
        more = done if status.is_complete else f"not finished. Next: codecfake import DATA {run_dir}"
        say(f"Imported from {status.imported_from}; {more}")
        return
    if status.quarantined:
        say(f"Next: codecfake retry {run_dir} (once the cause is gone)")
    if not status.is_complete:
        say(f"Not finished. Next: codecfake build --config {run_dir / 'run.yaml'} --out {run_dir}")


def show_verification(run_dir: Path, report: "VerifyReport", *, is_imported: bool = False) -> None:
    """Show what was checked and what is wrong."""
    say(
        f"Decoded and hashed {report.files:,} files ({report.seconds / 3600:.3f} h) "
        f"in {report.shards} shards; checked {report.splits} splits."
    )
    for name in report.missing_shards[:LISTED]:
        say(f"  shard {name} is not published")
    for damage in report.damage[:LISTED]:
        say(f"  {damage.path}: {damage.problem}")
    hidden = max(0, len(report.missing_shards) - LISTED) + max(0, len(report.damage) - LISTED)
    if hidden:
        say(f"  and {hidden:,} more, see {run_dir / 'verify.json'}")
    if report.unpublished:
        say(f"{len(report.unpublished)} unpublished drafts of a killed run; the next build clears them away.")
    if report.is_whole:
        say("Everything is as it was published.")
        return
    mendable = [damage.path for damage in report.damage if not damage.is_by_hand]
    derived = [path for path in mendable if f"/{DERIVED_FOLDER}/" in path]
    is_own = len(mendable) > len(derived)
    if is_imported:
        if is_own or report.missing_shards:
            say(
                "Next: codecfake import DATA with a new folder; one that was only stopped, or lost whole shards, "
                "goes on in its own"
            )
    elif is_own:  # first: it also builds what is missing, and conditions follow from what it mends
        # Audio that a split lacks may be that of recordings that came back: to be read again before the split is made.
        lacks_audio = any(path.count("/") == 1 and path.startswith("splits/") for path in mendable)
        say(f"Next: codecfake retry {run_dir}{'' if lacks_audio else ' --reason damaged'}")
    elif report.missing_shards:
        say(f"Next: codecfake build --config {run_dir / 'run.yaml'} --out {run_dir}")
    if derived:
        files = sum("/shards/" in path for path in derived)
        first = (
            f"remove the shards of {files:,} damaged files under {DERIVED_FOLDER}/, and repeat "
            if files
            else ""
        )
        say(f"Next: {first}codecfake conditions {run_dir} --add SETTING")


def show_evaluation(evaluation: "Evaluation") -> None:
    """Show error rates, costs, decisions and breakdown in tables that fit 80 columns."""
    from codecfake.detector.evaluation import report

    for warning in evaluation.warnings:
        say(f"Warning: {warning}")
    rates, breakdown = report.rates_table(evaluation), report.breakdown_table(evaluation)
    eers = ("bona fide", "spoof", "EER %", "95 % interval")
    tables = [
        rates.only("condition", *eers, "threshold"),
        rates.only("condition", "minDCF", "actDCF", "Cllr", "AUC", "tied %"),
        report.decisions_table(evaluation).only(
            "condition", "accuracy %", "FPR %", "FNR %", "tp", "fn", "fp", "tn"
        ),
        *([breakdown.only("by", "value", *eers)] if breakdown.rows else []),
    ]
    for table in tables:
        _show(table)
    say(report.averages_sentence(evaluation))
    for note in evaluation.notes:
        say(note)


def show_comparison(comparison: "Comparison") -> None:
    """Show our error rates beside the paper's."""
    _show(comparison.table())
    for note in comparison.notes():
        say(note)


def _show(table: "Table") -> None:
    """Show a table of an evaluation; counts go as numbers, so that they are aligned as such."""
    rows = [
        [row[column.keys[0]] if column.template == COUNT else column.show(row) for column in table.columns]
        for row in table.rows
    ]
    show_table(table.title, [column.title for column in table.columns], rows)
