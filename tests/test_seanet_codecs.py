"""EnCodec, FunCodec and SpeechTokenizer: equal to transformers' network, strict about what is published."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from speech import voice
from torch import nn

from codecfake.codec_adapters import CodecAdapter, CodecError, find_codec
from codecfake.codec_adapters.checkpoints import load_strictly
from codecfake.codec_adapters.nn.quantization import ResidualVectorQuantizer
from codecfake.codec_adapters.nn.seanet import SeanetCodec
from codecfake.codec_adapters.nn.seanet_checkpoint import to_seanet

REDUCED = {"filters": 4, "dimension": 16, "codebooks": 4, "codebook_size": 32}
FAMILIES = ("F04", "F3", "F4", "F02")
SETTINGS = {
    "input_size": 1,
    "model": "encodec",
    "encoder": "encodec_seanet_encoder",
    "encoder_conf": {"n_filters": 4, "dimension": 16, "norm": "time_group_norm", "causal": False},
    "quantizer": "costume_quantizer",
    "quantizer_conf": {"num_quantizers": 4, "codebook_size": 32, "ema_decay": 0.99, "use_ddp": True},
    "decoder": "encodec_seanet_decoder",
    "decoder_conf": {"n_filters": 4, "norm": "time_group_norm", "causal": False},
    "model_conf": {"target_sample_hz": 16_000, "audio_normalize": True, "segment_dur": None, "odim": 16},
}
"""A FunCodec ``config.yaml`` of a reduced F3."""


def reduced(codec_id: str) -> CodecAdapter:
    """The adapter of a codec whose published network is a narrow one of the same topology."""
    family = find_codec(codec_id)
    card = replace(family.card, codebooks=4, network={**family.card.network, **REDUCED})
    return type(f"Reduced{codec_id}", (family,), {"card": card})()


def transformers_network(adapter: CodecAdapter) -> nn.Module:
    """The same network from `transformers`, with random weights and spread codebooks."""
    from transformers import EncodecConfig, EncodecModel
    from transformers.models.encodec.modeling_encodec import EncodecConv1d

    torch.manual_seed(0)
    card, sizes = adapter.card, adapter.card.network
    config = EncodecConfig(
        sampling_rate=card.sample_rate,
        target_bandwidths=[sizes["codebooks"] * 5 * card.frame_rate / 1000],
        num_filters=sizes["filters"],
        hidden_size=sizes["dimension"],
        upsampling_ratios=sizes["ratios"],
        codebook_size=sizes["codebook_size"],
        use_causal_conv=sizes["causal"],
        norm_type="time_group_norm" if "group_norm" in sizes else "weight_norm",
        normalize="level_normalised" in sizes,
    )
    network = EncodecModel(config)
    if "bidirectional_encoder" in sizes:
        width = sizes["filters"] * 16
        network.encoder.layers[13] = BothWays(width)
        network.encoder.layers[15] = EncodecConv1d(config, 2 * width, sizes["dimension"], 7)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("original0") or ".norm." in name:
                parameter.mul_(1 + torch.rand_like(parameter)).add_(0.1)
        drawn = ResidualVectorQuantizer(4, 32, 16)
        wave = torch.from_numpy(voice(1, card.sample_rate, 1))[None, None]
        drawn.draw_codebooks(
            network.encoder(wave / wave.std() if config.normalize else wave), torch.Generator().manual_seed(0)
        )
        for layer, codebook in zip(network.quantizer.layers, drawn.codebooks, strict=True):
            layer.codebook.embed.copy_(codebook)
    return network.eval()


class BothWays(nn.Module):
    """SpeechTokenizer's addition to EnCodec."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, 2, bidirectional=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        steps = features.permute(2, 0, 1)
        return (self.lstm(steps)[0] + torch.cat([steps, steps], dim=2)).permute(1, 2, 0)


def official_tensors(codec_id: str, network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's tensors by the names of the original code."""
    upsampling = {f"decoder.layers.{3 * stage}.conv" for stage in range(1, len(network.decoder.layers) // 3)}
    tensors = {}
    for name, tensor in network.state_dict().items():
        module = name.rsplit(".conv.", 1)[0] + ".conv"
        inner = "convtr.convtr" if module in upsampling else "conv.conv"
        name = re.sub(r"\.conv\.", f".{inner}.", name)
        name = re.sub(r"(decoder\.layers\.(3|6|9|12|15))\.norm\.", r"\1.convtr.norm.", name)
        name = re.sub(r"(?<!convtr)\.norm\.", ".conv.norm.", name)
        name = re.sub(
            r"parametrizations\.weight\.original([01])", lambda match: "weight_" + "gv"[int(match[1])], name
        )
        name = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", name)
        tensors[re.sub(r"^quantizer\.layers\.(\d+)\.codebook", r"quantizer.vq.layers.\1._codebook", name)] = (
            tensor
        )
    if codec_id in ("F3", "F4"):
        for kind in ("inited", "cluster_size", "embed", "embed_avg"):
            layers = [tensors.pop(f"quantizer.vq.layers.{index}._codebook.{kind}") for index in range(4)]
            tensors[f"quantizer.rq.model.{kind}"] = torch.stack(layers)
        tensors["discriminator.discriminators.0.convs.0.weight"] = torch.zeros(3)
        tensors["mel_spec_transforms.0.window"] = torch.zeros(3)
    if codec_id == "F02":
        tensors |= {"transform.weight": torch.zeros(3, 16), "transform.bias": torch.zeros(3)}
    return tensors


def write_official(codec_id: str, tensors: dict[str, torch.Tensor], folder: Path) -> Path:
    """Save tensors under the name of the official file."""
    path = folder / find_codec(codec_id).card.checkpoint.files[0].path
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, path)
    return path


@pytest.fixture(scope="module", params=FAMILIES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CodecAdapter, nn.Module]:
    """An adapter that read an official checkpoint, and the network that the checkpoint was made of."""
    adapter, folder = reduced(request.param), tmp_path_factory.mktemp("official")
    network = transformers_network(adapter)
    write_official(request.param, official_tensors(request.param, network), folder)
    adapter.load(folder)
    return adapter, network


@pytest.mark.parametrize("samples", [640 * 12, 640 * 7 + 311, 100, 1])
@torch.inference_mode()
def test_codes_and_waves_are_those_of_transformers(pair: tuple[CodecAdapter, nn.Module], samples: int):
    adapter, network = pair
    waves = torch.from_numpy(
        np.stack([voice(1, adapter.card.sample_rate, seed)[:samples] for seed in (1, 2)])
    )
    encoded = network.encode(waves[:, None], bandwidth=network.config.target_bandwidths[0])
    codes = encoded.audio_codes[0]
    expected = network.decode(encoded.audio_codes, encoded.audio_scales).audio_values[:, 0]
    assert torch.equal(adapter.codes(waves), codes)
    assert samples < 640 or all(codes[0, codebook].unique().numel() > 3 for codebook in range(4))
    found = adapter.reconstruct(waves)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 3e-6 * expected.abs().max()


def test_every_length_comes_back_and_a_batch_is_its_single_runs(pair: tuple[CodecAdapter, nn.Module]):
    adapter, _network = pair
    rate, hop = adapter.card.sample_rate, adapter.card.hop_length
    lengths = [1, 2, hop - 1, hop, hop + 1, 5 * hop + hop // 2, 5 * hop + 3, rate // 2]
    waves = [voice(1, rate, seed)[:length] for seed, length in enumerate(lengths)]
    together = adapter.resynthesize(waves, rate)
    assert [len(wave) for wave in together] == lengths
    for wave, batched in zip(waves, together, strict=True):
        (single,) = adapter.resynthesize([wave], rate)
        np.testing.assert_allclose(batched, single, atol=1e-5 * np.abs(single).max())


@torch.inference_mode()
def test_only_encodec_stands_zeros_behind_an_utterance(pair: tuple[CodecAdapter, nn.Module]):
    adapter, _network = pair
    wave = torch.from_numpy(voice(1, adapter.card.sample_rate, 1)[: 640 * 12])[None]
    codes = adapter.codes(wave)
    frames = codes.shape[2]
    padded = adapter.codes(torch.nn.functional.pad(wave, (0, 640 * 6)))[..., :frames]
    assert torch.equal(codes, padded) == (adapter.card.batches == "right padding exact")


def test_funcodec_gives_every_level_back():
    adapter = reduced("F3")
    adapter.load_random()
    loud = voice(0.5, 16_000, 1)
    (expected,), (found,) = (adapter.resynthesize([wave], 16_000) for wave in (loud, loud / 64))
    np.testing.assert_allclose(64 * found, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(adapter.resynthesize([np.zeros(1000, np.float32)], 16_000)[0]).max() < 1e-6


@pytest.mark.parametrize("names", ["parametrizations", "weight_g and weight_v"])
@torch.inference_mode()
def test_encodec_is_also_read_as_transformers_publishes_it(names: str, tmp_path: Path):
    adapter = reduced("F04")
    network = transformers_network(adapter)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if names != "parametrizations":
        old = {
            "parametrizations.weight.original0": "weight_g",
            "parametrizations.weight.original1": "weight_v",
        }
        for new_name, old_name in old.items():
            tensors = {name.replace(new_name, old_name): tensor for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    waves = torch.from_numpy(voice(0.4, 24_000, 1)[:6400])[None]
    expected = network.encode(waves[:, None], bandwidth=network.config.target_bandwidths[0]).audio_codes[0]
    for checkpoint in (tmp_path, tmp_path / "model.safetensors"):
        adapter.load(checkpoint)
        assert torch.equal(adapter.codes(waves), expected)


@torch.inference_mode()
def test_residual_units_of_another_kernel_and_width():
    from transformers import EncodecConfig, EncodecModel

    sizes = {
        "filters": 4,
        "ratios": [5, 2],
        "dimension": 16,
        "codebooks": 1,
        "codebook_size": 32,
        "causal": True,
    }
    config = EncodecConfig(
        num_filters=4, upsampling_ratios=[5, 2], hidden_size=16, codebook_size=32, num_lstm_layers=1
    )
    config.residual_kernel_size, config.compress, config.target_bandwidths = 5, 1, [12.0]
    network = EncodecModel(config).eval()
    ours = SeanetCodec(**sizes, lstm_layers=1, residual_kernel_size=5, compress=1).eval()
    load_strictly(ours, to_seanet(network.state_dict()), "here")
    waves = torch.from_numpy(voice(0.2, 24_000, 1))[None]
    assert torch.equal(ours.latents(waves), network.encoder(waves[:, None]))
    latents = torch.randn(1, 16, 20)
    assert torch.equal(ours.decoder(latents), network.decoder(latents))


def without(name: str) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda tensors: tensors.pop(name)


def extra(name: str) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda tensors: tensors.update({name: torch.zeros(2)})


@pytest.mark.parametrize(
    ("codec_id", "change", "named"),
    [
        ("F04", without("encoder.model.0.conv.conv.weight_v"), r"1 missing: encoder\.0\.conv\.weight"),
        (
            "F04",
            without("decoder.model.3.convtr.convtr.weight_g"),
            r"decoder\.3\.conv\.weight_v comes without",
        ),
        ("F04", without("decoder.model.1.lstm.weight_hh_l1"), r"missing: decoder\.1\.lstm\.weight_hh_l1"),
        ("F04", without("quantizer.vq.layers.1._codebook.embed"), "codebook 1 is missing"),
        (
            "F04",
            without("quantizer.vq.layers.3._codebook.embed"),
            r"quantizer\.codebooks \(3, 32, 16\) instead of",
        ),
        (
            "F04",
            extra("quantizer.vq.layers.0._codebook.weight"),
            r"unexpected: quantizer\.vq\.layers\.0\._codebook\.w",
        ),
        ("F04", extra("transform.weight"), "unexpected: transform.weight"),
        (
            "F02",
            without("encoder.model.13.lstm.bias_hh_l1_reverse"),
            r"missing: encoder\.13\.lstm\.bias_hh_l1_reverse",
        ),
        ("F02", extra("encoder.model.2.alpha"), r"unexpected: encoder\.2\.alpha"),
        ("F3", without("encoder.model.3.conv.norm.bias"), r"missing: encoder\.3\.norm\.bias"),
        ("F3", without("quantizer.rq.model.embed"), r"missing: quantizer\.codebooks"),
        ("F3", extra("quantizer.input_proj.weight"), r"unexpected: quantizer\.input_proj\.weight"),
    ],
)
def test_a_checkpoint_must_fit_key_by_key(
    codec_id: str, change: Callable[[dict[str, torch.Tensor]], Any], named: str, tmp_path: Path
):
    adapter = reduced(codec_id)
    tensors = official_tensors(codec_id, transformers_network(adapter))
    change(tensors)
    path = write_official(codec_id, tensors, tmp_path)
    with pytest.raises(CodecError, match=named):
        adapter.load(path)


def write_settings(folder: Path, **changes: object) -> None:
    """Write FunCodec's ``config.yaml`` with settings changed, by ``section__name``."""
    settings = {name: dict(value) if isinstance(value, dict) else value for name, value in SETTINGS.items()}
    for name, value in changes.items():
        section, _, key = name.partition("__")
        (settings[section] if key else settings)[key or section] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


@pytest.fixture(scope="module")
def funcodec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("funcodec")
    write_official("F3", official_tensors("F3", transformers_network(reduced("F3"))), folder)
    return folder


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model", "freqcodec"),
        ("encoder", "encodec_seanet_encoder_2d"),
        ("encoder_conf__norm", "weight_norm"),
        ("decoder_conf__causal", True),
        ("encoder_conf__ratios", [8, 5, 4, 2, 2]),
        ("decoder_conf__n_residual_layers", 3),
        ("encoder_conf__seq_model", "transformer"),
        ("encoder_conf__a_setting_of_tomorrow", 1),
        ("decoder_conf__final_activation", "Tanh"),
        ("quantizer_conf__codec_dim", 8),
        ("quantizer_conf__codec_range", 2.0),
        ("quantizer_conf__num_quantizers", 16),
        ("model_conf__audio_normalize", False),
        ("model_conf__segment_dur", 1.0),
        ("model_conf__codec_domain", "stft"),
    ],
)
def test_a_funcodec_that_is_another_network_is_refused_by_its_settings(
    setting: str, value: object, funcodec_folder: Path
):
    adapter = reduced("F3")
    write_settings(funcodec_folder, model_conf__recon_loss_weight=3.0)
    adapter.load(funcodec_folder)
    write_settings(funcodec_folder, **{setting: value})
    with pytest.raises(CodecError, match=rf"config.yaml sets {setting.replace('__', '.')} to"):
        adapter.load(funcodec_folder)


def test_settings_left_out_are_funcodecs_defaults(funcodec_folder: Path):
    settings = {**SETTINGS, "model_conf": {"target_sample_hz": 16_000}}
    (funcodec_folder / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(CodecError, match=r"model_conf.segment_dur to 1.0, but only None"):
        reduced("F3").load(funcodec_folder)


@pytest.mark.parametrize("text", ["encoder: [", "- a list", "\x00"])
def test_settings_that_cannot_be_read_say_so(text: str, funcodec_folder: Path):
    (funcodec_folder / "config.yaml").write_text(text)
    with pytest.raises(CodecError, match=r"config.yaml .*fetch it again"):
        reduced("F3").load(funcodec_folder)


def test_speechtokenizer_with_another_activation_is_refused(tmp_path: Path):
    path = write_official("F02", official_tensors("F02", transformers_network(reduced("F02"))), tmp_path)
    settings = (
        '{"n_filters": 4, "strides": [8, 5, 4, 2], "dimension": 16, "n_q": 4, "codebook_size": 32, '
        '"bidirectional": true, "lstm_layers": 2, "n_residual_layers": 1, "residual_kernel_size": 3, '
        '"activation": "ELU", "sample_rate": 16000, "semantic_dimension": 768}'
    )
    path.with_name("config.json").write_text(settings)
    reduced("F02").load(tmp_path)
    path.with_name("config.json").write_text(settings.replace("ELU", "Snake"))
    with pytest.raises(CodecError, match=r"config.json sets activation to 'Snake', but only 'ELU'"):
        reduced("F02").load(path)


@pytest.mark.parametrize(
    ("codec_id", "millions", "weight_norm"),
    [("F04", 14.852, True), ("F3", 14.856, False), ("F4", 57.550, False), ("F02", 103.676 - 0.7872, True)],
)
def test_the_published_networks_have_the_published_number_of_parameters(
    codec_id: str, millions: float, weight_norm: bool
):
    adapter = find_codec(codec_id)()
    with torch.device("meta"):
        network = adapter.build(adapter.card.network)
    found = sum(parameter.numel() for parameter in network.parameters())
    if weight_norm:
        convolutions = (m for m in network.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d))
        found += sum(convolution.weight.shape[0] for convolution in convolutions)
    assert found / 1e6 == pytest.approx(millions, abs=6e-4)
    assert network.hop_length == adapter.card.hop_length


@pytest.mark.parametrize(
    ("codec_id", "codebooks", "kbps", "stated"),
    [
        ("F02", 8, 4, None),
        ("A", 8, 4, None),
        ("F03", 32, 8, 16),
        ("C3-1", 12, 3, None),
        ("C3-2", 24, 6, None),
        ("C3-3", 32, 8, 12),
        ("C3-4", 32, 8, 24),
        ("F3", 32, 16, None),
        ("F4", 32, 8, None),
        ("F5", 32, 16, None),
        ("F6", 32, 8, None),
        ("F04", 8, 6, None),
        ("E", 2, 1.5, None),
        ("C4-1", 4, 3, None),
        ("C4-2", 16, 12, None),
        ("C4-3", 32, 24, None),
    ],
)
def test_the_papers_figures_stand_on_the_cards(
    codec_id: str, codebooks: int, kbps: float, stated: float | None
):
    card = find_codec(codec_id).card
    assert (card.codebooks, card.kilobits_per_second, card.stated_kbps) == (codebooks, kbps, stated)


@pytest.mark.parametrize(
    "codecs", [("F04", "E", "C4-1", "C4-2", "C4-3"), ("F03", "C3-1", "C3-4", "F4"), ("F02", "A")]
)
def test_codecs_that_share_weights_download_them_once(codecs: tuple[str, ...]):
    first, *others = (find_codec(codec_id).card.checkpoint for codec_id in codecs)
    assert all(other is first for other in others)


@torch.inference_mode()
def test_fewer_codebooks_are_the_first_ones():
    adapter = reduced("F04")
    adapter.load_random()
    waves = torch.from_numpy(voice(0.4, 24_000, 1)[:6400])[None]
    all_codes = adapter.codes(waves)
    narrow = adapter.network.encode(waves, 2)
    assert torch.equal(narrow.codes, all_codes[:, :2])
    assert not torch.allclose(adapter.network.decode(narrow), adapter.reconstruct(waves))
