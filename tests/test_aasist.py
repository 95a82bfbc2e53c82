"""The AASIST back end beside numbers that the authors' own code gave (their repository, model.py, commit 72c32e2)."""

from pathlib import Path

import pytest
import torch
from torch import nn

from codecfake.detector.networks.aasist import AASIST
from codecfake.detector.networks.graph_attention import GraphPool
from codecfake.detector.published_checkpoints import read_published_checkpoint

AUTHORS_LOGITS = [
    [0.8396926281887218, 0.4796324431249054],
    [0.8329130337115953, 0.4852796641204231],
    [0.8311296224515226, 0.4943711798367903],
]
AUTHORS_LOSS = 2.2926209394527084
AUTHORS_GRADIENTS = {
    "LL.weight": 15964.702480184475,
    "encoder.0.0.conv1.weight": 28.615845604048936,
    "encoder.5.0.conv2.weight": 1352.1338910364616,
    "attention.3.weight": 70.94205913153932,
    "pos_S": 112.58114813342037,
    "master1": 2.8525602325655406,
    "master2": 2.524627125909734,
    "GAT_layer_S.att_weight": 1.7140959806125937,
    "GAT_layer_T.att_proj.weight": 62.57192334142279,
    "HtrgGAT_layer_ST11.att_weight11": 0.011513272159131963,
    "HtrgGAT_layer_ST11.att_weight12": 0.010149179419426347,
    "HtrgGAT_layer_ST11.att_weight22": 0.0060122699110926586,
    "HtrgGAT_layer_ST12.att_weightM": 0.0021204863473703894,
    "HtrgGAT_layer_ST21.proj_type2.weight": 237.99317669585878,
    "HtrgGAT_layer_ST22.proj_with_attM.weight": 8.248883198080113,
    "pool_hT2.proj.weight": 3.9299565788707227,
    "out_layer.weight": 266.9498819773913,
}
"""Sums of the absolute gradients."""
AUTHORS_STATISTICS = {
    "first_bn1.running_mean": 0.006973550487183886,
    "GAT_layer_T.bn.running_var": 0.967989537921422,
    "HtrgGAT_layer_ST22.bn.running_mean": 0.011059921946140664,
}
"""Means after one step in training mode."""

CHECKPOINT_LOGITS = [[-4.1089091300964355, 4.1262664794921875], [-4.108317852020264, 4.125670433044434]]
CHECKPOINT_LOGITS_OF_100_FRAMES = [
    [-3.47179913520813, 3.4879002571105957],
    [-3.4627974033355713, 3.4788601398468018],
]


def lively_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights with which every part matters; the released ones have attention weights of almost zero."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in sorted(network.state_dict().items()):
        random = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if name.endswith("num_batches_tracked"):
            state[name] = tensor
        elif name.endswith("running_var"):
            state[name] = 1 + 0.1 * random.abs()
        elif "att_weight" in name:
            state[name] = (100 if "Htrg" in name else 3) * random
        elif "bn" in name and name.endswith("weight"):
            state[name] = 1 + 0.1 * random
        else:
            is_matrix = tensor.dim() > 1 and not name.startswith(("pos", "master"))
            state[name] = random / tensor[0].numel() ** 0.5 if is_matrix else 0.1 * random
    return state


@pytest.fixture
def lively() -> AASIST:
    """A network of float64, without dropout."""
    network = AASIST()
    network.load_state_dict(lively_weights(network))
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network.double()


def features() -> torch.Tensor:
    return torch.randn(3, 1, 1024, 90, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_it_has_the_size_of_the_released_networks() -> None:
    state = AASIST().state_dict()
    assert sum(p.numel() for p in AASIST().parameters()) == 447_242
    assert (len(state), state["pos_S"].shape, state["LL.weight"].shape) == (245, (1, 42, 64), (128, 1024))


def test_logits_are_the_authors(lively: AASIST) -> None:
    with torch.no_grad():
        logits = lively.eval()(features())
    torch.testing.assert_close(logits, torch.tensor(AUTHORS_LOGITS, dtype=torch.float64), atol=1e-9, rtol=0)


def test_attention_decides_these_logits(lively: AASIST) -> None:
    """Else the test above would pass with any attention."""
    for kind in ("GAT_layer_S.att_weight", "GAT_layer_T.att_weight", "ST11.att_weight12", "ST22.att_weightM"):
        name = next(name for name in lively.state_dict() if name.endswith(kind))
        original = lively.get_parameter(name).clone()
        with torch.no_grad():
            lively.get_parameter(name).zero_()
            difference = lively.eval()(features()) - torch.tensor(AUTHORS_LOGITS)
            lively.get_parameter(name).copy_(original)
        assert difference.abs().max() > 1e-6, name


def test_gradients_and_statistics_are_the_authors(lively: AASIST) -> None:
    loss = nn.functional.cross_entropy(lively.train()(features()), torch.tensor([0, 1, 1]))
    loss.backward()
    gradients = {
        name: p.grad.abs().sum().item() for name, p in lively.named_parameters() if p.grad is not None
    }
    assert loss.item() == pytest.approx(AUTHORS_LOSS, rel=1e-9)
    assert {name: gradients[name] for name in AUTHORS_GRADIENTS} == pytest.approx(AUTHORS_GRADIENTS, rel=1e-6)
    state = lively.state_dict()
    found = {name: state[name].mean().item() for name in AUTHORS_STATISTICS}
    assert found == pytest.approx(AUTHORS_STATISTICS, rel=1e-6)


def test_every_trainable_parameter_gets_a_gradient() -> None:
    """Data-parallel training waits for all of them; AASIST carries ten that nothing uses."""
    network = AASIST().train()
    x = torch.randn(4, 1, 1024, 31)
    before = x.clone()
    network(x).sum().backward()
    untouched = [name for name, p in network.named_parameters() if p.grad is None]
    assert untouched == [name for name, p in network.named_parameters() if not p.requires_grad]
    assert len(untouched) == 10 and all(".bn1." in name for name in untouched)
    assert torch.equal(x, before)


@pytest.mark.parametrize("frames", [3, 7, 201, 250])
def test_any_number_of_frames_and_batch_gives_finite_logits(frames: int) -> None:
    torch.manual_seed(0)
    network = AASIST().eval()
    x = torch.randn(2, 1, 1024, frames)
    with torch.inference_mode():
        logits = network(x)
        alone = network(x[1:])
    assert logits.shape == (2, 2) and torch.isfinite(logits).all()
    torch.testing.assert_close(logits[1:], alone, atol=1e-5, rtol=1e-5)


def test_scoring_first_does_not_spoil_training() -> None:
    network = AASIST()
    x = torch.randn(2, 1, 1024, 24)
    with torch.inference_mode():
        network(x)
    network(x).sum().backward()


def test_dropout_is_random_in_training_and_absent_in_evaluation() -> None:
    network, x = AASIST(), torch.randn(2, 1, 1024, 30)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


def test_pool_keeps_the_better_half_best_first() -> None:
    pool = GraphPool(1, 0.5).eval()
    with torch.no_grad():
        pool.proj.weight.fill_(1.0)
        pool.proj.bias.zero_()
        kept = pool(torch.tensor([[[-2.0], [1.0], [3.0], [0.5], [-9.0]]]))
        alone = pool(torch.tensor([[[2.0]]]))
    expected = torch.tensor([3.0, 1.0])
    torch.testing.assert_close(kept[0, :, 0], expected * expected.sigmoid())
    assert alone.shape == (1, 1, 1)


def test_released_checkpoint_gives_the_authors_logits(shared: Path) -> None:
    path = shared / "published" / "codec_w2v2aasist" / "anti-spoofing_feat_model.pt"
    network = AASIST()
    network.load_state_dict(read_published_checkpoint(path).tensors)
    x = torch.randn(2, 1, 1024, 201, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, shorter = network.eval()(x), network(3 * x[..., :100])
    torch.testing.assert_close(logits, torch.tensor(CHECKPOINT_LOGITS), atol=1e-5, rtol=0)
    torch.testing.assert_close(shorter, torch.tensor(CHECKPOINT_LOGITS_OF_100_FRAMES), atol=1e-5, rtol=0)
