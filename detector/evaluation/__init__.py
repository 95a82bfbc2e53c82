"""Evaluation of scores: error rates per condition, tables and figures."""

from codecfake.detector.evaluation.file_evaluation import evaluate_files
from codecfake.detector.evaluation.results import ConditionResult, Evaluation
from codecfake.detector.evaluation.run_evaluation import evaluate, evaluate_scored

__all__ = ["ConditionResult", "Evaluation", "evaluate", "evaluate_files", "evaluate_scored"]
