"""The page of the detectors: error rates, curves, decisions, and how each was trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codecfake.detector.evaluation.figures import det_figure, histogram_figure
from codecfake.detector.evaluation.report import (
    breakdown_table,
    decisions_table,
    rates_table,
)
from codecfake.detector.evaluation.results import Evaluation
from codecfake.detector.evaluation.scored_trials import ScoredTrials, group_by_setting
from codecfake.detector.training.curves import history_figure
from codecfake.detector.trials import SplitTrials
from codecfake.flows.report import score_tables
from codecfake.flows.report.page_tables import page_table
from codecfake.flows.report.pages import Site
from codecfake.flows.report.reported_detectors import ReportedDetector
from codecfake.flows.report.svg import inline_svg

COSTS = ("condition", "minDCF", "actDCF", "Cllr", "AUC", "tied %")


def write_detectors(
    site: Site, data: Path, trials: SplitTrials, detectors: Sequence[ReportedDetector]
) -> None:
    """Write ``detectors.html``."""
    evaluations = [detector.evaluation for detector in detectors if detector.evaluation]
    sections = [_section(detector, trials, number) for number, detector in enumerate(detectors)]
    site.write_page(
        "detectors",
        "detectors.html",
        data=data.name,
        sections=sections,
        summary=score_tables.summary_table(evaluations) if len(evaluations) > 1 else None,
    )


def _section(detector: ReportedDetector, trials: SplitTrials, number: int) -> dict[str, Any]:
    """What the template shows of a detector."""
    evaluation, parts, comparison = detector.evaluation, detector.parts, detector.comparison
    section: dict[str, Any] = {
        "id": f"detector-{number}",
        "name": detector.name,
        "problem": detector.problem,
        "about": _about(detector.description, trials),
        "warnings": evaluation.warnings if evaluation else _warnings(detector.description),
        "evaluation": evaluation,
        "history": None,
    }
    if detector.history:
        best = min(detector.history, key=lambda record: record.dev_loss)
        text = (
            f"Training curves of {detector.name}: {len(detector.history)} epochs; the lowest dev loss, "
            f"{best.dev_loss:.4g}, is that of epoch {best.epoch}, with an EER of {best.dev_eer_percent:.2f} % on dev."
        )
        section["history"] = {
            "figure": inline_svg(lambda: history_figure(detector.history), f"h{number}", text),
            "text": text,
            "table": score_tables.history_table(detector.history),
        }
    if evaluation:
        section |= {
            "eers": score_tables.eer_table(evaluation, comparison),
            "row": comparison.row if comparison else "",
            "paper": page_table(comparison.table()) if comparison else None,
            "paper_notes": comparison.notes() if comparison else [],
            "costs": page_table(rates_table(evaluation).only(*COSTS), "Costs, calibration and ranking"),
            "decisions": page_table(decisions_table(evaluation)),
            "breakdown": page_table(
                breakdown_table(evaluation).only(
                    "by", "value", "bona fide", "spoof", "EER %", "95 % interval"
                )
            ),
            "charts": [
                _charts(evaluation, setting, group, f"{number}-{index}")
                for index, (setting, group) in enumerate(group_by_setting(parts).items())
            ],
        }
    return section


def _charts(
    evaluation: Evaluation, setting: str, parts: Sequence[ScoredTrials], suffix: str
) -> dict[str, Any]:
    """Curves and histograms of the clean conditions, or of those under one robustness setting."""
    drawn = dict.fromkeys(part.name for part in parts)
    eers = ", ".join(
        f"{result.condition} {result.eer_percent:.2f} %"
        for result in evaluation.results
        if result.condition in drawn
    )
    det_text = f"DET curves of {evaluation.detector}. They meet the line of equal errors at: {eers}."
    scores_text = (
        f"Histograms of the scores of {evaluation.detector}, bona fide against spoof, for {', '.join(drawn)}. "
        "The table below has their percentiles."
    )
    return {
        "setting": setting,
        "det": inline_svg(lambda: det_figure(parts), f"d{suffix}", det_text),
        "det_table": score_tables.det_table(parts),
        "scores": inline_svg(lambda: histogram_figure(parts), f"s{suffix}", scores_text),
        "scores_table": score_tables.histogram_table(parts),
    }


def _warnings(description: dict[str, Any]) -> list[str]:
    return [description["warning"]] if "warning" in description else []


def _about(description: dict[str, Any], trials: SplitTrials) -> list[tuple[str, str]]:
    """How a detector was made, as far as its description tells."""
    training = description.get("training", {})
    trained_on = [
        f"{part['name']} of other data"
        if part["name"] == trials.name and part["digest"] != trials.digest
        else part["name"]
        for part in description.get("data", [])
    ] or [description.get("split", "")]
    facts = {
        "model": description.get("model"),
        "front end": description.get("front_end", {}).get("name"),
        "back end": description.get("network", {}).get("name"),
        "trained on": ", ".join(filter(None, trained_on)),
        "epochs": training.get("epochs"),
        "batch size": training.get("batch_size"),
        "learning rate": training.get("learning_rate"),
        "optimizer": training.get("optimizer"),
        "seed": training.get("seed"),
        "best epoch": description.get("best_epoch"),
        "weights sha256": description.get("weights_sha256", "")[:12],
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]
