"""The scores of one detector in two runs, side by side."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecfake.detector.score_files import UNREADABLE_FILE, read_scores
from codecfake.manifests.records import read_json

DESCRIPTION = "model.json"


@dataclass(frozen=True)
class ScoreDifferences:
    """How the scores of one part differ."""

    detector: str
    part: str
    """``dev`` or a condition."""
    same_weights: bool
    files: int
    """Scored in both runs."""
    equal: int
    only_first: int
    only_second: int
    largest: float
    mean: float
    """Of the absolute differences."""

    @property
    def are_same(self) -> bool:
        """Whether the same files have the same scores, to the last bit."""
        return self.equal == self.files and not (self.only_first or self.only_second)


def compare_detectors(first: Path, second: Path) -> list[ScoreDifferences]:
    """Compare the scores of the detectors that both runs have, by their names.

    Args:
        first: A run folder.
        second: Another one.

    Returns:
        One entry per detector and part that both have scored.

    Raises:
        CodecfakeError: If a score file or a description is damaged.
    """
    names = sorted({path.parent.name for path in first.glob(f"detectors/*/{DESCRIPTION}")})
    pairs = [(name, first / "detectors" / name, second / "detectors" / name) for name in names]
    return [
        _compare_part(name, part, one / "scores", other / "scores", _weights(one) == _weights(other))
        for name, one, other in pairs
        for part in sorted(_parts(one) & _parts(other))
    ]


def _parts(detector_dir: Path) -> set[str]:
    found = detector_dir.glob("scores/[!.]*.tsv")
    return {path.stem for path in found if path.name != UNREADABLE_FILE}


def _weights(detector_dir: Path) -> str | None:
    path = detector_dir / DESCRIPTION
    return read_json(path, {}).get("weights_sha256") if path.is_file() else None


def _compare_part(
    detector: str, part: str, first: Path, second: Path, same_weights: bool
) -> ScoreDifferences:
    scores, others = read_scores(first, part), read_scores(second, part)
    shared = scores.keys() & others.keys()
    pairs = np.array([(scores[file], others[file]) for file in shared], dtype=np.float64).reshape(-1, 2)
    difference = np.abs(pairs[:, 0] - pairs[:, 1])
    return ScoreDifferences(
        detector=detector,
        part=part,
        same_weights=same_weights,
        files=len(shared),
        equal=int(np.count_nonzero(difference == 0)),
        only_first=len(scores) - len(shared),
        only_second=len(others) - len(shared),
        largest=float(difference.max(initial=0.0)),
        mean=float(difference.mean()) if len(shared) else 0.0,
    )
