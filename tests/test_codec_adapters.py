"""Every adapter keeps the contract: exact length, batch equals single, strict loading, clear errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from speech import voice

from codecfake.codec_adapters import CodecAdapter, CodecError, codec_ids, find_codec
from codecfake.codec_adapters.codecs.dac import PUBLISHED_NETWORK
from codecfake.codec_adapters.registry import built_in_codecs, register

REDUCED = {
    "F04": {"num_filters": 8, "hidden_size": 32, "codebook_dim": 32, "num_lstm_layers": 1},
    "F07": PUBLISHED_NETWORK | {"encoder_hidden_size": 4, "decoder_hidden_size": 32},
}
"""Narrow networks with the published strides and codebooks."""


def random_checkpoint(codec_id: str, folder: Path) -> Path:
    from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

    torch.manual_seed(0)
    if codec_id == "F04":
        network = EncodecModel(EncodecConfig(**REDUCED[codec_id]))
        for layer in network.quantizer.layers:
            layer.codebook.embed.normal_(0, 0.1)
    else:
        network = DacModel(DacConfig(**REDUCED[codec_id]))
    path = folder / f"{codec_id}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module", params=["F04", "F07"])
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CodecAdapter:
    adapter = find_codec(request.param)("cpu")
    checkpoint = random_checkpoint(request.param, tmp_path_factory.mktemp("weights"))
    adapter.load(checkpoint, REDUCED[request.param])
    return adapter


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100, 48_000])
def test_output_is_exactly_as_long_as_the_input(adapter: CodecAdapter, sample_rate: int):
    hop = adapter.card.hop_length * sample_rate // adapter.card.sample_rate
    lengths = [1, 7, hop - 1, hop, hop + 1, 5 * hop + hop // 2, sample_rate // 3]
    waves = [voice(1, sample_rate, seed)[:length] for seed, length in enumerate(lengths)]
    assert [len(wave) for wave in adapter.resynthesize(waves, sample_rate)] == lengths


def test_output_at_another_rate_lasts_as_long(adapter: CodecAdapter):
    fakes = adapter.resynthesize([voice(0.5, 48_000, 1), voice(0.25, 48_000, 2)], 48_000, output_rate=16_000)
    assert [len(wave) for wave in fakes] == [8_000, 4_000]


def test_a_batch_of_32_gives_what_32_single_runs_give(adapter: CodecAdapter):
    lengths = [8_000, 8_000, 7_999, 8_111, 8_300, 9_001, 4_000, 4_001] * 4
    waves = [voice(1, 16_000, seed)[:length] for seed, length in enumerate(lengths)]
    together = adapter.resynthesize(waves, 16_000)
    for wave, batched in zip(waves, together, strict=True):
        single = adapter.resynthesize([wave], 16_000)[0]
        noise = np.square(batched - single).mean()
        assert noise <= 1e-6 * np.square(single).mean(), "below 60 dB"


def test_stereo_is_mixed_down(adapter: CodecAdapter):
    mono = voice(0.3, 16_000, 3)
    stereo = np.stack([1.5 * mono, 0.5 * mono], axis=1)
    expected, found = adapter.resynthesize([mono], 16_000)[0], adapter.resynthesize([stereo], 16_000)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_same_input_gives_the_same_bits(adapter: CodecAdapter):
    wave = voice(0.4, 16_000, 4)
    first, second = (adapter.resynthesize([wave], 16_000)[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_papers_figures_stand_on_the_cards():
    encodec, dac = find_codec("F04").card, find_codec("F07").card
    assert (encodec.sample_rate, encodec.codebooks, encodec.kilobits_per_second) == (24_000, 8, 6.0)
    assert (dac.sample_rate, dac.codebooks, round(dac.kilobits_per_second)) == (44_100, 9, 8)
    assert (encodec.frame_rate, round(dac.frame_rate)) == (75.0, 86)


@pytest.mark.parametrize("codec_id", ["F04", "F07"])
def test_a_checkpoint_must_fit_key_by_key(codec_id: str, tmp_path: Path):
    path = random_checkpoint(codec_id, tmp_path)
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, path)
    with pytest.raises(CodecError, match=name.split(".")[-1]):
        find_codec(codec_id)().load(path, REDUCED[codec_id])
    save_file({**tensors, "stranger": torch.zeros(1)}, path)
    with pytest.raises(CodecError, match="stranger"):
        find_codec(codec_id)().load(path, REDUCED[codec_id])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CodecError, match="no readable safetensors file"):
        find_codec(codec_id)().load(path, REDUCED[codec_id])


def test_an_unknown_codec_is_answered_with_close_names():
    with pytest.raises(CodecError, match="did you mean F0"):
        find_codec("f04")
    with pytest.raises(CodecError, match="encodec-24khz-6kbps"):
        find_codec("encodec-24khz")


def test_an_id_cannot_be_taken_twice():
    with pytest.raises(CodecError, match="registered twice"):
        register(built_in_codecs()["F04"])


def test_a_codec_of_another_package_is_found_through_its_entry_point(outside):
    assert "X1" in codec_ids()
    adapter = find_codec("X1")()
    adapter.load(outside.weights / "X1.safetensors")
    wave = voice(0.5, 16_000, 5)
    (fake,) = adapter.resynthesize([wave], 16_000)
    assert len(fake) == len(wave)
    assert np.corrcoef(fake, wave)[0, 1] > 0.99


def test_an_outside_codec_that_cannot_be_imported_says_why(outside):
    (outside.site / "outside_codec.py").write_text("import a_package_that_is_not_there\n")
    import sys

    sys.modules.pop("outside_codec", None)
    with pytest.raises(CodecError, match="a_package_that_is_not_there"):
        find_codec("X1")


def test_the_shipped_mini_networks_fit_their_descriptions():
    from codecfake.pipeline.weights import find_checkpoint, mini_folder

    for description in mini_folder().glob("*.json"):
        card = find_codec(json.loads(description.read_text())["name"]).card
        checkpoint = find_checkpoint(card, "mini")
        assert 2**19 < checkpoint.path.stat().st_size < 3 * 2**20
        adapter = find_codec(card.id)()
        adapter.load(checkpoint.path, checkpoint.network)
        assert len(adapter.resynthesize([voice(0.2, 16_000, 1)], 16_000)[0]) == 3_200
