"""Which trials a detector is scored on, and where the scores go."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecfake.detector.sources import SOURCES, open_trials, run_folder
from codecfake.detector.trials import SplitTrials, read_trials
from codecfake.manifests.errors import CodecfakeError


def default_scores_dir(data: Path, detector_dir: Path, trials: SplitTrials) -> Path:
    """Give the folder for scores: ``scores`` for the run a detector lies in, else ``scores/DATASET``.

    Args:
        data: What is scored.
        detector_dir: Folder of the detector.
        trials: Its trials; their name is the name of the dataset, or of the split.
    """
    scores = detector_dir / "scores"
    return scores if _is_own_run(data, detector_dir) else scores / trials.name


def read_unchanged_trials(
    run_dir: Path, description: Mapping[str, Any], split: str | None = None
) -> SplitTrials:
    """Read the split of a detector's own run, and refuse another one than it was trained on.

    Args:
        run_dir: The run folder in which the detector lies.
        description: Content of the detector's ``model.json``. Where it names no split of a run, as after an import
            or a training on downloaded data, any split will do.
        split: Name of the split, by default the one it was trained on.

    Returns:
        The trials.

    Raises:
        CodecfakeError: If the split is absent, was made anew with other content, or is another one.
    """
    downloaded = {source.name for source in SOURCES}
    trained_on = [pair for pair in _trained_on(description) if pair[0] not in downloaded]
    if not trained_on:
        return run_folder.read(run_dir, split)
    names = [name for name, _ in trained_on]
    here = [name for name in names if name in run_folder.split_names(run_dir)]
    trials = read_trials(run_dir, split or (here or names)[0])
    if trials.name not in names:
        raise CodecfakeError(
            f"the detector was trained on the split {names[0]}, so the evaluation files of {trials.name} may have "
            "been trained on",
            next_step="train a detector on that split, under another name",
        )
    if (trials.name, trials.digest) not in trained_on:
        raise CodecfakeError(
            f"the split {trials.name} changed since the detector was trained on it, so its evaluation "
            "files may have been trained on",
            cause="more audio was built, or the split was made anew with another seed",
            next_step="train a detector under another name",
        )
    return trials


def _trained_on(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and digest of every dataset a detector was trained on; none for an imported one."""
    if "data" in description:
        return [(entry["name"], entry["digest"]) for entry in description["data"]]
    return [(description["split"], description["manifest_sha256"])] if "split" in description else []


def _is_own_run(data: Path, detector_dir: Path) -> bool:
    return Path(detector_dir).resolve().is_relative_to(Path(data).resolve() / "detectors")


def find_trials(
    data: Path, detector_dir: Path, description: Mapping[str, Any], split: str | None
) -> SplitTrials:
    """Read the split that the detector was trained on, where this is its run; else what the folder holds."""
    if _is_own_run(data, detector_dir) and run_folder.recognise(data):
        return read_unchanged_trials(data, description, split)
    return open_trials(data, split)


def remarks(data: Path, detector_dir: Path, description: Mapping[str, Any], trials: SplitTrials) -> list[str]:
    """What a reader of the scores has to know."""
    lines = [f"Warning: {description['warning']}"] if "warning" in description else []
    digests = {digest for _, digest in _trained_on(description)}
    if trials.digest in digests and not _is_own_run(data, detector_dir):
        lines.append(f"The detector was trained on the train part of this very dataset, {trials.name}.")
    return lines
