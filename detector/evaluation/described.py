"""JSON that lies among a user's files and may have been changed there, held against the types it is read with."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from codecfake.manifests.records import DamagedFileError

Kind = TypeVar("Kind")


def checked(kind: type[Kind], content: Any, path: Path, *, next_step: str = "") -> Kind:
    """Read the content of a JSON file as a dataclass, or another type with annotations.

    Args:
        kind: The type.
        content: What `json` made of the file; names that the type does not have are left out.
        path: The file, for the message.
        next_step: What to type when it is damaged.

    Raises:
        DamagedFileError: If something is missing or of another type; the message names the first such place.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))[:80] or "content"
        raise DamagedFileError(
            f"{path} is damaged: {place}: {problem['msg']}",
            cause="it was changed since it was written, or another version of codecfake wrote it",
            next_step=next_step,
        ) from error


@dataclass(frozen=True)
class _Data:
    name: str
    digest: str
    train: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Training:
    optimizer: str = ""
    bona_fide_weight: float | None = None


@dataclass(frozen=True)
class _Description:
    """What is read of ``model.json``; detectors that were imported, or trained by older versions, have less."""

    data: list[_Data] = field(default_factory=list)
    training: _Training = field(default_factory=_Training)
    front_end: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    split: str = ""
    warning: str = ""
    weights_sha256: str = ""


def read_checked_description(detector_dir: Path) -> dict[str, Any]:
    """Read ``model.json`` of a detector, and check the types of what evaluations and their pages read of it.

    Raises:
        CodecfakeError: If the folder holds no trained detector.
        DamagedFileError: If something is of another type.
    """
    from codecfake.detector.model import DESCRIPTION_FILE, read_description

    description = read_description(detector_dir)
    checked(_Description, description, detector_dir / DESCRIPTION_FILE)
    return description
