"""What a person reads when a command has ended."""

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.flows.tables import show_table

if TYPE_CHECKING:
    from codecfake.detector.evaluation import Evaluation
    from codecfake.pipeline.build import BuildReport
    from codecfake.pipeline.splitting import SplitReport
    from codecfake.pipeline.status import RunStatus
    from codecfake.pipeline.verification import VerifyReport

LISTED = 20


def say(text: str) -> None:
    """Print a line on standard output."""
    import typer

    typer.echo(text)


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
    if status.quarantined:
        say(f"Next: codecfake retry {run_dir} (once the cause is gone)")
    if not status.is_complete:
        say(f"Not finished. Next: codecfake build --config {run_dir / 'run.yaml'} --out {run_dir}")


def show_verification(run_dir: Path, report: "VerifyReport") -> None:
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
    if report.missing_shards:
        say(f"Next: codecfake build --config {run_dir / 'run.yaml'} --out {run_dir}")
    if any(damage.utterance_id for damage in report.damage):
        say(f"Next: codecfake retry {run_dir} --reason damaged")


def show_evaluation(evaluation: "Evaluation") -> None:
    """Show the error rates per condition."""
    rows = [
        (
            result.condition,
            result.bona_fide,
            result.spoof,
            f"{result.eer_percent:.3f}",
            f"{result.accuracy_percent:.2f}",
            f"{result.false_positive_percent:.2f}",
            f"{result.false_negative_percent:.2f}",
            *astuple(result.confusion),
        )
        for result in (evaluation.dev, *evaluation.conditions, evaluation.pooled)
    ]
    columns = ("part", "real", "fake", "EER %", "acc. %", "FPR %", "FNR %", "TP", "FN", "FP", "TN")
    show_table(f"{evaluation.detector} on {evaluation.split}", columns, rows)
    say(f"Mean EER over the conditions: {evaluation.mean_eer_percent:.3f} %")
    say(
        f"Confusion at the threshold {evaluation.threshold:.4f}, fixed on dev; bona fide is the positive "
        "class, a higher score means bona fide."
    )
