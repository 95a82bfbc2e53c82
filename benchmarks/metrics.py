"""EER and all metrics with 1,000 bootstrap rounds on as many scores as Codecfake has for training.

The targets hold for two cores with nothing else to do.

Usage: python benchmarks/metrics.py
"""

import time
from collections.abc import Callable

import numpy as np
from record import environment, write_result

from codecfake.detector.metrics import (
    TrialScores,
    act_dcf,
    area_under_curve,
    bootstrap_intervals,
    cllr,
    compute_eer,
    eer_of,
    min_dcf,
    rank_scores,
    tied_share_of,
)
from codecfake.detector.metrics.bootstrap import ROUNDS, SEED, draws

UTTERANCES, CODECS = 105_821, 6
SCORES = UTTERANCES * (1 + CODECS)
EER_TARGET_SECONDS, ALL_TARGET_SECONDS = 0.3, 20.0
NAIVE_ROUNDS = 3


def make_trials(seed: int) -> tuple[TrialScores, TrialScores]:
    """Scores of all utterances and their fakes, those of one utterance being alike."""
    rng = np.random.default_rng(seed)
    easy = rng.normal(0, 0.7, UTTERANCES)
    bona_fide = 2 + easy + rng.normal(0, 1, UTTERANCES)
    groups = np.tile(np.arange(UTTERANCES), CODECS)
    spoof = easy[groups] + rng.normal(0, 1, groups.size)
    return TrialScores(bona_fide, np.arange(UTTERANCES), bona_fide), TrialScores(spoof, groups, spoof)


def timed(call: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call(*arguments)
    return time.perf_counter() - wall, time.process_time() - cpu


def all_metrics(bona_fide: TrialScores, spoof: TrialScores) -> dict[str, object]:
    ranked = rank_scores(bona_fide.scores, spoof.scores)
    return {
        "eer": eer_of(ranked),
        "min_dcf": min_dcf(ranked),
        "act_dcf": act_dcf(bona_fide.llrs, spoof.llrs),
        "cllr": cllr(bona_fide.llrs, spoof.llrs),
        "auc": area_under_curve(ranked),
        "tied": tied_share_of(ranked),
        "intervals": bootstrap_intervals(bona_fide, spoof),
    }


def naive_round(bona_fide: TrialScores, spoof: TrialScores, number: int) -> None:
    """One round as it is mostly written: copy the drawn trials, sort them, measure them."""
    counts = next(draws(UTTERANCES, SEED, number))
    reals, fakes = counts[bona_fide.groups], counts[spoof.groups]
    drawn = np.repeat(bona_fide.scores, reals), np.repeat(spoof.scores, fakes)
    ranked = rank_scores(*drawn)
    eer_of(ranked), min_dcf(ranked), area_under_curve(ranked), act_dcf(*drawn), cllr(*drawn)


def main() -> None:
    about = environment()
    bona_fide, spoof = make_trials(0)
    eer = [timed(compute_eer, bona_fide.scores, spoof.scores) for _ in range(7)]
    everything = timed(all_metrics, bona_fide, spoof)
    naive = [timed(naive_round, bona_fide, spoof, i) for i in range(NAIVE_ROUNDS)]
    eer_wall, eer_cpu = min(eer)
    naive_cpu = min(cpu for _, cpu in naive) * ROUNDS
    result = {
        "scores": SCORES,
        "rounds": ROUNDS,
        "eer_seconds": round(eer_wall, 4),
        "eer_cpu_seconds": round(eer_cpu, 4),
        "all_seconds": round(everything[0], 2),
        "all_cpu_seconds": round(everything[1], 2),
        "naive_cpu_seconds_extrapolated": round(naive_cpu, 1),
        "ratio_of_cpu_to_naive": round(naive_cpu / everything[1], 1),
        "environment": about,
    }
    markdown = (
        f"# Metrics of {SCORES:,} scores\n\n"
        f"`python benchmarks/metrics.py`: {UTTERANCES:,} bona fide trials, {CODECS} spoofs of each.\n\n"
        "| what | wall s | CPU s | target, wall s |\n|---|---:|---:|---:|\n"
        f"| EER alone, best of {len(eer)} | {eer_wall:.3f} | {eer_cpu:.3f} | {EER_TARGET_SECONDS} |\n"
        f"| EER, minDCF, actDCF, Cllr, AUC, ties, {ROUNDS:,} grouped bootstrap rounds | {everything[0]:.1f} | "
        f"{everything[1]:.1f} | {ALL_TARGET_SECONDS:.0f} |\n"
        f"| the same rounds by copying and sorting the drawn trials (from {NAIVE_ROUNDS} rounds) | – | "
        f"{naive_cpu:.0f} | – |\n\n"
        f"{naive_cpu / everything[1]:.0f} times less CPU time than copying and sorting, with the same intervals.\n"
    )
    write_result("metrics", result, markdown)
    print(markdown)
    assert eer_wall < EER_TARGET_SECONDS and everything[0] < ALL_TARGET_SECONDS, "a target is missed"


if __name__ == "__main__":
    main()
