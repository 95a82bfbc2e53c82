"""Results of the scripts here land in ``results``, beside those of `codecfake bench`."""

from pathlib import Path
from typing import Any

from codecfake.manifests import measurements
from codecfake.manifests.measurements import environment

__all__ = ["RESULTS", "environment", "write_result"]

RESULTS = Path(__file__).resolve().parent / "results"


def write_result(name: str, result: dict[str, Any], markdown: str) -> None:
    """Write ``results/<name>.json`` and ``results/<name>.md``; see :mod:`codecfake.manifests.measurements`."""
    measurements.write_result(RESULTS, name, result, markdown)
