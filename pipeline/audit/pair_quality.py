"""Quality control: how near the fakes of each codec are to their sources, and which stand out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codecfake.codec_adapters.resampling import Wave
from codecfake.pipeline.audit.file_features import decibels, root_mean_square
from codecfake.pipeline.codec_training.validation import mel_distance, si_sdr

if TYPE_CHECKING:
    from codecfake.pipeline.audit.measuring import MeasuredFile

SILENT_DB = -60.0
"""A file whose root mean square is below this, in dB of full scale, counts as silent."""
OUTLIER_DEVIATIONS = 6.0
"""A file this many robust standard deviations from the median of its codec, on the bad side, is listed."""
FEWEST_FOR_OUTLIERS = 10
"""Files of a codec below which no spread can be told."""
SMALLEST_DEVIATION_DB = 0.1
"""Where nearly all files agree to less, this counts as their spread."""


@dataclass(frozen=True)
class PairQuality:
    """A fake beside its source; both were brought to 16 kHz and cut to the shorter one."""

    si_sdr: float | None
    """In dB; None where one of the two is silent."""
    mel_distance: float
    """Mean absolute difference of log-mel spectra, in dB."""
    level_db: float
    """Root mean square relative to the source's."""


@dataclass(frozen=True)
class Outlier:
    """A file that stands out among those of its codec."""

    file: str
    measure: str
    value: float
    median: float
    """Of its codec."""


@dataclass(frozen=True)
class CodecQuality:
    """Quality control of one codec, or of bona fide audio."""

    codec: str
    files: int
    unreadable: int
    pairs: int
    """Fakes whose source is there."""
    si_sdr: float | None
    """Median over the pairs, as the next two."""
    mel_distance: float | None
    level_db: float | None
    clipped_files: int
    """Files with samples at full scale."""
    silent_files: int
    outliers: tuple[Outlier, ...]


def compare_waves(source: Wave, fake: Wave) -> PairQuality:
    """Compare two waves at 16 kHz, each of shape (T,) of its own length."""
    samples = min(len(source), len(fake))
    source, fake = source[:samples], fake[:samples]
    level = decibels(root_mean_square(fake)) - decibels(root_mean_square(source))
    return PairQuality(si_sdr(source, fake), mel_distance(source, fake), level)


def codec_quality(codec: str, measured: "Sequence[MeasuredFile]") -> CodecQuality:
    """Sum up the files of one codec."""
    features = [entry.features for entry in measured if entry.features]
    pairs = {entry.file.name: entry.quality for entry in measured if entry.quality}
    values = {
        "SI-SDR": {name: pair.si_sdr for name, pair in pairs.items() if pair.si_sdr is not None},
        "log-mel distance": {name: pair.mel_distance for name, pair in pairs.items()},
        "level": {name: pair.level_db for name, pair in pairs.items()},
    }
    medians = [float(np.median(list(column.values()))) if column else None for column in values.values()]
    return CodecQuality(
        codec=codec,
        files=len(measured),
        unreadable=len(measured) - len(features),
        pairs=len(pairs),
        si_sdr=medians[0],
        mel_distance=medians[1],
        level_db=medians[2],
        clipped_files=sum(feature.clipped > 0 for feature in features),
        silent_files=sum(feature.rms_db < SILENT_DB for feature in features),
        outliers=tuple(
            outlier for measure, column in values.items() for outlier in _outliers(measure, column)
        ),
    )


def _outliers(measure: str, values: Mapping[str, float]) -> list[Outlier]:
    """Files far from the median by the median absolute deviation, the farthest first."""
    if len(values) < FEWEST_FOR_OUTLIERS:
        return []
    column = np.array(list(values.values()))
    median = float(np.median(column))
    deviation = max(1.4826 * float(np.median(np.abs(column - median))), SMALLEST_DEVIATION_DB)
    distance = (column - median) / deviation
    badness = {"SI-SDR": -distance, "log-mel distance": distance, "level": np.abs(distance)}[measure]
    names = list(values)
    return [
        Outlier(names[row], measure, float(column[row]), median)
        for row in np.argsort(-badness, kind="stable")
        if badness[row] > OUTLIER_DEVIATIONS
    ]
