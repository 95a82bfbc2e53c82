"""Networks laid out for a CPU: the same codes and waves as before, batched or not, and no copies on the way."""

import pytest
import torch
from speech import voice
from torch import nn

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.codec_adapters.cpu_layout import lay_out_for_cpu
from codecfake.codec_adapters.nn.audiodec import CausalUpsampling
from codecfake.codec_adapters.nn.hifigan import CausalConv1d
from codecfake.codec_adapters.nn.stepwise import StepwiseConv1d, StepwiseConvTranspose1d
from codecfake.codec_adapters.presets import PRESETS
from codecfake.pipeline.weights import find_checkpoint, load_codec

IDS = PRESETS["codecfake"]


def waves_for(adapter: CodecAdapter, seeds: tuple[int, ...]) -> torch.Tensor:
    rate = adapter.card.sample_rate
    samples = adapter.padded_length(int(1.5 * rate))
    return torch.stack([torch.from_numpy(voice(2, rate, seed)[:samples]) for seed in seeds])


def mini(codec_id: str) -> CodecAdapter:
    return load_codec(codec_id, find_checkpoint(find_codec(codec_id).card, "mini"), "cpu")


@pytest.fixture(scope="module", params=IDS)
def pair(request: pytest.FixtureRequest) -> tuple[CodecAdapter, CodecAdapter]:
    """A mini network as it was built, and the same one laid out."""
    family = find_codec(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "lay_out_for_cpu", lambda adapter: None)
        plain = mini(request.param)
    return plain, mini(request.param)


@torch.inference_mode()
def test_codes_and_waves_are_those_of_the_network_as_built(pair: tuple[CodecAdapter, CodecAdapter]):
    plain, laid_out = pair
    waves = waves_for(plain, (1, 2, 3))
    expected, found = plain.codes(waves), laid_out.codes(waves)
    assert (expected == found).all(dim=1).float().mean() >= 0.999
    expected, found = plain.reconstruct(waves), laid_out.reconstruct(waves)
    assert (expected - found).abs().max() <= 1e-5 * expected.abs().max()


@torch.inference_mode()
def test_a_batch_gives_what_single_runs_give(pair: tuple[CodecAdapter, CodecAdapter]):
    _, adapter = pair
    waves = waves_for(adapter, (4, 5, 6))
    together = adapter.reconstruct(waves)
    alone = torch.cat([adapter.reconstruct(wave[None]) for wave in waves])
    # A code that is as near to one codeword as to another may differ: in single frames, which then sound alike.
    codes = torch.cat([adapter.codes(wave[None]) for wave in waves])
    assert (adapter.codes(waves) == codes).float().mean() >= 0.99
    assert (together - alone).square().mean() <= 1e-4 * alone.square().mean()


@torch.inference_mode()
def test_channels_stay_together_from_layer_to_layer(pair: tuple[CodecAdapter, CodecAdapter]):
    _, adapter = pair
    wave, apart = waves_for(adapter, (7,)), []
    frames = wave.shape[1] // adapter.card.hop_length

    def note(layer: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        (features,) = arguments
        if features.shape[2] > frames and not features.transpose(1, 2).is_contiguous():
            apart.append(layer)

    layers = [
        layer
        for half in (adapter.network.encoder, adapter.network.decoder)
        for layer in half.modules()
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)
    ]
    assert layers and all(isinstance(layer, StepwiseConv1d | StepwiseConvTranspose1d) for layer in layers)
    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    adapter.reconstruct(wave)
    for handle in handles:
        handle.remove()
    assert not apart


def test_names_and_values_of_the_weights_stay(pair: tuple[CodecAdapter, CodecAdapter]):
    plain, laid_out = (adapter.network.state_dict() for adapter in pair)
    assert list(plain) == list(laid_out)
    assert all(torch.equal(plain[name], laid_out[name]) for name in plain)


def test_a_network_to_be_trained_is_left_alone():
    adapter = find_codec("F05")()
    network = adapter.build(adapter.card.network)
    assert not any(isinstance(layer, StepwiseConv1d) for layer in network.modules())


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("steps", [40, 2500])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(12, 8, 7, stride=3, padding=2),
        nn.Conv1d(12, 6, 5, dilation=3, padding=6, groups=3),
        nn.Conv1d(12, 8, 1),
        nn.Conv1d(12, 1, 3, bias=False),
        CausalConv1d(12, 9, 7, groups=3),
        CausalConv1d(12, 8, 7, dilation=5),
        CausalConv1d(12, 8, 6, stride=3),
        nn.ConvTranspose1d(12, 8, 10, stride=5, padding=3, output_padding=1),
        CausalUpsampling(12, 6, 4),
        nn.GroupNorm(1, 12),
        nn.GroupNorm(3, 12),
        nn.ELU(),
        nn.ELU(inplace=True),
    ],
    ids=str,
)
@torch.inference_mode()
def test_every_layer_gives_what_it_gave(layer: nn.Module, steps: int, batch: int):
    features = torch.randn(batch, 12, steps, generator=torch.Generator().manual_seed(0))
    exact = layer.double()(features.double().clone())
    layers = nn.Sequential(layer.float())
    lay_out_for_cpu(layers)
    for given in (features.clone(), features.transpose(1, 2).contiguous().transpose(1, 2)):
        torch.testing.assert_close(layers(given).double(), exact, rtol=0, atol=3e-6)


@torch.inference_mode()
def test_snake_in_tiles_is_that_of_transformers():
    from transformers.models.dac.modeling_dac import Snake1d

    from codecfake.codec_adapters.nn.tiled import TILE, TiledSnake

    snake = Snake1d(96)
    snake.alpha.data.uniform_(0.1, 3)
    features = torch.randn(2, 96, TILE // 96 * 3 + 5)
    expected = snake(features)
    snake.__class__ = TiledSnake
    torch.testing.assert_close(snake(features), expected, rtol=0, atol=2e-6)
