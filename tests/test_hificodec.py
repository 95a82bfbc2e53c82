"""HiFi-Codec (F06, B1, B2, B3): strict reading of the published parts, the grouped quantiser, batches, lengths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from speech import voice
from torch.nn import functional

from codecfake.codec_adapters import CodecAdapter, CodecError, find_codec
from codecfake.codec_adapters.codecs.hificodec import CARDS, NETWORK, HiFiCodec
from codecfake.codec_adapters.nn.hificodec import GroupedResidualVectorQuantizer

RATE = 24_000
HOP = 320
STRIDES, KERNEL_SIZES = (8, 5, 4, 2), (16, 11, 8, 4)
REDUCED_SIZES = NETWORK | {"encoder_channels": 8, "decoder_channels": 32, "codebook_size": 16}

Shapes = dict[str, tuple[int, ...]]
Parts = dict[str, dict[str, torch.Tensor]]


class Reduced(HiFiCodec):
    card = replace(CARDS[0], network=REDUCED_SIZES)


def official_shapes(encoder_channels: int, decoder_channels: int, codebook_size: int) -> dict[str, Shapes]:
    """Names and shapes of the three published state dicts."""
    latent = 16 * encoder_channels

    def normed(name: str, *shape: int, bias: int | None = None) -> Shapes:
        magnitude = (shape[0], 1, 1)
        return {f"{name}.bias": (bias or shape[0],), f"{name}.weight_g": magnitude, f"{name}.weight_v": shape}

    def block(name: str, width: int, size: int) -> Shapes:
        steps = [f"{name}.convs{kind}.{step}" for kind in (1, 2) for step in range(3)]
        return {key: shape for step in steps for key, shape in normed(step, width, width, size).items()}

    encoder = normed("conv_pre", encoder_channels, 1, 7)
    generator = normed("conv_pre", decoder_channels, latent, 7)
    for stage in range(4):
        width, size = encoder_channels * 2 ** (stage + 1), KERNEL_SIZES[3 - stage]
        encoder |= normed(f"ups.{stage}", width, width // 2, size)
        for number, size in enumerate((11, 7, 3), 3 * stage):
            encoder |= block(f"resblocks.{number}", width, size)
            encoder |= {f"normalize.{number}.weight": (width,), f"normalize.{number}.bias": (width,)}
        width = decoder_channels // 2 ** (stage + 1)
        generator |= normed(f"ups.{stage}", 2 * width, width, KERNEL_SIZES[stage], bias=width)
        for number, size in enumerate((3, 7, 11), 3 * stage):
            generator |= block(f"resblocks.{number}", width, size)
    encoder |= {"conv_post.weight": (latent, latent, 3), "conv_post.bias": (latent,)}
    generator |= normed("conv_post", 1, decoder_channels // 16, 7)
    modules = [f"quantizer_modules{layer}.{group}" for layer in ("", "2") for group in (0, 1)]
    quantizer = {f"{module}.embedding.weight": (codebook_size, latent // 2) for module in modules}
    return {"generator": generator, "encoder": encoder, "quantizer": quantizer}


def official_parts() -> Parts:
    """Random weights that let a signal through, with magnitudes that are not those of their directions."""
    generator = torch.Generator().manual_seed(0)

    def draw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        noise = torch.randn(shape, generator=generator)
        if name.endswith("bias"):
            return 0.05 * noise
        if name.endswith("weight_g") or "normalize" in name:
            return 1 + 0.1 * noise
        return noise / 10

    shapes = official_shapes(8, 32, 16)
    return {
        part: {name: draw(name, shape) for name, shape in names.items()} for part, names in shapes.items()
    }


def save(parts: Parts, path: Path) -> Path:
    torch.save(parts, path)
    return path


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> CodecAdapter:
    adapter = Reduced()
    folder = tmp_path_factory.mktemp("weights")
    save(official_parts(), folder / "HiFi-Codec-24k-320d")
    adapter.load(folder)
    latents = adapter.network.latents(torch.from_numpy(voice(2, RATE, 0))[None])
    adapter.network.quantizer.draw_codebooks(latents, torch.Generator().manual_seed(0))
    return adapter


def test_the_cards_have_the_papers_figures_and_files():
    figures = {
        card.id: (card.sample_rate, card.codebooks, card.kilobits_per_second, card.checkpoint.files[0].path)
        for card in CARDS
    }
    assert figures == {
        "F06": (24_000, 4, 3.0, "HiFi-Codec-24k-320d"),
        "B1": (16_000, 4, 2.0, "HiFi-Codec-16k-320d"),
        "B2": (16_000, 4, 2.0, "HiFi-Codec-16k-320d-large-universal"),
        "B3": (24_000, 4, 3.0, "HiFi-Codec-24k-320d"),
    }
    assert find_codec("F06").card.checkpoint == find_codec("B3").card.checkpoint


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 5 * HOP + 160])
def test_the_output_is_as_long_as_the_input_and_as_the_padded_input(adapter: CodecAdapter, samples: int):
    assert len(adapter.resynthesize([voice(1, RATE, 1)[:samples]], RATE)[0]) == samples
    hops = -(-samples // HOP)
    waves = torch.randn(1, hops * HOP)
    assert adapter.codes(waves).shape == (1, 4, hops)
    assert adapter.reconstruct(waves).shape == waves.shape


def test_a_batch_of_equal_lengths_gives_what_single_runs_give(adapter: CodecAdapter):
    waves = torch.stack([torch.from_numpy(voice(0.4, RATE, seed)) for seed in range(4)])
    single = torch.cat([adapter.codes(wave[None]) for wave in waves])
    assert (adapter.codes(waves) == single).double().mean() > 0.999
    outputs = torch.cat([adapter.reconstruct(wave[None]) for wave in waves])
    assert (adapter.reconstruct(waves) - outputs).square().mean() < 1e-6 * outputs.square().mean()


def test_zeros_after_an_utterance_change_all_of_it_so_none_are_added(adapter: CodecAdapter):
    wave = torch.from_numpy(voice(0.4, RATE, 2))[None]
    codes = adapter.codes(wave)
    padded = adapter.codes(functional.pad(wave, (0, 60 * HOP)))[:, :, : codes.shape[2]]
    assert (padded != codes)[:, :, : codes.shape[2] // 2].double().mean() > 0.05
    assert adapter.card.batches == "equal length only"
    waves = [voice(0.4, RATE, 2), voice(0.7, RATE, 3)]
    for alone, together in zip(waves, adapter.resynthesize(waves, RATE), strict=True):
        np.testing.assert_allclose(adapter.resynthesize([alone], RATE)[0], together, atol=1e-6)


def test_groups_are_quantised_apart_and_their_codes_ordered_by_layer():
    quantizer = GroupedResidualVectorQuantizer(groups=2, layers=2, codebook_size=2, dimension=2)
    quantizer.groups[0].codebooks.copy_(torch.tensor([[[0.0], [10.0]], [[0.0], [1.0]]]))
    quantizer.groups[1].codebooks.copy_(torch.tensor([[[0.0], [20.0]], [[2.0], [0.0]]]))
    latents = torch.tensor([[[11.0, 0.0], [2.0, 20.0]]])
    codes = quantizer.encode(latents)
    assert codes[0].T.tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    assert torch.equal(quantizer.decode(codes), latents)
    coarse = quantizer.encode(latents, 2)
    assert torch.equal(coarse, codes[:, :2])
    assert quantizer.decode(coarse).tolist() == [[[10.0, 0.0], [0.0, 20.0]]]


def test_the_official_checkpoint_gives_what_its_layers_give(tmp_path: Path):
    parts = official_parts()
    adapter = Reduced()
    adapter.load(save(parts, tmp_path / "hificodec"))

    def normed(part: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        direction, magnitude = (parts[part][f"{name}.weight_{kind}"] for kind in "vg")
        norm = direction.square().sum(dim=(1, 2), keepdim=True).sqrt()
        return magnitude * direction / norm, parts[part][f"{name}.bias"]

    def block(part: str, number: int, signal: torch.Tensor) -> torch.Tensor:
        for step, dilation in enumerate((1, 3, 5)):
            seen = signal
            for kind, apart in ((1, dilation), (2, 1)):
                weight, bias = normed(part, f"resblocks.{number}.convs{kind}.{step}")
                padding = weight.shape[2] // 2 * apart
                seen = functional.leaky_relu(seen, 0.1)
                seen = functional.conv1d(seen, weight, bias, padding=padding, dilation=apart)
            signal = signal + seen
        return signal

    wave = torch.from_numpy(voice(0.2, RATE, 4))[None]
    encoder = parts["encoder"]
    signal = functional.conv1d(wave[:, None], *normed("encoder", "conv_pre"), padding=3)
    for stage, (stride, size) in enumerate(zip(STRIDES[::-1], KERNEL_SIZES[::-1], strict=True)):
        weight, bias = normed("encoder", f"ups.{stage}")
        signal = functional.conv1d(
            functional.leaky_relu(signal, 0.1), weight, bias, stride, (size - stride) // 2
        )
        total = torch.zeros_like(signal)
        for number in range(3 * stage, 3 * stage + 3):
            scale, shift = (encoder[f"normalize.{number}.{kind}"] for kind in ("weight", "bias"))
            total = total + block("encoder", number, signal)
            total = functional.group_norm(total, signal.shape[1] // 16, scale, shift, eps=1e-6)
        signal = total / 3
    signal = functional.leaky_relu(signal, 0.01)
    latents = functional.conv1d(signal, encoder["conv_post.weight"], encoder["conv_post.bias"], padding=1)
    torch.testing.assert_close(adapter.network.latents(wave), latents)

    groups = []
    for group, residual in enumerate(latents.mT.chunk(2, dim=-1)):
        quantised = torch.zeros_like(residual)
        for layer in ("", "2"):
            codebook = parts["quantizer"][f"quantizer_modules{layer}.{group}.embedding.weight"]
            quantised = quantised + codebook[torch.cdist(residual - quantised, codebook).argmin(dim=-1)]
        groups.append(quantised.mT)
    signal = functional.conv1d(torch.cat(groups, dim=1), *normed("generator", "conv_pre"), padding=3)
    for stage, (stride, size) in enumerate(zip(STRIDES, KERNEL_SIZES, strict=True)):
        weight, bias = normed("generator", f"ups.{stage}")
        signal = functional.conv_transpose1d(
            functional.leaky_relu(signal, 0.1), weight, bias, stride, (size - stride) // 2
        )
        signal = sum(block("generator", number, signal) for number in range(3 * stage, 3 * stage + 3)) / 3
    signal = functional.conv1d(
        functional.leaky_relu(signal, 0.1), *normed("generator", "conv_post"), padding=3
    )
    torch.testing.assert_close(adapter.reconstruct(wave), torch.tanh(signal)[:, 0], atol=1e-5, rtol=1e-4)


def test_the_published_names_and_shapes_fit_the_published_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    published = official_shapes(32, 512, 1024)
    assert published["generator"]["ups.1.weight_v"] == (256, 128, 11)
    monkeypatch.setattr(
        "codecfake.codec_adapters.codecs.hificodec.read_tensors",
        lambda _, part: {name: torch.empty(shape, device="meta") for name, shape in published[part].items()},
    )
    (tmp_path / "HiFi-Codec-24k-320d").touch()
    found = find_codec("F06")().read_official(tmp_path)
    with torch.device("meta"):
        network = find_codec("F06")().build(NETWORK)
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == expected


def test_a_checkpoint_must_fit_key_by_key(tmp_path: Path):
    path = tmp_path / "hificodec"

    def load(part: str, **changed: torch.Tensor | None) -> None:
        parts = official_parts()
        for name, tensor in changed.items():
            name = name.replace("__", ".")
            if tensor is None:
                del parts[part][name]
            else:
                parts[part][name] = tensor
        Reduced().load(save(parts, path))

    with pytest.raises(CodecError, match=r"1 missing: encoder\.output\.bias"):
        load("encoder", conv_post__bias=None)
    with pytest.raises(CodecError, match=r"decoder\.stages\.2\.up\.weight_v comes without"):
        load("generator", ups__2__weight_g=None)
    with pytest.raises(CodecError, match=r"1 unexpected: decoder\.mean"):
        load("generator", mean=torch.zeros(1))
    with pytest.raises(
        CodecError, match=r"of another shape: encoder\.stages\.0\.field\.norms\.1\.bias \(3,\)"
    ):
        load("encoder", normalize__1__bias=torch.zeros(3))
    with pytest.raises(CodecError, match=r"group 1.*quantizer_modules2\.1\.embedding\.weight': 'absent'"):
        load("quantizer", quantizer_modules2__1__embedding__weight=None)
    with pytest.raises(CodecError, match=r"1 unexpected: quantizer\.quantizer_modules3\.0"):
        load("quantizer", quantizer_modules3__0=torch.zeros(1))
    with pytest.raises(CodecError, match="has no 'generator'"):
        Reduced().load(save({"encoder": official_parts()["encoder"]}, path))
