"""The shortcut audit of a dataset: measure its files, try the one-feature classifiers, sum up the quality."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.detector.audit.separation import FEW_UTTERANCES, Kind, Separation, separate
from codecfake.flows.audit_material import AuditMaterial
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL
from codecfake.pipeline.audit.file_features import FileFeatures
from codecfake.pipeline.audit.measuring import MeasuredFile, measure_files
from codecfake.pipeline.audit.pair_quality import CodecQuality, codec_quality

if TYPE_CHECKING:
    from codecfake.pipeline.monitor import Monitor


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    data: str
    """Name of the folder."""
    split: str
    """Name of the split or the dataset."""
    utterances: int
    all_utterances: int
    margin_points: float
    rounds: int
    separations: list[Separation]
    quality: list[CodecQuality]
    unreadable: dict[str, str]
    """Why, by file."""
    notes: list[str]

    def named(self, kind: Kind) -> list[Separation]:
        """Separations of a kind, the clearest first."""
        chosen = [entry for entry in self.separations if entry.kind is kind]
        return sorted(chosen, key=lambda entry: entry.eer_percent)

    @property
    def is_weak(self) -> bool:
        """Whether a codec has so few utterances that its intervals say little."""
        return any(entry.utterances < FEW_UTTERANCES for entry in self.separations)

    def to_json(self) -> dict[str, Any]:
        """Content of ``audit.json``."""
        return {"shortcuts": len(self.named(Kind.SHORTCUT)), **asdict(self)}


def audit_files(
    data: Path, material: AuditMaterial, monitor: "Monitor", *, margin: float, rounds: int
) -> tuple[Audit, list[MeasuredFile]]:
    """Audit files.

    Args:
        data: The folder they were gathered from.
        material: The files.
        monitor: Receives the progress.
        margin: In points of the error rate; see `separate`.
        rounds: Of the bootstrap.

    Returns:
        The findings, and the measurements of every file.

    Raises:
        CodecfakeError: If no file of one of the classes can be read.
    """
    measured = measure_files(material.files, monitor)
    read = [entry for entry in measured if entry.features]
    if len({entry.file.codec == REAL for entry in read}) < 2:
        raise CodecfakeError(
            f"{data}: no bona fide file, or no fake, can be read",
            cause="the audio is not where the lists say",
            next_step=f"codecfake verify {data}",
        )
    columns = {
        field.name: np.array(
            [getattr(entry.features, field.name) for entry in read],
            dtype=object if field.type is str else None,
        )
        for field in fields(FileFeatures)
    }
    codecs = np.array([entry.file.codec for entry in read], dtype=object)
    groups = np.unique([entry.file.utterance_id for entry in read], return_inverse=True)[1]
    by_codec: dict[str, list[MeasuredFile]] = {}
    for entry in sorted(measured, key=lambda entry: (entry.file.codec != REAL, entry.file.codec)):
        by_codec.setdefault(entry.file.codec, []).append(entry)
    audit = Audit(
        data=data.name,
        split=material.name,
        utterances=material.utterances,
        all_utterances=material.all_utterances,
        margin_points=margin,
        rounds=rounds,
        separations=separate(columns, codecs, groups, margin=margin, rounds=rounds),
        quality=[codec_quality(codec, entries) for codec, entries in by_codec.items()],
        unreadable={entry.file.name: entry.problem for entry in measured if not entry.features},
        notes=material.notes,
    )
    return audit, measured
