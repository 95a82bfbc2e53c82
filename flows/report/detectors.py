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
from codecfake.detector.training.curves import history_figure
from codecfake.flows.report import score_tables
from codecfake.flows.report.page_tables import page_table
from codecfake.flows.report.pages import Site
from codecfake.flows.report.reported_detectors import ReportedDetector
from codecfake.flows.report.svg import inline_svg

COSTS = ("condition", "minDCF", "actDCF", "Cllr", "AUC", "tied %")


def write_detectors(site: Site, data: Path, detectors: Sequence[ReportedDetector]) -> None:
    """Write ``detectors.html``."""
    evaluations = [detector.evaluation for detector in detectors if detector.evaluation]
    sections = [_section(detector, number) for number, detector in enumerate(detectors)]
    site.write_page(
        "detectors",
        "detectors.html",
        data=data.name,
        sections=sections,
        summary=score_tables.summary_table(evaluations) if len(evaluations) > 1 else None,
    )


def _section(detector: ReportedDetector, number: int) -> dict[str, Any]:
    """What the template shows of a detector."""
    evaluation, parts, comparison = detector.evaluation, detector.parts, detector.comparison
    section: dict[str, Any] = {
        "id": f"detector-{number}",
        "name": detector.name,
        "problem": detector.problem,
        "about": _about(detector.description),
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
            "det": inline_svg(lambda: det_figure(parts), f"d{number}", _det_text(evaluation)),
            "det_table": score_tables.det_table(parts),
            "scores": inline_svg(lambda: histogram_figure(parts), f"s{number}", _scores_text(evaluation)),
            "scores_table": score_tables.histogram_table(parts),
        }
    return section


def _det_text(evaluation: Evaluation) -> str:
    eers = ", ".join(f"{result.condition} {result.eer_percent:.2f} %" for result in evaluation.results)
    return f"DET curves of {evaluation.detector}. They meet the line of equal errors at: {eers}."


def _scores_text(evaluation: Evaluation) -> str:
    names = ", ".join(result.condition for result in evaluation.results[:-1])
    return (
        f"Histograms of the scores of {evaluation.detector}, bona fide against spoof, for {names}. "
        "The table below has their percentiles."
    )


def _warnings(description: dict[str, Any]) -> list[str]:
    return [description["warning"]] if "warning" in description else []


def _about(description: dict[str, Any]) -> list[tuple[str, str]]:
    """How a detector was made, as far as its description tells."""
    training = description.get("training", {})
    trained_on = [part["name"] for part in description.get("data", [])] or [description.get("split", "")]
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
