"""Detection metrics on plain score arrays; higher score = bona fide."""

from codecfake.detector.metrics.eer import (
    Confusion,
    EqualErrorRate,
    compute_eer,
    confusion_at,
    tied_share,
)

__all__ = ["Confusion", "EqualErrorRate", "compute_eer", "confusion_at", "tied_share"]
