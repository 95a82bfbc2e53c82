"""The numbers behind the curves and histograms of a detector."""

from collections.abc import Sequence

import numpy as np

from codecfake.detector.evaluation.against_paper import Comparison
from codecfake.detector.evaluation.assembling import published_condition
from codecfake.detector.evaluation.results import Evaluation
from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.detector.metrics import rank_scores
from codecfake.detector.training.folder import EpochRecord
from codecfake.flows.report.page_tables import EMPTY, PageTable, number
from codecfake.manifests.labels import Label

FALSE_ALARMS = (0.001, 0.01, 0.05, 0.1)
PERCENTILES = (5, 50, 95)


def eer_table(evaluation: Evaluation, comparison: Comparison | None) -> PageTable:
    """Error rates with their intervals, beside the paper's where its row is known."""
    paper: dict[str, float] = {}
    for cell in comparison.cells if comparison else ():
        paper.setdefault(cell.condition, cell.best_known)
    rows = []
    for result in evaluation.results:
        interval = result.eer_interval_percent
        row = [
            result.condition,
            f"{result.bona_fide:,}",
            f"{result.spoof:,}",
            f"{result.eer_percent:.3f}",
            f"{interval.low:.3f} to {interval.high:.3f}" if interval else EMPTY,
        ]
        rows.append(row + _beside(result.eer_percent, paper.get(published_condition(result.condition))))
    for name, value in {"mean": evaluation.mean_eer_percent, **evaluation.averages}.items():
        rows.append([name, EMPTY, EMPTY, f"{value:.3f}", EMPTY, *_beside(value, paper.get(name))])
    columns = ["condition", "bona fide", "spoof", "EER %", "95 % interval", "paper %", "difference"]
    kept = len(columns) if comparison else len(columns) - 2
    return PageTable("Equal error rates", columns[:kept], [row[:kept] for row in rows])


def _beside(ours: float, paper: float | None) -> list[str]:
    return [number(paper, ".3f"), number(None if paper is None else ours - paper, "+.3f")]


def det_table(parts: Sequence[ScoredTrials]) -> PageTable:
    """Points of the DET curves."""
    rows = []
    for part in parts:
        ranked = rank_scores(part.of(Label.BONA_FIDE), part.of(Label.SPOOF))
        allowed = [ranked.miss_rates[ranked.false_alarm_rates <= rate].min() for rate in FALSE_ALARMS]
        rows.append([part.name, *(f"{100 * rate:.2f}" for rate in allowed)])
    columns = ["condition", *(f"false alarms ≤ {100 * rate:g} %" for rate in FALSE_ALARMS)]
    return PageTable("Miss rate in % where so few spoofs are accepted", columns, rows)


def histogram_table(parts: Sequence[ScoredTrials]) -> PageTable:
    """Percentiles of the scores of both classes."""
    rows = []
    for part in parts:
        row = [part.name]
        for label in Label:
            row += [f"{value:.3f}" for value in np.percentile(part.of(label), PERCENTILES)]
        rows.append(row)
    columns = ["condition"]
    for name in ("bona fide", "spoof"):
        columns += [f"{name} {percentile} %" for percentile in PERCENTILES]
    return PageTable("Percentiles of the scores; higher = bona fide", columns, rows)


def history_table(history: Sequence[EpochRecord]) -> PageTable:
    """The epochs of a training."""
    rows = [
        [
            str(record.epoch),
            f"{record.train_loss:.5g}",
            f"{record.dev_loss:.5g}",
            f"{record.dev_eer_percent:.3f}",
            f"{record.learning_rate:.3g}",
            f"{record.seconds:,.1f}",
            f"{record.utterances_per_second:,.1f}",
        ]
        for record in history
    ]
    columns = ["epoch", "train loss", "dev loss", "dev EER %", "learning rate", "seconds", "utterances/s"]
    return PageTable("Epochs", columns, rows)


def summary_table(evaluations: Sequence[Evaluation]) -> PageTable:
    """One row per detector."""
    rows = [
        [
            entry.detector,
            f"{entry.mean_eer_percent:.3f}",
            f"{entry.pooled.eer_percent:.3f}",
            f"{interval.low:.3f} to {interval.high:.3f}"
            if (interval := entry.pooled.eer_interval_percent)
            else EMPTY,
            number(entry.dev and entry.dev.eer_percent, ".3f"),
        ]
        for entry in evaluations
    ]
    columns = ["detector", "mean EER %", "pooled EER %", "95 % interval", "dev EER %"]
    return PageTable("All evaluated detectors", columns, rows)
