"""FreqCodec (F1, F2): its official checkpoint, its settings, its delay, and what group norms mean for batches."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from speech import voice
from torch import nn

from codecfake.codec_adapters import CodecAdapter, CodecError, find_codec
from codecfake.codec_adapters.nn.freqcodec import FreqCodec

HOP = 320

HALF_SETTINGS = {
    "ratios": [[4, 1], [4, 1], [4, 2], [4, 1]],
    "norm": "time_group_norm",
    "norm_params": {"num_groups": 1},
    "causal": False,
    "dilation_base": 1,
    "n_filters": 8,
    "kernel_size": 3,
    "last_kernel_size": 3,
    "seq_model": "none",
}

SETTINGS = {
    "input_size": 3,
    "encoder": "encodec_seanet_encoder_2d",
    "encoder_conf": HALF_SETTINGS,
    "quantizer": "costume_quantizer",
    "quantizer_conf": {
        "codebook_size": 1024,
        "num_quantizers": 32,
        "ema_decay": 0.99,
        "kmeans_init": True,
        "sampling_rate": 16_000,
        "quantize_dropout": True,
        "rand_num_quant": [1, 2, 4, 8, 16, 32],
        "use_ddp": True,
        "encoder_hop_length": 320,
    },
    "decoder": "encodec_seanet_decoder_2d",
    "decoder_conf": HALF_SETTINGS | {"channels": 3, "tr_conv_group_ratio": 8},
    "model": "freq_codec",
    "model_conf": {
        "odim": 128,
        "multi_spectral_window_powers_of_two": [5, 6, 7, 8, 9, 10],
        "target_sample_hz": 16_000,
        "audio_normalize": True,
        "use_power_spec_loss": True,
        "segment_dur": None,
        "overlap_ratio": None,
        "codec_domain": ["mag_phase", "mag_phase"],
    },
    "optim": "adam",
}
"""What FunCodec's recipe writes, with few channels and with the groups of F2."""


def reduced(codec_id: str) -> dict:
    """The sizes of the card, with eight filters."""
    sizes = dict(find_codec(codec_id).card.network)
    return sizes | {half: {**sizes[half], "filters": 8} for half in ("encoder", "decoder")}


def spread(network: FreqCodec) -> FreqCodec:
    waves = 0.1 * torch.randn(1, 100 * HOP)
    network.quantizer.draw_codebooks(network.latents(waves), torch.Generator().manual_seed(0))
    return network.eval()


@pytest.fixture(scope="module", params=["F1", "F2"])
def adapter(request, tmp_path_factory) -> CodecAdapter:
    torch.manual_seed(0)
    adapter = find_codec(request.param)()
    sizes = reduced(request.param)
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    with torch.inference_mode():
        save_file(spread(adapter.build(sizes)).state_dict(), path)
    adapter.load(path, sizes)
    return adapter


def official_tensors(network: FreqCodec) -> dict[str, torch.Tensor]:
    """The tensors by FunCodec's names, and examples of those that only training needs."""
    tensors = {}
    for name, tensor in network.state_dict().items():
        half, _, rest = name.partition(".")
        module, _, leaf = rest.rpartition(".")
        if half == "quantizer":
            continue
        if not module.endswith("lstm"):
            owner, _, part = module.rpartition(".")
            layer = getattr(network.get_submodule(f"{half}.{owner}"), "conv", None)
            outer = "convtr" if isinstance(layer, nn.ConvTranspose2d) else "conv"
            module = f"{owner}.{outer}.{outer if part == 'conv' else part}"
        tensors[f"{half}.model.{module}.{leaf}"] = tensor
    codebooks = network.quantizer.codebooks
    quantizer = "quantizer.rq.model."
    return tensors | {
        f"{quantizer}embed": codebooks,
        f"{quantizer}embed_avg": codebooks.clone(),
        f"{quantizer}cluster_size": codebooks[..., 0].clone(),
        f"{quantizer}inited": torch.ones(len(codebooks), 1),
        "enc_trans_func.window": torch.hann_window(512),
        "dec_trans_func.window": torch.hann_window(512),
        "mel_spec_transforms.0.window": torch.hann_window(32),
        "discriminator.discriminators.0.discriminators.0.convs.0.conv.weight": torch.zeros(32, 2, 3, 9),
    }


def write_official(folder: Path, tensors: dict[str, torch.Tensor], settings: dict | None = SETTINGS) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(tensors, folder / "model.pth")
    if settings is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


def changed(section: str, **values: object) -> dict:
    return SETTINGS | {section: SETTINGS[section] | values}


@pytest.fixture
def network() -> FreqCodec:
    torch.manual_seed(1)
    with torch.inference_mode():
        return spread(find_codec("F2")().build(reduced("F2")))


def test_the_cards_have_the_papers_figures_and_the_published_parameter_counts():
    for codec_id, millions in (("F1", 0.52), ("F2", 4.50)):
        adapter = find_codec(codec_id)
        assert (adapter.card.kilobits_per_second, adapter.card.frame_rate) == (16.0, 50.0)
        with torch.device("meta"):
            network = adapter().build(adapter.card.network)
        normed = [layer for layer in network.modules() if isinstance(layer, nn.GroupNorm)]
        counted = sum(p.numel() for p in network.parameters())
        counted -= sum(p.numel() for layer in normed for p in layer.parameters())
        assert round(counted / 1e6, 2) == millions, "the count of thop, which FunCodec's readme gives"


@pytest.mark.parametrize("hops", [1, 2, 3, 10])
def test_whole_frames_come_back_whole(adapter: CodecAdapter, hops: int):
    waves = torch.randn(2, hops * HOP)
    assert adapter.codes(waves).shape == (2, 32, hops + 1)
    assert adapter.reconstruct(waves).shape == waves.shape


def test_any_length_comes_back_exactly(adapter: CodecAdapter):
    lengths = [1, 7, 319, 320, 321, 5_000, 16_000]
    waves = [voice(1, 16_000, seed)[:length] for seed, length in enumerate(lengths)]
    assert [len(wave) for wave in adapter.resynthesize(waves, 16_000)] == lengths


def test_whole_frames_are_seen_as_if_they_began_one_delay_later(network: FreqCodec):
    """Of an even number of windows the strided convolution needs none on its left, and delays nothing."""
    wave = torch.from_numpy(voice(1, 16_000, 1))[None, :16_000]
    before, after = (wave[:, part].flip(1) for part in (slice(1, 161), slice(-161, -1)))
    assert network.delay == 160
    with torch.inference_mode():
        odd, later, sooner = (
            network.latents(waves)[..., 3:48]
            for waves in (wave, torch.cat([before, wave], dim=1), torch.cat([wave, after], dim=1))
        )
    assert (later - odd).norm() < 0.1 * odd.norm()
    assert (sooner - odd).norm() > 0.3 * odd.norm()


def test_the_level_of_the_input_is_that_of_the_output(adapter: CodecAdapter):
    wave = torch.from_numpy(voice(0.5, 16_000, 2))[None, : 20 * HOP]
    torch.testing.assert_close(adapter.codes(wave / 4), adapter.codes(wave))
    torch.testing.assert_close(adapter.reconstruct(wave / 4), adapter.reconstruct(wave) / 4)


def test_silence_gives_finite_samples(adapter: CodecAdapter):
    assert adapter.reconstruct(torch.zeros(1, 5 * HOP)).isfinite().all()


def test_a_batch_of_equal_lengths_gives_what_single_runs_give(adapter: CodecAdapter):
    waves = torch.stack([torch.from_numpy(voice(1, 16_000, seed)[: 40 * HOP]) for seed in range(4)])
    single_codes = torch.cat([adapter.codes(wave[None]) for wave in waves])
    single = torch.cat([adapter.reconstruct(wave[None]) for wave in waves])
    assert (adapter.codes(waves) == single_codes).float().mean() > 0.999
    noise = (adapter.reconstruct(waves) - single).square().mean()
    assert noise < 1e-6 * single.square().mean(), "below 60 dB"


def test_zeros_after_an_utterance_change_its_codes(adapter: CodecAdapter):
    """So lengths may not be mixed in a batch, as the card says."""
    wave = torch.from_numpy(voice(1, 16_000, 3))[None, : 25 * HOP]
    padded = nn.functional.pad(wave, (0, 25 * HOP))
    assert adapter.card.batches == "equal length only"
    assert (adapter.codes(padded)[..., :20] != adapter.codes(wave)[..., :20]).float().mean() > 0.02


def test_the_official_names_and_shapes_are_funcodecs():
    with torch.device("meta"):
        tensors = {
            codec_id: official_tensors(find_codec(codec_id)().build(find_codec(codec_id).card.network))
            for codec_id in ("F1", "F2")
        }
    expected = {
        ("F1", "encoder.model.0.conv.conv.weight"): (32, 3, 3, 3),
        ("F1", "encoder.model.3.block.1.conv.conv.weight"): (16, 4, 3, 3),
        ("F1", "encoder.model.3.block.3.conv.norm.bias"): (32,),
        ("F1", "encoder.model.20.conv.conv.weight"): (512, 2, 8, 2),
        ("F1", "decoder.model.13.convtr.convtr.weight"): (128, 1, 8, 4),
        ("F2", "encoder.model.1.shortcut.conv.conv.weight"): (32, 32, 1, 1),
        ("F2", "encoder.model.15.conv.conv.weight"): (128, 512, 3),
        ("F2", "decoder.model.3.convtr.convtr.weight"): (512, 8, 8, 2),
        ("F2", "decoder.model.3.convtr.norm.weight"): (256,),
        ("F2", "decoder.model.15.conv.conv.bias"): (3,),
        ("F2", "quantizer.rq.model.embed"): (32, 1024, 128),
    }
    found = {
        (codec_id, name): tuple(tensors[codec_id].get(name, torch.empty(0)).shape)
        for codec_id, name in expected
    }
    assert found == expected


def test_the_settings_beside_the_weights_give_the_sizes(network: FreqCodec, tmp_path: Path):
    adapter = find_codec("F2")()
    adapter.load(write_official(tmp_path, official_tensors(network)))
    wave = torch.from_numpy(voice(1, 16_000, 4))[None, : 30 * HOP]
    with torch.inference_mode():
        expected = network.decode(network.encode(wave, 32))
    assert (adapter.reconstruct(wave) - expected).abs().max() <= 3e-6 * expected.abs().max()
    with pytest.raises(CodecError, match=r"another shape: encoder\.0\.conv\.weight"):
        write_official(tmp_path / "alone", official_tensors(network), settings=None)
        find_codec("F2")().load(tmp_path / "alone")


def test_a_network_with_lstms_and_other_kernels_is_read_too(tmp_path: Path):
    torch.manual_seed(2)
    sizes = reduced("F2")
    for half in ("encoder", "decoder"):
        sizes[half] |= {"lstm_layers": 2, "kernel_size": 7, "last_kernel_size": 5, "group_ratio": 2}
    network = find_codec("F2")().build(sizes)
    larger = HALF_SETTINGS | {"kernel_size": 7, "last_kernel_size": 5, "conv_group_ratio": 2}
    larger = {
        name: value for name, value in larger.items() if name != "seq_model"
    }  # FunCodec's default: an LSTM
    settings = SETTINGS | {"encoder_conf": larger, "decoder_conf": SETTINGS["decoder_conf"] | larger}
    del settings["decoder_conf"]["seq_model"]
    adapter = find_codec("F2")()
    adapter.load(write_official(tmp_path, official_tensors(network), settings))
    assert torch.equal(adapter.network.encoder[14].lstm.weight_hh_l1, network.encoder[14].lstm.weight_hh_l1)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (changed("encoder_conf", causal=True), "encoder_conf.causal"),
        (changed("encoder_conf", seq_model="transformer"), "encoder_conf.seq_model"),
        (changed("encoder_conf", norm="weight_norm"), "encoder_conf.norm"),
        (changed("encoder_conf", gates=2), "encoder_conf.gates"),
        (changed("decoder_conf", channels=2), "decoder_conf.channels"),
        (changed("decoder_conf", ratios=[[4, 2], [4, 1], [4, 1], [4, 1]]), "decoder_conf.ratios"),
        (changed("decoder_conf", final_activation="Tanh"), "decoder_conf.final_activation"),
        (changed("quantizer_conf", codec_dim=64), "quantizer_conf.codec_dim"),
        (changed("quantizer_conf", num_quantizers=8), "quantizer_conf.num_quantizers"),
        (changed("model_conf", segment_dur=1.0), "model_conf.segment_dur"),
        (changed("model_conf", codec_domain=["mag_angle", "mag_angle"]), "model_conf.codec_domain"),
        (changed("model_conf", domain_conf={"hop_length": 80}), "a hop of 160, but F2 has 320"),
        (changed("model_conf", domain_conf={"n_fft": 1024}), "513 rows of the transform need 512"),
        (SETTINGS | {"model": "encodec"}, "model"),
        (SETTINGS | {"encoder_conf": {"n_filters": 8}}, "encoder_conf.norm"),
    ],
)
def test_settings_of_another_network_are_refused_by_name(network, tmp_path: Path, settings: dict, named: str):
    with pytest.raises(CodecError, match=named):
        find_codec("F2")().load(write_official(tmp_path, official_tensors(network), settings))


def test_a_tensor_too_few_or_too_many_is_named(network: FreqCodec, tmp_path: Path):
    tensors = official_tensors(network)
    absent = {name: tensor for name, tensor in tensors.items() if name != "decoder.model.0.conv.conv.bias"}
    with pytest.raises(CodecError, match=r"1 missing: decoder\.0\.conv\.bias"):
        find_codec("F2")().load(write_official(tmp_path, absent))
    with pytest.raises(CodecError, match=r"1 unexpected: frontend\.mean"):
        find_codec("F2")().load(write_official(tmp_path, tensors | {"frontend.mean": torch.zeros(1)}))
