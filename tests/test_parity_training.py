"""``--parity original``: what the authors' scripts did, quirks included, in the numbers that follow from their code."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from codecfake.detector.training import TrainConfig
from codecfake.detector.training.dev import mean_of_batch_losses
from codecfake.detector.training.domains import LabelledBatch
from codecfake.detector.training.original_batches import OriginalRatioBatches
from codecfake.detector.training.processes import Processes
from codecfake.detector.training.run import make_plan
from codecfake.detector.training.step import TrainingStep
from codecfake.manifests.errors import CodecfakeError

CODECFAKE, ASVSPOOF = 740_747, 25_380


@pytest.fixture(scope="module")
def plan() -> OriginalRatioBatches:
    return OriginalRatioBatches((CODECFAKE, ASVSPOOF), 128, seed=688)


def test_counts_of_the_original(plan: OriginalRatioBatches) -> None:
    assert plan.counts == [123, 4]
    assert plan.groups == 5_788
    assert plan.pass_utterances == 735_076
    assert plan.pass_batches == 5_743
    assert len(plan) == 11_576
    assert round(len(plan) / plan.pass_batches, 3) == 2.016
    assert [round(passes, 3) for passes in plan.passes] == [1.937, 1.839]


def test_one_pass_of_the_original(plan: OriginalRatioBatches) -> None:
    drawn = np.concatenate([plan.batch(1, step) for step in range(plan.pass_batches)])
    assert len(drawn) == len(set(drawn.tolist())) == 735_076
    assert (drawn < CODECFAKE).sum() == 711_924
    assert (drawn >= CODECFAKE).sum() == 23_152


def test_the_window_slides_over_the_groups(plan: OriginalRatioBatches) -> None:
    batches = [plan.batch(1, step) for step in range(127)]
    asvspoof = [int((batch >= CODECFAKE).sum()) for batch in batches]
    assert {len(batch) for batch in batches} == {128}
    assert set(asvspoof) == {4, 5}
    assert sum(asvspoof) == 128 * 4  # 127 batches of 128 are 128 groups of 127
    assert (batches[0] >= CODECFAKE).nonzero()[0].tolist() == [123, 124, 125, 126]
    assert (batches[1] >= CODECFAKE).nonzero()[0].tolist() == [122, 123, 124, 125]
    assert len(plan.batch(1, 5_742)) == 100


def test_an_epoch_ends_within_the_third_pass(plan: OriginalRatioBatches) -> None:
    """The loader's row of batches outlives the epoch: 2 x 5,743 batches, then 90 of the third pass."""
    assert plan.batch(1, 5_743).tolist() != plan.batch(1, 0).tolist()
    again = OriginalRatioBatches((CODECFAKE, ASVSPOOF), 128, seed=688)
    third = np.concatenate(
        [again.batch(1, step) for step in range(11_486, 11_576)]
        + [again.batch(2, step) for step in range(5_743 - 90)]
    )
    assert len(third) == len(set(third.tolist())) == 735_076


def test_a_share_that_rounds_down_to_nothing_is_refused() -> None:
    with pytest.raises(CodecfakeError, match=r"give \[15, 0\] in a batch of 16"):
        OriginalRatioBatches((1_000, 10), 16, seed=0)


def test_the_dev_loss_of_the_original_is_a_mean_over_batches() -> None:
    """A last batch of one utterance counts as much as any other, and the order decides who meets whom."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    labels, weights = torch.tensor([0, 1, 1, 1, 0]), torch.tensor([10.0, 1.0], dtype=torch.float64)
    each = cross_entropy(logits, labels, reduction="none")
    order = torch.tensor([4, 0, 1, 2, 3])
    first, second, third = (each[4] + each[0]) / 2, (each[1] + each[2]) / 2, each[3]
    loss = mean_of_batch_losses(logits, labels, weights, order, batch_size=2)
    assert loss == pytest.approx(float((first + second + third) / 3))
    other = mean_of_batch_losses(logits, labels, weights, torch.arange(5), batch_size=2)
    assert other != pytest.approx(loss, rel=1e-3)


def test_radii() -> None:
    radii = {
        (optimizer, parity): TrainConfig(optimizer=optimizer, parity=parity).rho
        for optimizer in ("adam", "sam", "asam", "csam")
        for parity in (None, "original")
    }
    assert radii.pop(("adam", None)) is radii.pop(("adam", "original")) is None
    assert radii.pop(("asam", None)) == 2.0
    assert set(radii.values()) == {0.05}
    assert TrainConfig(optimizer="asam", parity="original", rho=1.0).rho == 1.0


@pytest.mark.parametrize("parity", [None, "original"])
def test_only_the_original_draws_other_masks_in_the_second_pass(parity: str | None) -> None:
    """With a radius of 0 and the same masks, SAM is Adam."""

    def train_two_steps(**settings) -> torch.Tensor:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.7), nn.Linear(64, 2))
        config = TrainConfig(epochs=1, halve_every=1, parity=parity, **settings)
        step = TrainingStep(network, None, config, Processes("cpu"))
        features = torch.randn(8, 1, 4, 8)
        for number in range(2):
            batch = LabelledBatch(labels=torch.tensor([0, 1] * 4), waves=None, features=features)
            step(batch, epoch=1, step=number)
        return network[1].weight.detach()

    same = torch.equal(train_two_steps(), train_two_steps(optimizer="sam", rho=0.0))
    assert same == (parity is None)


def test_the_original_batches_belong_to_one_process() -> None:
    config = TrainConfig(optimizer="csam", parity="original")
    assert isinstance(make_plan((CODECFAKE, ASVSPOOF), config, processes=1), OriginalRatioBatches)
    with pytest.raises(CodecfakeError, match="cannot be shared by 2 processes under --parity original"):
        make_plan((CODECFAKE, ASVSPOOF), config, processes=2)
