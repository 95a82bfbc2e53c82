import gzip
import math
import os
import time
from itertools import pairwise

import numpy as np
import pytest

from codecfake.detector.metrics import (
    ASVSPOOF5,
    TrialScores,
    act_dcf,
    area_under_curve,
    bootstrap_intervals,
    cllr,
    compute_eer,
    confusion_at,
    min_dcf,
    rank_scores,
    tied_share,
    tied_share_of,
)
from codecfake.detector.metrics.bootstrap import draws
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label


def naive_eer(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Reject trials one by one in plain Python; a tie of both classes that crosses is cut by a straight line."""
    n, m = len(bona_fide), len(spoof)
    points = [(0, 0)]
    for score in sorted({*bona_fide.tolist(), *spoof.tolist()}):
        missed, rejected = points[-1]
        reals, fakes = int((bona_fide == score).sum()), int((spoof == score).sum())
        end = missed + reals, rejected + fakes
        if reals and fakes and missed / n < (m - rejected) / m and end[0] / n > (m - end[1]) / m:
            share = ((m - rejected) / m - missed / n) / (reals / n + fakes / m)
            return missed / n + share * reals / n
        points += [(missed + k, rejected) for k in range(1, reals)] if not fakes else []
        points += [(missed, rejected + k) for k in range(1, fakes)] if not reals else []
        points.append(end)
    rates = [(missed / n, (m - rejected) / m) for missed, rejected in points]
    return sum(min(rates, key=lambda point: abs(point[0] - point[1]))) / 2


def asvspoof_eer(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """What the packages of ASVspoof compute: one point per trial, the nearest pair of rates, its mean."""
    scores = np.concatenate([bona_fide, spoof])
    is_real = np.argsort(scores, kind="stable") < len(bona_fide)
    miss = np.concatenate([[0], np.cumsum(is_real) / len(bona_fide)])
    alarm = np.concatenate([[1], (len(spoof) - np.cumsum(~is_real)) / len(spoof)])
    nearest = np.argmin(np.abs(miss - alarm))
    return (miss[nearest] + alarm[nearest]) / 2


@pytest.mark.parametrize("levels", [2, 5, 50, 10_000])
@pytest.mark.parametrize("seed", range(8))
def test_eer_equals_a_walk_over_all_trials(levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bona_fide = rng.integers(0, levels, rng.integers(1, 40)) + levels // 4
    spoof = rng.integers(0, levels, rng.integers(1, 40))
    assert compute_eer(bona_fide, spoof).rate == pytest.approx(naive_eer(bona_fide, spoof), abs=1e-12)


@pytest.mark.parametrize("sizes", [(7, 5), (40, 3), (500, 900), (2000, 2000)])
@pytest.mark.parametrize("seed", range(5))
def test_eer_without_ties_is_that_of_the_asvspoof_packages(sizes: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    bona_fide, spoof = rng.normal(1, 1, sizes[0]), rng.normal(0, 1, sizes[1])
    assert compute_eer(bona_fide, spoof).rate == asvspoof_eer(bona_fide, spoof)


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
    assert tied_share_of(rank_scores(bona_fide, spoof)) == 1.0
    assert tied_share(np.array([1.0, 1.0, 2.0, 3.0])) == 0.5
    # A tie of one class alone is no matter of order: half of its trials are rejected.
    assert compute_eer(np.zeros(10), np.array([1.0, -1.0])).rate == 0.5


def test_threshold_gives_the_confusion_that_is_nearest_to_the_eer() -> None:
    bona_fide = np.array([5.0, 4.0, 3.0, 1.0])
    spoof = np.array([0.0, 0.5, 2.0, 3.5])
    eer = compute_eer(bona_fide, spoof)
    assert (eer.rate, eer.threshold) == (0.25, 2.5)
    confusion = confusion_at(eer.threshold, bona_fide, spoof)
    counts = (confusion.true_positives, confusion.false_negatives)
    assert counts == (3, 1)
    assert (confusion.false_positives, confusion.true_negatives) == (1, 3)
    assert (confusion.accuracy, confusion.balanced_accuracy, confusion.f1) == (0.75, 0.75, 0.75)
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


def naive_costs(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """minDCF of ASVspoof 5 by trying every threshold."""
    thresholds = [*sorted({*bona_fide.tolist(), *spoof.tolist()}), math.inf]
    costs = [0.95 * (bona_fide < t).mean() + 10 * 0.05 * (spoof >= t).mean() for t in thresholds]
    return min(costs) / 0.5


def naive_auc(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    higher = (bona_fide[:, None] > spoof).sum() + 0.5 * (bona_fide[:, None] == spoof).sum()
    return higher / (bona_fide.size * spoof.size)


@pytest.mark.parametrize("levels", [3, 20, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_costs_and_auc_equal_naive_ones(levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bona_fide = rng.integers(0, levels, rng.integers(1, 60)) + levels // 3
    spoof = rng.integers(0, levels, rng.integers(1, 60))
    ranked = rank_scores(bona_fide, spoof)
    assert min_dcf(ranked) == pytest.approx(naive_costs(bona_fide, spoof), abs=1e-12)
    assert area_under_curve(ranked) == pytest.approx(naive_auc(bona_fide, spoof), abs=1e-12)


def test_act_dcf_has_the_bayes_threshold_of_asvspoof_5() -> None:
    """A miss is a bona fide trial rejected; the threshold is -log(0.95 / 0.5), and it is accepted itself."""
    assert ASVSPOOF5.bayes_threshold == pytest.approx(-math.log(1.9))
    bona_fide = np.array([-1.0, ASVSPOOF5.bayes_threshold, 3.0, 4.0])
    spoof = np.array([-5.0, -0.7, 0.0, -3.0, -2.0])
    assert act_dcf(bona_fide, spoof) == pytest.approx((0.95 * 1 / 4 + 0.5 * 1 / 5) / 0.5)
    # Accepting everything costs 1, rejecting everything 1.9.
    assert act_dcf(np.full(3, 9.0), np.full(3, 9.0)) == pytest.approx(1.0)
    assert act_dcf(np.full(3, -9.0), np.full(3, -9.0)) == pytest.approx(1.9)
    assert min_dcf(rank_scores(np.zeros(3), np.ones(3))) == 1.0


def test_cllr() -> None:
    assert cllr(np.zeros(4), np.zeros(9)) == pytest.approx(1.0)
    expected = (math.log2(1 + math.exp(-2)) + math.log2(1 + math.exp(-3))) / 2
    assert cllr(np.array([2.0]), np.array([-3.0])) == pytest.approx(expected)
    # Certain and wrong: many bits, but no overflow.
    assert cllr(np.array([-2000.0]), np.array([0.0])) == pytest.approx((2000 / math.log(2) + 1) / 2)


def grouped_trials(seed: int, levels: int, groups: int = 12) -> tuple[TrialScores, TrialScores]:
    rng = np.random.default_rng(seed)
    bona_fide = (rng.integers(0, levels, groups) + levels // 4).astype(float)
    spoof = rng.integers(0, levels, 3 * groups).astype(float)
    spoof_groups = np.tile(np.arange(groups), 3)
    return (
        TrialScores(bona_fide, np.arange(groups), bona_fide - levels / 2),
        TrialScores(spoof, spoof_groups, spoof - levels / 2),
    )


@pytest.mark.parametrize("levels", [4, 30, 100_000])
def test_bootstrap_equals_resampling_the_trials(levels: int) -> None:
    """All trials of a drawn utterance count as often as it was drawn."""
    bona_fide, spoof = grouped_trials(1, levels)
    values = {name: [] for name in ("eer", "min_dcf", "auc", "act_dcf", "cllr")}
    for number in range(60):
        counts = next(draws(12, 5, number))
        reals, fakes = counts[bona_fide.groups], counts[spoof.groups]
        drawn = np.repeat(bona_fide.scores, reals), np.repeat(spoof.scores, fakes)
        ratios = np.repeat(bona_fide.llrs, reals), np.repeat(spoof.llrs, fakes)
        values["eer"].append(naive_eer(*drawn))
        values["min_dcf"].append(naive_costs(*drawn))
        values["auc"].append(naive_auc(*drawn))
        values["act_dcf"].append(act_dcf(*ratios))
        values["cllr"].append(cllr(*ratios))
    intervals = bootstrap_intervals(bona_fide, spoof, rounds=60, seed=5)
    assert intervals.keys() == values.keys()
    for name, found in intervals.items():
        expected = np.percentile(values[name], [2.5, 97.5])
        assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-12, abs=1e-12), name


def test_bootstrap_depends_on_the_seed_and_not_on_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    bona_fide, spoof = grouped_trials(2, 1000)
    first = bootstrap_intervals(bona_fide, spoof, rounds=50)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert bootstrap_intervals(bona_fide, spoof, rounds=50) == first
    assert bootstrap_intervals(bona_fide, spoof, rounds=50, seed=1) != first


def test_copies_of_a_trial_in_its_group_do_not_narrow_the_interval() -> None:
    bona_fide, spoof = grouped_trials(3, 1000, groups=40)
    once = bootstrap_intervals(bona_fide, spoof, rounds=200)
    copied = [TrialScores(np.tile(t.scores, 9), np.tile(t.groups, 9)) for t in (bona_fide, spoof)]
    grouped = bootstrap_intervals(*copied, rounds=200)
    assert (grouped["auc"].low, grouped["auc"].high) == pytest.approx((once["auc"].low, once["auc"].high))
    alone = [
        TrialScores(copied[0].scores, np.arange(360)),
        TrialScores(copied[1].scores, np.arange(360, 360 + 1080)),
    ]
    ungrouped = bootstrap_intervals(*alone, rounds=200)["auc"]
    assert ungrouped.high - ungrouped.low < 0.6 * (once["auc"].high - once["auc"].low)


def test_bootstrap_of_a_class_with_one_utterance_or_of_one_utterance_in_all() -> None:
    one = TrialScores(np.array([2.0]), np.array([0]))
    many = TrialScores(np.array([0.0, 1.0, 3.0]), np.array([1, 2, 3]))
    assert 0 <= bootstrap_intervals(one, many, rounds=40)["eer"].low <= 1
    assert bootstrap_intervals(one, TrialScores(np.zeros(2), np.zeros(2, int))) == {}
    assert bootstrap_intervals(one, many, rounds=0) == {}


def test_full_size_set_takes_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    bona_fide, spoof = rng.normal(2, 1, 105_821), rng.normal(0, 1, 634_926)
    started = time.process_time()
    assert compute_eer(bona_fide, spoof).rate == pytest.approx(0.1587, abs=0.002)
    assert time.process_time() - started < 0.6


PUBLISHED = {
    "C1": 0.008,
    "C2": 0.023,
    "C3": 0.015,
    "C4": 0.015,
    "C5": 0.038,
    "C6": 0.106,
    "C3-1": 0.015,
    "C4-3": 0.650,
    "ITW": 9.606,
    "L1": 0.225,
    "L2": 0.135,
    "L3": 33.803,
}
"""Tables IV, VI and VII, W2V2-AASIST trained on Codecfake, its shifted row put right."""


@pytest.mark.parametrize(("name", "percent"), PUBLISHED.items())
def test_published_score_files_give_the_published_rates(shared, name: str, percent: float) -> None:
    path = shared / "published" / "codec_w2v2aasist" / f"{name}_result.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = [line.rsplit(maxsplit=2) for line in stream]
    scores = np.array([float(row[1]) for row in rows])
    labels = np.array([Label.parse(row[2]) for row in rows])
    eer = compute_eer(scores[labels == Label.BONA_FIDE], scores[labels == Label.SPOOF])
    assert 100 * eer.rate == pytest.approx(percent, abs=0.001)


def test_operating_points_rise_from_accepting_all_to_accepting_none() -> None:
    ranked = rank_scores(np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0]))
    assert ranked.miss_rates.tolist() == [0, 0, 1 / 3, 1]
    assert ranked.false_alarm_rates.tolist() == [1, 0.5, 0.5, 0]
    assert all(a < b for a, b in pairwise(ranked.threshold(point) for point in range(4)))
