"""AudioDec: causal, without state, and read strictly from the two files that its authors publish."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from speech import voice

from codecfake.codec_adapters import CodecAdapter, CodecError, find_codec
from codecfake.codec_adapters.checkpoints import Tensors
from codecfake.codec_adapters.codecs.audiodec import AUTOENCODER, SETTINGS, VOCODER, WEIGHTS

PUBLISHED = find_codec("F05").card.network
REDUCED = {
    **PUBLISHED,
    "channels": 4,
    "latent_channels": 8,
    "codebook_size": 64,
    "vocoder_channels": 32,
}
HOP = 300

Shapes = dict[str, tuple[int, ...]]


def adapter_with(network: dict) -> CodecAdapter:
    family = find_codec("F05")
    return type("Reduced", (family,), {"card": replace(family.card, network=network)})()


def convolution(name: str, channels: int, out_channels: int, kernel_size: int, *, biased: bool) -> Shapes:
    shapes = {
        f"{name}.conv.weight": (out_channels, channels, kernel_size),
        f"{name}.pad_buffer": (1, channels, 1),
    }
    return shapes | ({f"{name}.conv.bias": (out_channels,)} if biased else {})


def autoencoder_shapes(network: dict) -> Shapes:
    """Names and shapes as published; of the decoder, which is not used, one layer."""
    first, latent = network["channels"], network["latent_channels"]
    widths = [first, *(first * ratio for ratio in network["channel_ratios"])]
    shapes = convolution("encoder.conv", 1, first, 7, biased=False)
    for block, (channels, wider, stride) in enumerate(
        zip(widths, widths[1:], network["strides"], strict=False)
    ):
        name = f"encoder.conv_blocks.{block}"
        for unit in range(3):
            shapes |= convolution(f"{name}.res_units.{unit}.conv1", channels, channels, 7, biased=False)
            shapes[f"{name}.res_units.{unit}.conv2.weight"] = (channels, channels, 1)
        shapes |= convolution(f"{name}.conv", channels, wider, 2 * stride, biased=True)
    shapes |= convolution("projector.project", widths[-1], latent, 3, biased=False)
    shapes |= convolution("decoder.conv1", latent, widths[-1], 7, biased=False)
    for layer in range(network["codebooks"]):
        name, size = f"quantizer.codebook.layers.{layer}", network["codebook_size"]
        shapes |= {f"{name}.embed": (latent, size), f"{name}.embed_avg": (latent, size)}
        shapes[f"{name}.cluster_size"] = (size,)
    return shapes


def normed(name: str, weight: tuple[int, ...], bias: int | None, buffer: int | None = None) -> Shapes:
    shapes = {f"{name}.weight_v": weight, f"{name}.weight_g": (weight[0], 1, 1)}
    shapes |= {f"{name}.bias": (bias,)} if bias else {}
    return shapes | ({f"{name.rpartition('.')[0]}.pad_buffer": (1, buffer, 1)} if buffer else {})


def vocoder_shapes(network: dict) -> Shapes:
    latent, channels, copies = (
        network["latent_channels"],
        network["vocoder_channels"],
        network["vocoder_groups"],
    )
    (kernel,) = network["vocoder_kernel_sizes"]
    shapes = {"mean": (latent,), "scale": (latent,)}
    shapes |= normed("input_conv.conv", (channels, latent, 7), channels, latent)
    for stage, stride in enumerate(network["vocoder_strides"]):
        shapes |= normed(
            f"upsamples.{stage}.deconv", (channels, channels // 2, 2 * stride), channels // 2, channels
        )
        channels //= 2
        for convs in ("convs1", "convs2"):
            for step in range(3):
                name, wide = f"blocks.{stage}.{convs}.{step}.conv", copies * channels
                shapes |= normed(name, (wide, channels, kernel), wide, wide)
        shapes |= normed(f"blocks.{stage}.conv_out", (channels, copies * channels, 1), None)
    return shapes | normed("output_conv.conv", (1, channels, 7), 1, channels)


def random_tensors(shapes: Shapes) -> Tensors:
    """Weights that let signals through."""
    taps = {name: torch.Size(shape[1:]).numel() for name, shape in shapes.items()}
    tensors = {name: torch.randn(shape) * taps[name] ** -0.5 for name, shape in shapes.items()}
    return tensors | {
        name: tensors[name].abs() + 0.5 for name in tensors if name == "scale" or name[-2:] == "_g"
    }


def save(folder: Path, half: str, tensors: Tensors) -> None:
    (folder / half).mkdir(parents=True, exist_ok=True)
    torch.save({"model": {"generator": tensors}, "steps": 500_000}, folder / half / WEIGHTS)


def official_folder(folder: Path, network: dict = REDUCED) -> tuple[Tensors, Tensors]:
    torch.manual_seed(0)
    halves = random_tensors(autoencoder_shapes(network)), random_tensors(vocoder_shapes(network))
    for half, tensors in zip((AUTOENCODER, VOCODER), halves, strict=True):
        save(folder, half, tensors)
    return halves


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    official_folder(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> CodecAdapter:
    folder = tmp_path_factory.mktemp("audiodec")
    official_folder(folder)
    adapter = adapter_with(REDUCED)
    adapter.load(folder)
    quantizer, latents = adapter.network.quantizer, adapter.network.latents(waves(1, 300 * HOP))
    quantizer.draw_codebooks(latents, torch.Generator().manual_seed(0))
    return adapter


def waves(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))


def test_the_cards_have_the_papers_figures():
    for codec_id in ("F05", "C"):
        card = find_codec(codec_id).card
        assert (card.sample_rate, card.frame_rate, card.codebooks) == (24_000, 80.0, 8)
        assert card.kilobits_per_second == 6.4


def test_files_of_the_published_sizes_fill_the_published_network(tmp_path: Path):
    autoencoder, vocoder = official_folder(tmp_path, PUBLISHED)
    adapter = find_codec("C")()
    adapter.load(tmp_path)
    assert sum(tensor.numel() for tensor in adapter.network.encoder.state_dict().values()) == 3_904_672
    parameters = [
        name for name in vocoder if not name.endswith("pad_buffer") and name not in ("mean", "scale")
    ]
    assert sum(vocoder[name].numel() for name in parameters) == 19_461_090
    found = adapter.network.state_dict()
    assert torch.equal(
        found["encoder.blocks.2.units.1.dilated.weight"],
        autoencoder["encoder.conv_blocks.2.res_units.1.conv1.conv.weight"],
    )
    assert torch.equal(found["quantizer.codebooks"][3], autoencoder["quantizer.codebook.layers.3.embed"].T)
    for ours, official in (
        ("decoder.stages.1.field.block.undilated.2", "blocks.1.convs2.2.conv"),
        ("decoder.stages.3.up", "upsamples.3.deconv"),
    ):
        direction, gain = vocoder[f"{official}.weight_v"], vocoder[f"{official}.weight_g"]
        expected = gain * direction / direction.norm(dim=(1, 2), keepdim=True)
        torch.testing.assert_close(found[f"{ours}.weight"], expected)


def test_a_wave_of_any_length_comes_back_in_its_length(adapter: CodecAdapter):
    for samples in (1, HOP - 1, HOP, HOP + 1, 3 * HOP + 150):
        assert adapter.codes(waves(1, adapter.padded_length(samples))).shape == (1, 8, -(-samples // HOP))
        wave = waves(1, samples)[0].numpy()
        assert adapter.resynthesize([wave], 24_000)[0].shape == (samples,)


def test_zeros_after_a_wave_change_nothing_before_them(adapter: CodecAdapter):
    short = waves(1, 20 * HOP)
    long = torch.nn.functional.pad(short, (0, 15 * HOP))
    assert torch.equal(adapter.codes(long)[..., :20], adapter.codes(short))
    torch.testing.assert_close(adapter.reconstruct(long)[:, : 20 * HOP], adapter.reconstruct(short))


def test_nothing_depends_on_what_comes_later(adapter: CodecAdapter):
    wave = waves(1, 20 * HOP)
    other = wave.clone()
    other[:, 12 * HOP :] = 0
    before, after = adapter.reconstruct(wave), adapter.reconstruct(other)
    torch.testing.assert_close(before[:, : 12 * HOP], after[:, : 12 * HOP])
    assert not torch.allclose(before[:, 12 * HOP :], after[:, 12 * HOP :])


def test_no_utterance_leaves_a_trace_in_the_next(adapter: CodecAdapter):
    first = adapter.reconstruct(waves(1, 10 * HOP))
    adapter.reconstruct(waves(2, 30 * HOP, seed=1))
    assert torch.equal(adapter.reconstruct(waves(1, 10 * HOP)), first)


def test_a_batch_gives_the_codes_and_waves_of_single_runs(adapter: CodecAdapter):
    batch = waves(4, 40 * HOP)
    codes, output = adapter.codes(batch), adapter.reconstruct(batch)
    assert all(codes[:, book].unique().numel() > 30 for book in range(8)), "the codebooks are not spread"
    for index in range(4):
        single = batch[index : index + 1]
        assert (adapter.codes(single)[0] == codes[index]).double().mean() >= 0.999
        noise = adapter.reconstruct(single)[0] - output[index]
        assert noise.square().mean() <= 1e-6 * output[index].square().mean(), "below 60 dB"


def test_chunks_overlap_by_all_that_the_network_remembers(
    adapter: CodecAdapter, monkeypatch: pytest.MonkeyPatch
):
    wave = voice(5, 24_000, 1)
    (whole,) = adapter.resynthesize([wave], 24_000)
    monkeypatch.setattr(adapter, "chunk_seconds", 1)
    (in_chunks,) = adapter.resynthesize([wave], 24_000)
    np.testing.assert_allclose(in_chunks, whole, atol=1e-5)


def test_random_weights_use_their_codebooks():
    adapter = find_codec("F05")()
    adapter.load_random()
    codes = adapter.codes(waves(1, 80 * HOP))
    assert all(codes[:, book].unique().numel() > 30 for book in range(8))


def test_the_folder_that_the_authors_zip_unpacks_into_is_read(tmp_path: Path):
    official_folder(tmp_path / "exp")
    adapter_with(REDUCED).load(tmp_path)


@pytest.mark.parametrize(
    ("half", "name", "told"),
    [
        (AUTOENCODER, "encoder.conv_blocks.1.conv.conv.bias", r"missing: encoder\.blocks\.1\.down\.bias"),
        (
            AUTOENCODER,
            "quantizer.codebook.layers.5.embed",
            r"quantizer\.codebook\.layers\.5\.embed is missing",
        ),
        (VOCODER, "mean", r"missing: decoder\.mean"),
        (VOCODER, "blocks.2.conv_out.weight_g", r"weight_v comes without .*weight_g"),
    ],
)
def test_a_key_that_is_missing_is_named(folder: Path, half: str, name: str, told: str):
    tensors = torch.load(folder / half / WEIGHTS)["model"]["generator"]
    save(folder, half, {key: tensor for key, tensor in tensors.items() if key != name})
    with pytest.raises(CodecError, match=told):
        adapter_with(REDUCED).load(folder)


@pytest.mark.parametrize(
    ("half", "name", "shape", "told"),
    [
        (AUTOENCODER, "stranger", (1,), "unexpected: stranger"),
        (VOCODER, "blocks.4.convs1.0.conv.bias", (1,), r"unexpected: decoder\.stages\.4"),
        (
            AUTOENCODER,
            "quantizer.codebook.layers.8.embed",
            (8, 64),
            r"unexpected: quantizer\.codebook\.layers\.8",
        ),
        (AUTOENCODER, "quantizer.codebook.layers.2.embed", (8, 63), "codebooks of several shapes"),
        (VOCODER, "scale", (9,), r"of another shape: decoder\.scale \(9,\) instead of \(8,\)"),
    ],
)
def test_a_key_that_does_not_fit_is_named(
    folder: Path, half: str, name: str, shape: tuple[int, ...], told: str
):
    tensors = torch.load(folder / half / WEIGHTS)["model"]["generator"]
    save(folder, half, tensors | {name: torch.ones(shape)})
    with pytest.raises(CodecError, match=told):
        adapter_with(REDUCED).load(folder)


def test_half_a_checkpoint_and_a_single_file_are_refused(folder: Path):
    with pytest.raises(CodecError, match="AudioDec's weights are two files"):
        adapter_with(REDUCED).load(folder / VOCODER / WEIGHTS)
    (folder / VOCODER / WEIGHTS).unlink()
    with pytest.raises(CodecError, match=r"AudioDec_v1_symAD_libritts.* is not there"):
        adapter_with(REDUCED).load(folder)


AUTOENCODER_SETTINGS = {
    "model_type": "symAudioDec",
    "sampling_rate": 24_000,
    "seed": 1337,
    "generator_params": {
        "input_channels": 1,
        "output_channels": 1,
        "encode_channels": 4,
        "decode_channels": 32,
        "code_dim": 8,
        "codebook_num": 8,
        "codebook_size": 64,
        "bias": True,
        "enc_ratios": [2, 4, 8, 16],
        "dec_ratios": [16, 8, 4, 2],
        "enc_strides": [3, 4, 5, 5],
        "dec_strides": [5, 5, 4, 3],
        "mode": "causal",
        "codec": "audiodec",
        "projector": "conv1d",
        "quantier": "residual_vq",
    },
}
VOCODER_SETTINGS = {
    "model_type": "HiFiGAN",
    "sampling_rate": 24_000,
    "generator_params": {
        "in_channels": 8,
        "out_channels": 1,
        "channels": 32,
        "kernel_size": 7,
        "upsample_scales": [5, 5, 4, 3],
        "upsample_kernel_sizes": [10, 10, 8, 6],
        "resblock_kernel_sizes": [11],
        "resblock_dilations": [[1, 3, 5]],
        "groups": 3,
        "bias": True,
        "use_additional_convs": True,
        "nonlinear_activation": "LeakyReLU",
        "nonlinear_activation_params": {"negative_slope": 0.1},
        "use_weight_norm": True,
        "stats": "stats/symAD_libritts_24000_hop300_clean.npy",
    },
}


@pytest.mark.parametrize(
    ("half", "name", "value"),
    [
        (None, None, None),
        (AUTOENCODER, "mode", "noncausal"),
        (AUTOENCODER, "enc_strides", [2, 4, 5, 8]),
        (AUTOENCODER, "codec", "activate_audiodec"),
        (VOCODER, "resblock_dilations", [[1, 3, 9]]),
        (VOCODER, "groups", 1),
        (VOCODER, "a_new_setting", 2),
    ],
)
def test_settings_beside_the_weights_are_compared(
    folder: Path, half: str | None, name: str | None, value: object
):
    for part, settings in ((AUTOENCODER, AUTOENCODER_SETTINGS), (VOCODER, VOCODER_SETTINGS)):
        changed = {name: value} if part == half else {}
        parameters = settings["generator_params"] | changed
        (folder / part / SETTINGS).write_text(yaml.safe_dump(settings | {"generator_params": parameters}))
    if half is None:
        adapter_with(REDUCED).load(folder)
    else:
        with pytest.raises(CodecError, match=f"{half}.*sets {name} to"):
            adapter_with(REDUCED).load(folder)


def test_settings_with_code_in_them_are_refused(folder: Path):
    (folder / VOCODER / SETTINGS).write_text("model_type: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(CodecError, match=r"config\.yml cannot be read"):
        adapter_with(REDUCED).load(folder)
