"""Evaluation of scores: error rates per condition, tables and figures."""

from codecfake.detector.evaluation.run_evaluation import ConditionResult, Evaluation, evaluate

__all__ = ["ConditionResult", "Evaluation", "evaluate"]
