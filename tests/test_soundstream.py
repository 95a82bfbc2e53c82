"""SoundStream (F01): alignment without padding inside, strict reading of the Lightning checkpoint, batches."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from speech import voice
from torch.nn import functional

from codecfake.codec_adapters import CodecAdapter, CodecError
from codecfake.codec_adapters.checkpoints import drop, rename
from codecfake.codec_adapters.codecs.soundstream import CARD, OFFICIAL_NAMES, TRAINING_ONLY, SoundStream

RATE = 16_000
HOP = 320
REDUCED_SIZES = {"channels": 2, "strides": (2, 4, 5, 8), "codebooks": 8, "codebook_size": 16}


class Reduced(SoundStream):
    card = replace(CARD, network=REDUCED_SIZES)


def official_shapes(channels: int, codebooks: int, codebook_size: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published state dict, discriminators by one tensor each."""
    latent = 16 * channels

    def layer(name: str, *shape: int, bias: int | None = None) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": shape, f"{name}.bias": (bias or shape[0],)}

    def unit(name: str, width: int) -> dict[str, tuple[int, ...]]:
        return layer(f"{name}.conv0", width, width, 7) | layer(f"{name}.conv1", width, width, 1)

    shapes = layer("encoder.layers.0", channels, 1, 7)
    for block, stride in enumerate((2, 4, 5, 8)):
        name, width = f"encoder.layers.{block + 2}.layers", channels * 2**block
        for number in range(3):
            shapes |= unit(f"{name}.{number}", width)
        shapes |= layer(f"{name}.3", 2 * width, width, 2 * stride)
    shapes |= layer("encoder.layers.6", latent, latent, 3) | layer("decoder.layers.0", latent, latent, 7)
    for block, stride in enumerate((8, 5, 4, 2)):
        name, width = f"decoder.layers.{block + 2}.layers", latent // 2 ** (block + 1)
        shapes |= layer(f"{name}.0", 2 * width, width, 2 * stride, bias=width)
        for number in range(2, 5):
            shapes |= unit(f"{name}.{number}", width)
    return shapes | {
        **layer("decoder.layers.6", 1, channels, 7),
        "quantizer.weight": (codebooks, codebook_size, latent),
        "quantizer.running_mean": (codebooks, codebook_size, latent),
        "quantizer.code_relative_frequency": (codebooks, codebook_size),
        "wave_discriminators.0.layers.0.weight_v": (4, 1, 15),
        "stft_discriminator.layers.2.bn0.num_batches_tracked": (),
    }


def official_tensors() -> dict[str, torch.Tensor]:
    """Random weights that let a signal through: without biases to speak of, which would drown it."""
    generator = torch.Generator().manual_seed(0)
    shapes = official_shapes(REDUCED_SIZES["channels"], 8, REDUCED_SIZES["codebook_size"])
    return {
        name: torch.randn(shape, generator=generator) * (np.prod(shape[1:]) ** -0.5 if shape[1:] else 0.01)
        for name, shape in shapes.items()
    }


def save(tensors: dict[str, torch.Tensor], path: Path, **more: object) -> Path:
    torch.save({"epoch": 1, "pytorch-lightning_version": "2.0.1", "state_dict": tensors, **more}, path)
    return path


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> CodecAdapter:
    adapter = Reduced()
    adapter.load(save(official_tensors(), tmp_path_factory.mktemp("weights") / "soundstream.ckpt"))
    latents = adapter.network.latents(torch.from_numpy(voice(2, RATE, 0))[None])
    adapter.network.quantizer.draw_codebooks(latents, torch.Generator().manual_seed(0))
    return adapter


def test_the_card_has_the_papers_figures():
    assert (CARD.sample_rate, CARD.codebooks, CARD.kilobits_per_second, CARD.frame_rate) == (RATE, 8, 4.0, 50)


@pytest.mark.parametrize("samples", [1, 7, HOP - 1, HOP, HOP + 1, 5 * HOP + 160, 9_000])
def test_the_output_covers_every_input_sample(adapter: CodecAdapter, samples: int):
    assert len(adapter.resynthesize([voice(1, RATE, 1)[:samples]], RATE)[0]) == samples
    hops = -(-samples // HOP)
    assert adapter.codes(torch.randn(1, hops * HOP)).shape == (1, 8, hops + 18)


def test_the_output_lies_on_the_input_to_the_sample(adapter: CodecAdapter):
    """Through symmetric kernels and no quantiser, clicks at all phases of a frame are smeared to both sides alike."""
    network = copy.deepcopy(adapter.network).double()
    for name, parameter in network.named_parameters():
        parameter.fill_(1 / parameter[0].numel() if name.endswith("weight") else 0)
    network.decoder.output.weight.mul_(1e-6)  # where tanh is a straight line
    clicks = 25 * HOP + torch.arange(0, HOP, 20)
    waves = functional.one_hot(clicks, 50 * HOP).double()
    heard = network.decoder(network.encoder(waves[:, None]))[:, 0, : 50 * HOP]
    centres = (heard * torch.arange(50 * HOP)).sum(dim=1) / heard.sum(dim=1)
    assert (centres - clicks).mean().abs() < 0.01


def test_zeros_after_an_utterance_leave_it_as_it_is(adapter: CodecAdapter):
    wave = torch.from_numpy(voice(0.8, RATE, 2))[None, : 40 * HOP]
    longer = functional.pad(wave, (0, 25 * HOP))
    codes = adapter.codes(wave)
    assert (adapter.codes(longer)[:, :, : codes.shape[2]] == codes).double().mean() > 0.999
    expected, found = (adapter.reconstruct(item)[:, : wave.shape[1]] for item in (wave, longer))
    assert (found - expected).square().mean() < 1e-6 * expected.square().mean()


def test_chunks_of_a_long_utterance_join_without_a_seam(
    adapter: CodecAdapter, monkeypatch: pytest.MonkeyPatch
):
    wave = voice(4, RATE, 3)
    (whole,) = adapter.resynthesize([wave], RATE)
    monkeypatch.setattr(adapter, "chunk_seconds", 1)
    (joined,) = adapter.resynthesize([wave], RATE)
    assert np.square(joined - whole).mean() < 1e-6 * np.square(whole).mean()


def test_a_batch_gives_what_single_runs_give_and_repeats(adapter: CodecAdapter):
    waves = torch.stack([torch.from_numpy(voice(0.5, RATE, seed)) for seed in range(4)])
    together = adapter.codes(waves)
    single = torch.cat([adapter.codes(wave[None]) for wave in waves])
    assert (together == single).double().mean() > 0.999
    assert torch.equal(adapter.codes(waves), together), "encoding must leave the codebooks alone"


def test_the_official_checkpoint_gives_what_its_layers_give(tmp_path: Path):
    tensors = official_tensors()
    adapter = Reduced()
    adapter.load(save(tensors, tmp_path / "soundstream.ckpt"))

    def layer(name: str, signal: torch.Tensor, **how: int) -> torch.Tensor:
        return functional.conv1d(signal, tensors[f"{name}.weight"], tensors[f"{name}.bias"], **how)

    def units(name: str, first: int, signal: torch.Tensor) -> torch.Tensor:
        for number, dilation in enumerate((1, 3, 9), first):
            step = functional.elu(layer(f"{name}.{number}.conv0", signal, dilation=dilation))
            step = layer(f"{name}.{number}.conv1", step)
            signal = functional.elu(step + signal[:, :, 3 * dilation : -3 * dilation])
        return signal

    wave = torch.from_numpy(voice(0.4, RATE, 4))[None]
    signal = functional.elu(layer("encoder.layers.0", functional.pad(wave, (5440, 5314))[:, None]))
    for block, stride in enumerate((2, 4, 5, 8), 2):
        name = f"encoder.layers.{block}.layers"
        signal = functional.elu(layer(f"{name}.3", units(name, 0, signal), stride=stride))
    latents = layer("encoder.layers.6", signal)
    torch.testing.assert_close(adapter.network.latents(wave), latents)

    residual, quantised = latents.mT, 0
    for codebook in tensors["quantizer.weight"]:
        words = codebook[torch.cdist(residual, codebook).argmin(dim=-1)]
        residual, quantised = residual - words, quantised + words
    signal = functional.elu(layer("decoder.layers.0", quantised.mT))
    for block, stride in enumerate((8, 5, 4, 2), 2):
        name = f"decoder.layers.{block}.layers"
        weight, bias = tensors[f"{name}.0.weight"], tensors[f"{name}.0.bias"]
        signal = units(name, 2, functional.elu(functional.conv_transpose1d(signal, weight, bias, stride)))
    expected = torch.tanh(layer("decoder.layers.6", signal))[:, 0, 176:-50]
    torch.testing.assert_close(adapter.reconstruct(wave)[:, : wave.shape[1]], expected)


def test_the_frames_inside_are_those_of_the_unpadded_wave(adapter: CodecAdapter):
    """So that codes can be compared with what the reference gives, which pads nothing."""
    wave = torch.from_numpy(voice(2, RATE, 5))[None, None]
    encoder = adapter.network.encoder
    unpadded = encoder.output(encoder.blocks(functional.elu(encoder.input(wave))))
    found = adapter.network.latents(wave[0])[:, :, 17 : 17 + unpadded.shape[2]]
    torch.testing.assert_close(found, unpadded)


def test_the_published_names_and_shapes_fit_the_published_network():
    published = official_shapes(32, 8, 1024)
    assert published["encoder.layers.5.layers.3.weight"] == (512, 256, 16)
    with torch.device("meta"):
        network = SoundStream().build(CARD.network)
        tensors = {name: torch.empty(shape) for name, shape in published.items()}
    ours = rename(drop(tensors, TRAINING_ONLY), OFFICIAL_NAMES)
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.items()} == expected


def test_the_first_release_is_read_as_well(tmp_path: Path):
    tensors = official_tensors()
    tensors["quantizer.code_count"] = tensors.pop("quantizer.code_relative_frequency")
    Reduced().load(save(tensors, tmp_path / "soundstream_16khz-20230425.ckpt"))


def test_a_checkpoint_must_fit_key_by_key(tmp_path: Path):
    path, tensors = tmp_path / "soundstream.ckpt", official_tensors()
    without = {name: tensor for name, tensor in tensors.items() if name != "encoder.layers.6.bias"}
    with pytest.raises(CodecError, match=r"1 missing: encoder\.output\.bias"):
        Reduced().load(save(without, path))
    with pytest.raises(CodecError, match=r"1 unexpected: encoder\.layers\.7\.bias"):
        Reduced().load(save(tensors | {"encoder.layers.7.bias": torch.zeros(1)}, path))
    with pytest.raises(CodecError, match=r"of another shape: quantizer\.codebooks \(4, 16, 32\)"):
        Reduced().load(save(tensors | {"quantizer.weight": torch.zeros(4, 16, 32)}, path))
    torch.save(tensors, path)
    with pytest.raises(CodecError, match="has no 'state_dict'"):
        Reduced().load(path)


def test_a_checkpoint_with_an_object_in_it_is_not_opened(tmp_path: Path):
    path = save(official_tensors(), tmp_path / "soundstream.ckpt", hyper_parameters={"folder": tmp_path})
    with pytest.raises(CodecError, match="holds more than tensors"):
        Reduced().load(path)
