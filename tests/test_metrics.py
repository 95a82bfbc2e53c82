import gzip
import time
from itertools import pairwise

import numpy as np
import pytest

from codecfake.detector.metrics import compute_eer, confusion_at, tied_share
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label


def brute_force_eer(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Walk over every threshold in plain Python and cut the diagonal by hand."""
    thresholds = [*sorted({*bona_fide.tolist(), *spoof.tolist()}), float("inf")]
    points = [
        (sum(b < t for b in bona_fide) / len(bona_fide), sum(s >= t for s in spoof) / len(spoof))
        for t in thresholds
    ]
    for (miss, alarm), (next_miss, next_alarm) in pairwise(points):
        if miss <= alarm and next_miss >= next_alarm:
            change = (next_miss - next_alarm) - (miss - alarm)
            return miss + (alarm - miss) / change * (next_miss - miss)
    raise AssertionError("no crossing")


@pytest.mark.parametrize("levels", [2, 5, 50, 10_000])
@pytest.mark.parametrize("seed", range(6))
def test_eer_equals_brute_force(levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bona_fide = rng.integers(0, levels, rng.integers(1, 40)) + levels // 4
    spoof = rng.integers(0, levels, rng.integers(1, 40))
    assert compute_eer(bona_fide, spoof).rate == pytest.approx(brute_force_eer(bona_fide, spoof), abs=1e-12)


def test_eer_of_separable_equal_and_inverted_scores() -> None:
    low, high = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    assert compute_eer(high, low) == compute_eer(high[::-1], low[::-1])
    assert (compute_eer(high, low).rate, compute_eer(high, low).threshold) == (0.0, 1.5)
    assert compute_eer(low, high).rate == 1.0
    assert compute_eer(np.ones(7), np.ones(3)).rate == 0.5
    rng = np.random.default_rng(0)
    bona_fide, spoof = rng.normal(1, 1, 500).round(1), rng.normal(0, 1, 900).round(1)
    assert compute_eer(-bona_fide, -spoof).rate == pytest.approx(1 - compute_eer(bona_fide, spoof).rate)


def test_saturated_scores_are_grouped() -> None:
    """90 % and 20 % of the classes at 1.0, the rest at 0: 18.18 %, where unordered ties would give 20 %."""
    bona_fide, spoof = np.repeat([1.0, 0.0], [90, 10]), np.repeat([1.0, 0.0], [20, 80])
    assert compute_eer(bona_fide, spoof).rate == pytest.approx(2 / 11, abs=1e-12)
    assert tied_share(np.concatenate([bona_fide, spoof])) == 1.0
    assert tied_share(np.array([1.0, 1.0, 2.0, 3.0])) == 0.5


def test_threshold_gives_the_confusion_that_is_nearest_to_the_eer() -> None:
    bona_fide = np.array([5.0, 4.0, 3.0, 1.0])
    spoof = np.array([0.0, 0.5, 2.0, 3.5])
    eer = compute_eer(bona_fide, spoof)
    assert (eer.rate, eer.threshold) == (0.25, 2.5)
    confusion = confusion_at(eer.threshold, bona_fide, spoof)
    counts = (confusion.true_positives, confusion.false_negatives)
    assert counts == (3, 1)
    assert (confusion.false_positives, confusion.true_negatives) == (1, 3)
    assert confusion.accuracy == 0.75
    assert (confusion.false_positive_rate, confusion.false_negative_rate) == (0.25, 0.25)
    # The threshold itself is accepted.
    assert confusion_at(3.0, bona_fide, spoof).true_positives == 3


def test_bad_scores_are_refused() -> None:
    with pytest.raises(CodecfakeError, match="no spoof trial"):
        compute_eer(np.ones(3), np.array([]))
    with pytest.raises(CodecfakeError, match=r"1 of 3 bona fide scores .* \(first: nan at position 1\)"):
        compute_eer(np.array([0.0, np.nan, 1.0]), np.ones(3))
    with pytest.raises(CodecfakeError, match="not finite"):
        confusion_at(0.0, np.ones(2), np.array([np.inf]))


def test_full_size_set_takes_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    bona_fide, spoof = rng.normal(2, 1, 105_821), rng.normal(0, 1, 634_926)
    started = time.process_time()
    assert compute_eer(bona_fide, spoof).rate == pytest.approx(0.1587, abs=0.002)
    assert time.process_time() - started < 0.8


@pytest.mark.parametrize(
    ("name", "percent"),
    [
        ("C1", 0.008),
        ("C2", 0.023),
        ("C3", 0.015),
        ("C4", 0.015),
        ("C5", 0.038),
        ("C6", 0.106),
        ("ITW", 9.606),  # as printed; the nearest step without interpolation is 9.6067
        ("L1", 0.225),
        ("L2", 0.135),
        ("L3", 33.803),
    ],
)
def test_published_score_files_give_the_published_rates(shared, name: str, percent: float) -> None:
    path = shared / "published" / "codec_w2v2aasist" / f"{name}_result.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = [line.rsplit(maxsplit=2) for line in stream]
    scores = np.array([float(row[1]) for row in rows])
    labels = np.array([Label.parse(row[2]) for row in rows])
    eer = compute_eer(scores[labels == Label.BONA_FIDE], scores[labels == Label.SPOOF])
    assert 100 * eer.rate == pytest.approx(percent, abs=0.001)
