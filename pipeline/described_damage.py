"""Damage of what a run says about itself beside its shards and splits: the source manifest, and its detectors."""

from collections.abc import Iterator
from pathlib import Path

from codecfake.manifests.checksums import altered_files
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.records import read_json
from codecfake.pipeline.source import CHECKSUMS_SUFFIX, RETRIES, SOURCE

DETECTORS = "detectors"
DAMAGED = ".damaged-"
"""Stands in the name of a detector that `codecfake retry` set aside."""


def described_damage(run_dir: Path) -> Iterator[tuple[Path, str]]:
    """Hold the source manifest and the weights of detectors against their digests.

    Yields:
        Path, and what is wrong with it.
    """
    yield from source_damage(run_dir)
    for plan in retry_plans(run_dir):
        yield from source_damage(plan)
    for folder in detectors(run_dir):
        yield from detector_damage(folder)


def source_damage(run_dir: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong with the source manifest of a run, or of a retry; without a list of digests nothing is known."""
    yield from altered_files((run_dir / SOURCE).with_suffix(CHECKSUMS_SUFFIX))


def retry_plans(run_dir: Path) -> list[Path]:
    """Folders of the retries of a run."""
    return sorted((run_dir / RETRIES).glob("[0-9]*"))


def detectors(run_dir: Path) -> list[Path]:
    """Folders of the trained detectors of a run, without those that were set aside."""
    found = sorted(path.parent for path in (run_dir / DETECTORS).glob("*/model.json"))
    return [folder for folder in found if DAMAGED not in folder.name]


def detector_damage(folder: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong with the weights of a trained detector."""
    weights = folder / "model.safetensors"
    try:
        described = read_json(folder / "model.json", {"weights_sha256": str})["weights_sha256"]
    except (OSError, CodecfakeError) as error:
        refuse_exhaustion(error)
        yield folder / "model.json", str(error)
        return
    try:
        if file_sha256(weights) != described:
            yield weights, "its sha256 is not that of model.json"
    except FileNotFoundError:
        yield weights, "it is gone"
    except OSError as error:
        refuse_exhaustion(error)
        yield weights, f"it cannot be read: {error}"
