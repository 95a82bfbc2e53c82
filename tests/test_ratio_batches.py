"""Batches in proportion to the domains: exact counts, pure functions of their place, nothing drawn twice."""

import numpy as np
import pytest

from codecfake.detector.training.batch_plans import ShuffledBatches, share
from codecfake.detector.training.ratio_batches import RatioBatches, proportional_counts

CODECFAKE, ASVSPOOF = 740_747, 25_380
"""Train utterances of Codecfake and of ASVspoof 2019 LA (arXiv 2405.04880, figure 3 and table V)."""


@pytest.mark.parametrize(
    ("sizes", "batch_size", "counts"),
    [
        ((CODECFAKE, ASVSPOOF), 128, [124, 4]),  # 123.76 and 4.24
        ((CODECFAKE, ASVSPOOF), 64, [62, 2]),
        ((1, 1, 1), 4 - 1, [1, 1, 1]),
        ((10_000, 16), 128, [127, 1]),  # a share of 0.2, yet every batch sees both
        ((10_000, 1, 1, 1), 5, [2, 1, 1, 1]),
        ((3, 3, 3), 5, [2, 2, 1]),
        ((5, 2), 7, [5, 2]),
    ],
)
def test_counts_are_exact(sizes: tuple[int, ...], batch_size: int, counts: list[int]) -> None:
    assert proportional_counts(sizes, batch_size) == counts


def test_counts_of_random_domains_are_within_one_of_their_share() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        sizes = rng.integers(1, 5_000, rng.integers(1, 6)).tolist()
        batch_size = int(rng.integers(len(sizes), min(sum(sizes), 300) + 1))
        counts = proportional_counts(sizes, batch_size)
        assert sum(counts) == batch_size
        assert all(1 <= count <= size for count, size in zip(counts, sizes, strict=True))
        if all(batch_size * size >= sum(sizes) for size in sizes):
            exact = [batch_size * size / sum(sizes) for size in sizes]
            assert all(abs(count - share) < 1 for count, share in zip(counts, exact, strict=True))


@pytest.mark.parametrize(("sizes", "batch_size"), [((5, 0), 2), ((5, 5), 1), ((2, 2), 5)])
def test_impossible_batches_are_refused(sizes: tuple[int, int], batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"a batch of {batch_size} cannot hold"):
        proportional_counts(sizes, batch_size)


def test_an_epoch_of_the_paper() -> None:
    plan = RatioBatches((CODECFAKE, ASVSPOOF), 128, seed=688)
    assert len(plan) == 5_973  # 740,747 // 124
    assert plan.passes == pytest.approx([5_973 * 124 / CODECFAKE, 5_973 * 4 / ASVSPOOF])
    assert [round(passes, 3) for passes in plan.passes] == [1.0, 0.941]


def test_every_batch_has_its_counts_and_an_epoch_takes_each_item_of_the_larger_domain_once() -> None:
    plan = RatioBatches((101, 23), 16, seed=1)
    assert plan.counts == [13, 3]
    batches = [plan.batch(1, step) for step in range(len(plan))]
    assert {(len(batch), int((batch < 101).sum())) for batch in batches} == {(16, 13)}
    drawn = np.concatenate(batches)
    first, second = drawn[drawn < 101], drawn[drawn >= 101]
    assert len(set(first)) == len(first) == 7 * 13
    assert len(set(second)) == len(second) == 21  # less than one pass, so nothing twice
    assert drawn.min() >= 0 and drawn.max() < 124


def test_an_exhausted_domain_begins_again_in_another_order() -> None:
    plan = RatioBatches((1_000, 5), 20, seed=0)
    assert plan.counts == [19, 1]
    second = np.array([plan.batch(1, step)[-1] for step in range(50)])
    rounds = second.reshape(10, 5)
    assert {tuple(sorted(row)) for row in rounds} == {(1000, 1001, 1002, 1003, 1004)}
    assert len({tuple(row) for row in rounds}) > 1
    assert plan.passes[1] == len(plan) / 5 > 10


def test_a_batch_is_a_pure_function_of_seed_epoch_and_step() -> None:
    def plan(seed: int) -> RatioBatches:
        return RatioBatches((300, 40), 34, seed)

    one = plan(3)
    straight = [one.batch(epoch, step).tolist() for epoch in (1, 2) for step in range(len(one))]
    backwards = plan(3)
    places = [(epoch, step) for epoch in (1, 2) for step in range(len(one))]
    again = {place: backwards.batch(*place).tolist() for place in reversed(places)}
    assert [again[place] for place in places] == straight
    assert plan(4).batch(1, 0).tolist() != straight[0]
    assert straight[0] != straight[len(one)]  # another epoch, another order


def test_ranks_share_every_batch_and_every_domain_of_it() -> None:
    plan = RatioBatches((CODECFAKE // 100, ASVSPOOF // 100), 128, seed=688)
    for step in (0, 1, len(plan) - 1):
        batch = plan.batch(1, step)
        parts = [share(batch, rank, 4) for rank in range(4)]
        assert sorted(np.concatenate(parts)) == sorted(batch)
        assert [len(part) for part in parts] == [32] * 4
        assert [int((part >= CODECFAKE // 100).sum()) for part in parts] == [1, 1, 1, 1]


def test_a_batch_larger_than_all_data_is_all_data() -> None:
    plan = RatioBatches((5, 3), 128, seed=0)
    assert (len(plan), plan.batch_size, plan.passes) == (1, 8, [1.0, 1.0])
    assert sorted(plan.batch(1, 0)) == list(range(8))


def test_shuffled_batches_take_everything_once_per_epoch() -> None:
    plan = ShuffledBatches((10, 5), 4, seed=0)
    assert (len(plan), plan.passes) == (4, [1.0, 1.0])
    batches = [plan.batch(1, step) for step in range(4)]
    assert [len(batch) for batch in batches] == [4, 4, 4, 3]
    assert sorted(np.concatenate(batches)) == list(range(15))
    assert ShuffledBatches((10, 3), 4, seed=0, ranks=2).passes == [12 / 13] * 2  # one left for two processes
