"""The ascent-descent step: its arithmetic by hand, and what a wrong one would silently damage."""

import copy

import pytest
import torch
from torch import nn

from codecfake.detector.training.sharpness import SharpnessAware


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(16, 6, generator=generator), torch.randint(0, 2, (16,), generator=generator)


def adam(parameters) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=1e-2, weight_decay=5e-4)


def closure_of(optimizer, model: nn.Module, seed: int = 0):
    inputs, labels = batch(seed)

    def closure() -> torch.Tensor:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    return closure


def steps(optimizer, model: nn.Module, count: int, first: int = 0) -> list[float]:
    return [optimizer.step(closure_of(optimizer, model, seed)).item() for seed in range(first, first + count)]


def same_weights(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("adaptive", "rho", "gradient"), [(False, 0.5, (3.9, 4.8)), (True, 73**0.5 / 4, (5.25, 12.0))]
)
def test_the_step_by_hand(adaptive: bool, rho: float, gradient: tuple[float, float]) -> None:
    """Loss 1.5 a^2 + b^2 at (1, 2), where its gradient is (3, 4), of length 5.

    SAM climbs by 0.5 (3, 4) / 5 = (0.3, 0.4) to (1.3, 2.4), where the gradient is (3.9, 4.8). ASAM's T g is (3, 8), of
    length sqrt(73): it climbs by (3, 16) / 4 = (0.75, 4) to (1.75, 6), where it is (5.25, 12).
    """
    weights = nn.Parameter(torch.tensor([1.0, 2.0]))
    model = nn.Module()
    model.weights = weights
    base = torch.optim.SGD([weights], lr=0.1)
    optimizer = SharpnessAware(base, model, rho=rho, adaptive=adaptive)

    def closure() -> torch.Tensor:
        weights.grad = None
        loss = 1.5 * weights[0] ** 2 + weights[1] ** 2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 5.5
    assert weights.grad.tolist() == pytest.approx(gradient)
    assert weights.tolist() == pytest.approx([1 - 0.1 * gradient[0], 2 - 0.1 * gradient[1]])


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_radius_of_zero_is_the_base_optimiser_bit_for_bit(adaptive: bool) -> None:
    plain, sharp = network(), network()
    losses = steps(adam(plain.parameters()), plain, 3)
    optimizer = SharpnessAware(adam(sharp.parameters()), sharp, rho=0.0, adaptive=adaptive)
    assert steps(optimizer, sharp, 3) == losses
    assert same_weights(plain, sharp)  # running statistics and batch counts too


def test_weights_come_back_bit_for_bit_before_the_base_steps() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    standing = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[torch.Tensor] = []
    optimizer = SharpnessAware(standing, model, rho=0.3)
    closure = closure_of(optimizer, model)

    def watched() -> torch.Tensor:
        seen.append(model[0].weight.detach().clone())
        return closure()

    optimizer.step(watched)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    climbed = torch.cat([(seen[1] - seen[0]).flatten()]).norm()
    assert 0.01 < climbed <= 0.3


def test_batch_norm_learns_from_the_first_pass_only() -> None:
    once, twice = network(), network()
    once(batch()[0])
    optimizer = SharpnessAware(adam(twice.parameters()), twice)
    optimizer.step(closure_of(optimizer, twice))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(getattr(once[1], name), getattr(twice[1], name)), name
    assert twice[1].track_running_stats
    twice(batch(1)[0])
    assert twice[1].num_batches_tracked == 2


def test_an_error_in_the_second_pass_leaves_the_weights() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = SharpnessAware(adam(model.parameters()), model)
    closure, calls = closure_of(optimizer, model), []

    def failing() -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise FloatingPointError
        return closure()

    with pytest.raises(FloatingPointError):
        optimizer.step(failing)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert model[1].track_running_stats


def test_a_schedule_drives_the_base_optimiser() -> None:
    model = network()
    base = torch.optim.SGD(model.parameters(), lr=1.0)
    optimizer = SharpnessAware(base, model, rho=0.0)
    schedule = torch.optim.lr_scheduler.StepLR(base, step_size=1, gamma=0.0)
    steps(optimizer, model, 1)
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.0
    before = model[0].weight.detach().clone()
    steps(optimizer, model, 1)
    assert torch.equal(model[0].weight, before)


def test_a_saved_state_goes_on_bit_for_bit() -> None:
    straight, stopped = network(), network()
    one = SharpnessAware(adam(straight.parameters()), straight, rho=0.1, adaptive=True)
    steps(one, straight, 4)
    two = SharpnessAware(adam(stopped.parameters()), stopped, rho=0.1, adaptive=True)
    steps(two, stopped, 2)
    resumed = network(seed=1)
    resumed.load_state_dict(stopped.state_dict())
    three = SharpnessAware(adam(resumed.parameters()), resumed)
    three.load_state_dict(copy.deepcopy(two.state_dict()))
    assert (three.rho, three.adaptive) == (0.1, True)
    steps(three, resumed, 2, first=2)
    assert same_weights(straight, resumed)


def test_bf16_autocast_needs_no_scaler() -> None:
    model = network()
    optimizer = SharpnessAware(adam(model.parameters()), model)
    inputs, labels = batch()

    def closure() -> torch.Tensor:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(inputs)
        assert logits.dtype == torch.bfloat16
        loss = nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(100)]
    assert losses[-1] < 0.5 * losses[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_parameters_without_a_gradient_are_left_alone() -> None:
    model = network()
    model.unused = nn.Linear(2, 2)
    before = model.unused.weight.detach().clone()
    optimizer = SharpnessAware(adam(model.parameters()), model)
    inputs, labels = batch()

    def closure() -> torch.Tensor:
        model.zero_grad()
        loss = nn.functional.cross_entropy(model[3](model[2](model[1](model[0](inputs)))), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(model.unused.weight, before)


def test_a_negative_radius_is_refused() -> None:
    model = network()
    with pytest.raises(ValueError, match="rho is -1"):
        SharpnessAware(adam(model.parameters()), model, rho=-1)
