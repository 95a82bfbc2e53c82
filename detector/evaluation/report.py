"""Write an evaluation: tables as JSON, CSV, Markdown and LaTeX, figures as PNG and SVG."""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from codecfake.detector.evaluation.against_paper import COMPARISON
from codecfake.detector.evaluation.figures import figure_name, publish_figures
from codecfake.detector.evaluation.results import ConditionResult, Evaluation
from codecfake.detector.evaluation.scored_trials import ScoredTrials, group_by_setting
from codecfake.detector.evaluation.table import Column, Table
from codecfake.detector.metrics import Confusion, Interval
from codecfake.manifests.atomic import publish_json, publish_text
from codecfake.manifests.showing import for_markdown

RATES = (
    Column("bona fide", ("bona_fide",), "{:,}"),
    Column("spoof", ("spoof",), "{:,}"),
    Column("EER %", ("eer_percent",), "{:.3f}"),
    Column("95 % interval", ("eer_percent_low", "eer_percent_high"), "{:.3f} to {:.3f}"),
    Column("threshold", ("eer_threshold",), "{:.4g}"),
    Column("minDCF", ("min_dcf",), "{:.4f}"),
    Column("actDCF", ("act_dcf",), "{:.4f}"),
    Column("Cllr", ("cllr",), "{:.4f}"),
    Column("AUC", ("auc",), "{:.5f}"),
    Column("tied %", ("tied_percent",), "{:.2f}"),
)
DECISIONS = (
    Column("accuracy %", ("accuracy_percent",), "{:.2f}"),
    Column("balanced %", ("balanced_accuracy_percent",), "{:.2f}"),
    Column("F1 %", ("f1_percent",), "{:.2f}"),
    Column("FPR %", ("false_positive_percent",), "{:.2f}"),
    Column("FNR %", ("false_negative_percent",), "{:.2f}"),
    Column("tp", ("true_positives",), "{:,}"),
    Column("fn", ("false_negatives",), "{:,}"),
    Column("fp", ("false_positives",), "{:,}"),
    Column("tn", ("true_negatives",), "{:,}"),
)
CONDITION = Column("condition", ("condition",))
REPLACED = re.compile(
    rf"{re.escape(COMPARISON)}\.(json|csv|md|tex)|evaluation\.(det|scores)(\.[a-z0-9][a-z0-9.-]*)?\.(png|svg)"
)
"""What an evaluation does not write in every case, so that one that is there may be of earlier numbers."""


def rates_table(evaluation: Evaluation) -> Table:
    """Error rates and costs of dev, every condition and the pool."""
    title = f"{evaluation.detector} on {evaluation.split}"
    return Table(title, (CONDITION, *RATES), _rows(evaluation, evaluation.results))


def decisions_table(evaluation: Evaluation) -> Table:
    """Decisions at the stated threshold."""
    title = f"Decisions at the threshold {evaluation.threshold:.6g}, {evaluation.threshold_origin}"
    return Table(title, (CONDITION, *DECISIONS), _rows(evaluation, evaluation.results))


def breakdown_table(evaluation: Evaluation) -> Table:
    """Error rates of the pooled trials by what is known of them."""
    columns = (Column("by", ("by",)), Column("value", ("condition",)), *RATES)
    return Table("Pooled trials by what is known of them", columns, _rows(evaluation, evaluation.breakdown))


def averages_sentence(evaluation: Evaluation) -> str:
    """The mean EER and the paper's averages."""
    named = "".join(f" {name}: {value:.3f} %." for name, value in evaluation.averages.items())
    count = len(evaluation.averaged)
    return f"Mean EER over the {count} conditions: {evaluation.mean_eer_percent:.3f} %.{named}"


def publish_evaluation(folder: Path, evaluation: Evaluation, parts: Sequence[ScoredTrials]) -> None:
    """Publish ``evaluation.{json,csv,md,tex}``, the breakdown as CSV, and the figures.

    Figures and the comparison with the paper that an earlier evaluation left there are removed.

    Args:
        folder: Folder to publish into.
        evaluation: The results.
        parts: The trials of dev and every condition, for the figures; those that were left out are not drawn.
    """
    rates, breakdown = rates_table(evaluation), breakdown_table(evaluation)
    measured = {result.condition for result in evaluation.results}
    drawn = [part for part in parts if part.name in measured]
    for path in folder.glob("evaluation.*"):
        if REPLACED.fullmatch(path.name):
            path.unlink()
    publish_json(folder / "evaluation.json", evaluation.to_json())
    publish_text(folder / "evaluation.csv", rates.to_csv())
    publish_text(folder / "evaluation.breakdown.csv", breakdown.to_csv())
    publish_text(folder / "evaluation.md", _markdown(evaluation, list(group_by_setting(drawn))))
    tables = [rates, decisions_table(evaluation), *([breakdown] if breakdown.rows else [])]
    publish_text(folder / "evaluation.tex", "\n".join(table.to_latex() for table in tables))
    publish_figures(folder, drawn)


def _rows(evaluation: Evaluation, results: Sequence[ConditionResult]) -> list[dict[str, Any]]:
    """Results as flat rows: intervals and confusions spread over columns."""
    rows = []
    for result in results:
        row: dict[str, Any] = {}
        for field in fields(result):
            value = getattr(result, field.name)
            if field.name.endswith(("_interval", "_interval_percent")):
                stem = field.name.replace("_interval", "")
                row[f"{stem}_low"] = value.low if isinstance(value, Interval) else None
                row[f"{stem}_high"] = value.high if isinstance(value, Interval) else None
            elif isinstance(value, Confusion):
                row |= {count.name: getattr(value, count.name) for count in fields(value)}
            else:
                row[field.name] = value
        rows.append(row | {"threshold": evaluation.threshold})
    return rows


def _markdown(evaluation: Evaluation, settings: Sequence[str]) -> str:
    """The tables for a report, the sentences without which their numbers mean nothing, and the figures."""
    breakdown = breakdown_table(evaluation)
    pooled = evaluation.pooled
    text = [
        f"# {for_markdown(f'{evaluation.detector} on {evaluation.split}')}",
        *(f"**Warning.** {for_markdown(warning)}" for warning in evaluation.warnings),
        rates_table(evaluation).to_markdown(),
        averages_sentence(evaluation)
        + " Pooled counts a bona fide file once, although several conditions hold it.",
        f"Higher = bona fide. {pooled.tied_percent:.2f} % of the pooled scores are tied. Evaluation files that could "
        f"not be read: {pooled.unreadable}.",
        "## Decisions",
        f"Bona fide is the positive class: fp = spoof accepted, fn = bona fide rejected, at the threshold "
        f"{evaluation.threshold!r}, {evaluation.threshold_origin}.",
        decisions_table(evaluation).to_markdown(),
        *(["## Breakdown of the pooled trials", breakdown.to_markdown()] if breakdown.rows else []),
        "## How the numbers were made",
        "\n".join(f"- {for_markdown(note)}" for note in evaluation.notes),
        *(
            f"![{title}]({figure_name(kind, setting)}.png)"
            for setting in settings
            for kind, title in (("det", "DET curves"), ("scores", "Score histograms"))
        ),
    ]
    return "\n\n".join(block.strip() for block in text) + "\n"
