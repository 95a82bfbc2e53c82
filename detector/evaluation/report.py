"""Write an evaluation as JSON, CSV and Markdown."""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import publish_json, publish_text

if TYPE_CHECKING:
    from codecfake.detector.evaluation.run_evaluation import ConditionResult, Evaluation


def publish_evaluation(detector_dir: Path, evaluation: "Evaluation") -> None:
    """Publish ``evaluation.json``, ``evaluation.csv`` and ``evaluation.md``.

    Args:
        detector_dir: Folder to publish into.
        evaluation: The results.
    """
    publish_json(detector_dir / "evaluation.json", evaluation.to_json())
    publish_text(detector_dir / "evaluation.csv", _csv(evaluation))
    publish_text(detector_dir / "evaluation.md", _markdown(evaluation))


def _results(evaluation: "Evaluation") -> list["ConditionResult"]:
    return [evaluation.dev, *evaluation.conditions, evaluation.pooled]


def _csv(evaluation: "Evaluation") -> str:
    """One row per set of trials, every number at full precision."""
    rows = []
    for result in _results(evaluation):
        row = asdict(result)
        confusion = row.pop("confusion")
        rows.append({**row, **confusion, "dev_threshold": evaluation.threshold})
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _markdown(evaluation: "Evaluation") -> str:
    """A table to paste into a report, and the sentences without which its numbers mean nothing."""
    header = (
        "condition",
        "bona fide",
        "spoof",
        "EER %",
        "accuracy %",
        "FPR %",
        "FNR %",
        "tp",
        "fn",
        "fp",
        "tn",
    )
    lines = [
        f"# {evaluation.detector} on {evaluation.split}",
        "",
        f"| {' | '.join(header)} |",
        "|---" + "|---:" * (len(header) - 1) + "|",
    ]
    for result in _results(evaluation):
        counts = result.confusion
        cells = (
            result.condition,
            f"{result.bona_fide:,}",
            f"{result.spoof:,}",
            f"{result.eer_percent:.3f}",
            f"{result.accuracy_percent:.2f}",
            f"{result.false_positive_percent:.2f}",
            f"{result.false_negative_percent:.2f}",
            f"{counts.true_positives:,}",
            f"{counts.false_negatives:,}",
            f"{counts.false_positives:,}",
            f"{counts.true_negatives:,}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    tied, unreadable = evaluation.pooled.tied_percent, evaluation.pooled.unreadable
    lines += [
        "",
        f"Mean EER over the {len(evaluation.conditions)} conditions: {evaluation.mean_eer_percent:.3f} %. "
        "Pooled counts a bona fide file once, although every condition holds it.",
        "",
        f"Bona fide is the positive class: fp = spoof accepted, fn = bona fide rejected, at the threshold "
        f"{evaluation.threshold!r}, fixed on dev (its EER threshold). EER is at each set's own threshold, "
        f"ties grouped; {tied:.2f} % of the pooled scores are tied. "
        f"Evaluation files that could not be read: {unreadable}.",
    ]
    return "\n".join(lines) + "\n"
