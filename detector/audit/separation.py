"""One-feature classifiers: how well a single number tells the fakes of a codec from bona fide files."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from codecfake.detector.audit.features import FEATURES, Feature
from codecfake.detector.metrics import (
    Interval,
    TrialScores,
    area_under_curve,
    bootstrap_intervals,
    eer_of,
    rank_scores,
)
from codecfake.manifests.schema import REAL

MARGIN_PERCENT = 10.0
"""How far from 50 % an error rate has to be before it counts, in points."""


class Kind(StrEnum):
    """What a separation is."""

    NONE = "none"
    """Chance, or within the margin."""
    SHORTCUT = "shortcut"
    """It comes from how the files were made, and a cure takes it away."""
    CODEC_TRACE = "codec trace"
    """It comes from the codec's network, and is there whatever the files are like."""


FEWEST_PAIRS = 3
"""With fewer fakes beside their sources, a codec is held against all bona fide files."""
FEW_UTTERANCES = 10
"""With fewer source utterances than this, intervals say little."""
ROUNDS = 1_000


@dataclass(frozen=True)
class Separation:
    """How well one feature tells one codec from bona fide audio."""

    codec: str
    feature: str
    unit: str
    eer_percent: float
    """Of the better direction: 50 is chance, 0 tells all files apart."""
    interval_percent: Interval | None
    """At 95 %, by resampling source utterances, of the direction that is better on all of them, so it may pass 50;
    None where there is only one."""
    bona_fide: str
    """Median, or the most frequent value."""
    fake: str
    utterances: int
    """Sources of the fakes."""
    kind: Kind
    cure: str


def separate(
    columns: Mapping[str, np.ndarray],
    codecs: np.ndarray,
    groups: np.ndarray,
    *,
    margin: float = MARGIN_PERCENT,
    rounds: int = ROUNDS,
) -> list[Separation]:
    """Try every feature on every codec.

    A feature is named, as a shortcut or as a trace of the codec, where its error rate, with the whole of its interval,
    is more than ``margin`` points below 50 %. With few source utterances, where resampling promises too much, it has
    to tell all files apart. Fakes are held against the bona fide files of their own utterances: against others, a
    quiet utterance would pass for a quiet codec.

    Args:
        columns: Measurements by name, each of shape (N,).
        codecs: Codec id, or "real", of every file, shape (N,), str.
        groups: Number of the source utterance of every file, shape (N,).
        margin: In points of the error rate.
        rounds: Of the bootstrap.

    Returns:
        One entry per codec and feature, by codec, in the order of the features.
    """
    is_real = codecs == REAL
    values = {feature.title: feature.values(columns) for feature in FEATURES}
    found = []
    for codec in sorted(set(codecs[~is_real].tolist())):
        is_fake = codecs == codec
        is_source = is_real & np.isin(groups, groups[is_fake])
        bona_fide = np.flatnonzero(is_source if np.count_nonzero(is_source) >= FEWEST_PAIRS else is_real)
        fake = np.flatnonzero(is_fake)
        for feature in FEATURES:
            sides = [TrialScores(values[feature.title][rows], groups[rows]) for rows in (bona_fide, fake)]
            found.append(_try_feature(codec, feature, *sides, margin=margin, rounds=rounds))
    return found


def _try_feature(
    codec: str, feature: Feature, bona_fide: TrialScores, fake: TrialScores, *, margin: float, rounds: int
) -> Separation:
    """Measure one feature on one codec; what the sides hold as scores are the values of the feature."""
    sides = [_as_scores(feature, side, bona_fide.scores) for side in (bona_fide, fake)]
    ranked = rank_scores(*(side.scores for side in sides))
    if area_under_curve(ranked) < 0.5:
        sides = [TrialScores(-side.scores, side.groups) for side in sides]
        ranked = rank_scores(*(side.scores for side in sides))
    interval = None
    if len(ranked.values) == 1:
        interval = Interval(50.0, 50.0)
    elif fraction := bootstrap_intervals(*sides, rounds=rounds).get("eer"):
        interval = Interval(100 * fraction.low, 100 * fraction.high)
    percent = 100 * min(eer_of(ranked).rate, 0.5)
    utterances = len(np.unique(fake.groups))
    limit = 50 - margin if utterances >= FEW_UTTERANCES else np.nextafter(0, 1)
    is_named = interval is not None and max(percent, interval.high) < limit
    kind = Kind.CODEC_TRACE if feature.is_codec_trace else Kind.SHORTCUT
    return Separation(
        codec=codec,
        feature=feature.title,
        unit=feature.unit,
        eer_percent=percent,
        interval_percent=interval,
        bona_fide=_typical(feature, bona_fide.scores),
        fake=_typical(feature, fake.scores),
        utterances=utterances,
        kind=kind if is_named else Kind.NONE,
        cure=feature.cure,
    )


def _as_scores(feature: Feature, side: TrialScores, bona_fide: np.ndarray) -> TrialScores:
    """Turn values into scores: themselves, or how many bona fide files have the same."""
    if not feature.is_category:
        return TrialScores(side.scores.astype(np.float64), side.groups)
    counts = Counter(bona_fide.tolist())
    return TrialScores(np.array([counts[value] for value in side.scores.tolist()], np.float64), side.groups)


def _typical(feature: Feature, values: np.ndarray) -> str:
    if feature.is_category:
        value, count = Counter(values.tolist()).most_common(1)[0]
        return f"{value}" if count == len(values) else f"{value} ({count:,} of {len(values):,})"
    median = float(np.median(values))
    return f"{median:,.0f}" if abs(median) >= 1000 else f"{median:.4g}"
