import pytest
import torch

from codecfake.detector.networks.lcnn import LCNN, MaxFeatureMap

AUTHORS_SHAPES = {
    "conv1.0.weight": (64, 1, 5, 5),
    "conv2.0.weight": (64, 32, 1, 1),
    "conv2.2.running_mean": (32,),
    "conv3.0.weight": (96, 32, 3, 3),
    "conv3.3.running_var": (48,),
    "conv4.0.weight": (96, 48, 1, 1),
    "conv4.2.running_mean": (48,),
    "conv5.0.weight": (128, 48, 3, 3),
    "conv6.0.weight": (128, 64, 1, 1),
    "conv6.2.running_mean": (64,),
    "conv7.0.weight": (64, 64, 3, 3),
    "conv7.2.running_mean": (32,),
    "conv8.0.weight": (64, 32, 1, 1),
    "conv8.2.running_mean": (32,),
    "conv9.0.weight": (64, 32, 3, 3),
    "out.1.weight": (160, 24576),
    "out.3.weight": (256, 80),
    "fc_mu.weight": (2, 256),
}

AUTHORS_LOGITS = {
    (80, 505): [[-0.055867790464735556, -0.7429433978865001], [0.004137535769307199, -0.6911613260518468]],
    (1024, 201): [[0.407640321874934, 0.5163104007241341], [0.44409520169147365, 0.5277162567168447]],
}
"""What the authors' own code gave (their repository, model.py, commit 72c32e2; for 80 x 505 with a linear
layer of 4960 inputs)."""
AUTHORS_GRADIENTS = {
    "conv1.0.weight": 752.1051433938464,
    "conv5.0.weight": 5237.1252295516115,
    "conv9.0.weight": 969.1437831825638,
    "out.1.weight": 16829.955716841032,
    "fc_mu.weight": 129.1655589863577,
}
"""Sums of the absolute gradients in training mode without dropout, for 80 x 505."""


def seeded_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in sorted(network.state_dict().items()):
        random = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if name.endswith("num_batches_tracked"):
            state[name] = tensor
        elif name.endswith("running_var"):
            state[name] = 1 + random.abs()
        else:
            state[name] = random / tensor[0].numel() ** 0.5 if tensor.dim() > 1 else 0.1 * random
    return state


def seeded_network(shape: tuple[int, int]) -> tuple[LCNN, torch.Tensor]:
    network = LCNN(shape)
    network.load_state_dict(seeded_weights(network))
    generator = torch.Generator().manual_seed(1)
    return network.double(), torch.randn(2, 1, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", AUTHORS_LOGITS)
def test_logits_are_the_authors(shape: tuple[int, int]) -> None:
    network, x = seeded_network(shape)
    with torch.no_grad():
        logits = network.eval()(x)
    expected = torch.tensor(AUTHORS_LOGITS[shape], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, atol=1e-9, rtol=0)


def test_gradients_are_the_authors() -> None:
    network, x = seeded_network((80, 505))
    network.train().out[0].p = 0.0
    torch.nn.functional.cross_entropy(network(x), torch.tensor([0, 1])).backward()
    sums = {name: network.get_parameter(name).grad.abs().sum().item() for name in AUTHORS_GRADIENTS}
    assert sums == pytest.approx(AUTHORS_GRADIENTS, rel=1e-6)


def test_state_dict_has_the_authors_names_and_shapes() -> None:
    """1024 x 201 is the W2V2 image, for which the authors wrote 24576 into their network."""
    state = LCNN((1024, 201), enc_dim=256).state_dict()
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert {name: found.get(name) for name in AUTHORS_SHAPES} == AUTHORS_SHAPES
    others = found.keys() - AUTHORS_SHAPES.keys()
    assert {name.rsplit(".", 1)[1] for name in others} == {
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_max_feature_map_pairs_a_channel_with_the_one_half_way_on() -> None:
    x = torch.tensor([[1.0, 5.0, 2.0, 4.0]])
    assert MaxFeatureMap()(x).tolist() == [[2.0, 5.0]]


def test_output_equals_the_blocks_in_the_authors_order() -> None:
    """Pooling before the channel maximum gives the same numbers as pooling after it."""
    torch.manual_seed(0)
    network = LCNN((80, 505)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 1, 80, 505)

    def maximum(y: torch.Tensor) -> torch.Tensor:
        return y.view(y.shape[0], 2, -1, *y.shape[2:]).max(1).values

    def norm(y: torch.Tensor, statistics: torch.nn.BatchNorm2d) -> torch.Tensor:
        mean, var = statistics.running_mean[:, None, None], statistics.running_var[:, None, None]
        return (y - mean) / torch.sqrt(var + statistics.eps)

    pooled, expected = {1, 3, 5, 9}, x
    for number in range(1, 10):
        block = getattr(network, f"conv{number}")
        expected = maximum(block[0](expected))
        if number in pooled:
            expected = torch.nn.functional.max_pool2d(expected, 2, 2)
        if isinstance(block[-1], torch.nn.BatchNorm2d):
            expected = norm(expected, block[-1])
    hidden = maximum(network.out[1](expected.flatten(1)))
    expected = network.fc_mu(network.out[3](hidden))
    assert torch.allclose(network(x), expected, atol=1e-5)
    assert expected.shape == (2, 2)
