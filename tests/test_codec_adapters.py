"""The base classes keep the contract for any network: exact length, batch equals single, strict loading."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from speech import voice
from torch import nn

from codecfake.codec_adapters import CodecError, codec_ids, find_codec, register
from codecfake.codec_adapters.checkpoints import official_file, read_safetensors
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official
from codecfake.codec_adapters.nn.quantization import Encoded, ResidualVectorQuantizer
from codecfake.codec_adapters.presets import PRESETS
from codecfake.codec_adapters.registry import built_in_codecs

HOP = 160
CARD = replace(
    find_codec("F04").card,
    id="toy",
    name="toy-16khz",
    sample_rate=16_000,
    hop_length=HOP,
    codebooks=2,
    codebook_size=64,
    minimum_samples=3 * HOP,
    context_seconds=0.1,
    network={"width": 6},
)


class ToyNetwork(nn.Module):
    """A frame of three hops per code: what a frame hears lies up to two hops before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, width, 3 * HOP, HOP)
        self.quantizer = ResidualVectorQuantizer(2, 64, width)
        self.decoder = nn.ConvTranspose1d(width, 1, HOP, HOP)

    def latents(self, waves):
        return self.encoder(nn.functional.pad(waves[:, None], (2 * HOP, 0)))

    def encode(self, waves, codebooks):
        return Encoded(self.quantizer.encode(self.latents(waves), codebooks))

    def decode(self, encoded):
        return self.decoder(self.quantizer.decode(encoded.codes))[:, 0]


class Toy(NetworkAdapter):
    card = CARD

    def build(self, sizes):
        return ToyNetwork(**sizes)

    def read_official(self, checkpoint):
        return Official(read_safetensors(official_file(checkpoint, "toy.safetensors")), self.card.network)


@pytest.fixture(scope="module")
def adapter() -> Toy:
    adapter = Toy()
    adapter.load_random()
    return adapter


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100, 48_000])
def test_output_is_exactly_as_long_as_the_input(adapter: Toy, sample_rate: int):
    hop = HOP * sample_rate // CARD.sample_rate
    lengths = [1, 7, hop - 1, hop, hop + 1, 5 * hop + hop // 2, sample_rate // 3]
    waves = [voice(1, sample_rate, seed)[:length] for seed, length in enumerate(lengths)]
    assert [len(wave) for wave in adapter.resynthesize(waves, sample_rate)] == lengths


def test_output_at_another_rate_lasts_as_long(adapter: Toy):
    fakes = adapter.resynthesize([voice(0.5, 48_000, 1), voice(0.25, 48_000, 2)], 48_000, output_rate=16_000)
    assert [len(wave) for wave in fakes] == [8_000, 4_000]


def test_a_batch_of_32_gives_what_32_single_runs_give(adapter: Toy):
    lengths = [8_000, 8_000, 7_999, 8_111, 8_300, 9_001, 4_000, 4_001] * 4
    waves = [voice(1, 16_000, seed)[:length] for seed, length in enumerate(lengths)]
    together = adapter.resynthesize(waves, 16_000)
    for wave, batched in zip(waves, together, strict=True):
        single = adapter.resynthesize([wave], 16_000)[0]
        noise = np.square(batched - single).mean()
        assert noise <= 1e-6 * np.square(single).mean(), "below 60 dB"


def test_only_equal_frame_counts_meet_in_the_network(adapter: Toy, monkeypatch: pytest.MonkeyPatch):
    seen = []
    whole = adapter.reconstruct
    monkeypatch.setattr(adapter, "reconstruct", lambda waves: seen.append(tuple(waves.shape)) or whole(waves))
    adapter.resynthesize([np.ones(samples, np.float32) for samples in (1, 800, 801, 640, 799)], 16_000)
    assert sorted(seen) == [(1, 480), (1, 640), (1, 960), (2, 800)]


def test_long_utterances_go_through_in_chunks_without_a_seam(adapter: Toy, monkeypatch: pytest.MonkeyPatch):
    wave = voice(2.003, 16_000, 6)
    whole = adapter.resynthesize([wave], 16_000)[0]
    monkeypatch.setattr(adapter, "chunk_seconds", 0.5)
    seen = []
    reconstruct = adapter.reconstruct
    monkeypatch.setattr(
        adapter, "reconstruct", lambda waves: seen.append(waves.shape[1]) or reconstruct(waves)
    )
    chunked = adapter.resynthesize([wave], 16_000)[0]
    assert len(seen) == 5
    assert max(seen) <= (0.5 + 2 * 0.1) * 16_000
    np.testing.assert_allclose(chunked, whole, atol=1e-6)


def test_stereo_is_mixed_down(adapter: Toy):
    mono = voice(0.3, 16_000, 3)
    stereo = np.stack([1.5 * mono, 0.5 * mono], axis=1)
    expected, found = adapter.resynthesize([mono], 16_000)[0], adapter.resynthesize([stereo], 16_000)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_same_input_gives_the_same_bits(adapter: Toy):
    wave = voice(0.4, 16_000, 4)
    first, second = (adapter.resynthesize([wave], 16_000)[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_level_stays_unless_a_peak_is_asked_for():
    wave = voice(0.3, 16_000, 5)
    assert np.abs(Toy().prepare(wave, 16_000).wave).max() == np.abs(wave).max()
    assert np.abs(Toy(input_peak=0.95).prepare(wave, 16_000).wave).max() == pytest.approx(0.95)
    assert not Toy(input_peak=0.95).prepare(np.zeros(100, np.float32), 16_000).wave.any()


def test_a_network_with_a_level_of_its_own_hears_every_voice_at_it_and_gives_the_level_back():
    class Echo(Toy):
        working_level = 0.1

        def reconstruct(self, waves):
            assert waves[0, : 3 * HOP].square().mean().sqrt() == pytest.approx(0.1, rel=1e-3)
            return 0.5 * waves

    for level in (0.001, 0.9):
        wave = level * voice(0.1, 16_000, 8)[: 3 * HOP]
        (found,) = Echo().resynthesize([wave], 16_000)
        np.testing.assert_allclose(found, 0.5 * wave, rtol=1e-5, atol=1e-8)
    assert not Toy().prepare(np.zeros(100, np.float32), 16_000).wave.any()


@pytest.mark.parametrize("late", [5, -8])
def test_weights_that_answer_late_or_early_are_put_right(late: int):
    class Shifted(Toy):
        delay_samples = late

        def reconstruct(self, waves):
            return torch.roll(waves, late, dims=1)

    for samples in (3 * HOP, 3 * HOP + 1, 4 * HOP - 2):
        wave = voice(0.1, 16_000, 8)[:samples]
        (found,) = Shifted().resynthesize([wave], 16_000)
        first = max(0, -late)
        np.testing.assert_array_equal(found[first:], wave[first:])
        assert len(found) == samples and not found[:first].any()


@pytest.mark.parametrize("shape", [(0,), (2, 2, 2), ()])
def test_what_is_no_wave_is_refused(adapter: Toy, shape: tuple[int, ...]):
    with pytest.raises(CodecError, match=rf"toy: a wave of shape {re.escape(str(shape))}"):
        adapter.resynthesize([np.zeros(shape, np.float32)], 16_000)


def test_a_network_that_gives_too_little_is_named(adapter: Toy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adapter, "reconstruct", lambda waves: waves[:, 1:])
    with pytest.raises(CodecError, match=r"toy: .*\(1, 479\) for input \(1, 480\)"):
        adapter.resynthesize([np.ones(10, np.float32)], 16_000)


def test_random_weights_use_the_codebooks_and_come_from_the_seed(adapter: Toy):
    waves = torch.from_numpy(voice(1, 16_000, 7))[None]
    codes = adapter.codes(waves)
    assert codes.shape == (1, 2, 100)
    assert all(len(codebook.unique()) > 10 for codebook in codes[0])
    again, other = Toy(), Toy()
    again.load_random(0)
    other.load_random(1)
    assert torch.equal(again.codes(waves), codes)
    assert not torch.equal(other.codes(waves), codes)


def test_a_loaded_network_runs_in_inference_mode_and_gives_the_same_audio(adapter: Toy, tmp_path: Path):
    save_file(adapter.network.state_dict(), tmp_path / "toy.safetensors")
    official, own = Toy(), Toy()
    official.load(tmp_path)
    sizes = {"width": 6, "working_level": None, "delay_samples": 0}
    own.load(tmp_path / "toy.safetensors", sizes)
    assert sizes["width"] == 6 and "working_level" in sizes
    wave = voice(0.3, 16_000, 8)
    for loaded in (official, own):
        assert not any(module.training for module in loaded.network.modules())
        assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
        assert np.array_equal(loaded.resynthesize([wave], 16_000)[0], adapter.resynthesize([wave], 16_000)[0])


def test_a_checkpoint_must_fit_key_by_key(adapter: Toy, tmp_path: Path):
    path = tmp_path / "toy.safetensors"
    tensors = adapter.network.state_dict()

    def load(tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, path)
        Toy().load(path, CARD.network)

    with pytest.raises(CodecError, match=r"toy: .*1 missing: encoder\.bias"):
        load({name: tensor for name, tensor in tensors.items() if name != "encoder.bias"})
    with pytest.raises(CodecError, match="1 unexpected: stranger"):
        load({**tensors, "stranger": torch.zeros(1)})
    with pytest.raises(CodecError, match=r"encoder\.bias \(7,\) instead of \(6,\)"):
        load({**tensors, "encoder.bias": torch.zeros(7)})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CodecError, match="no readable safetensors file"):
        Toy().load(path, CARD.network)
    with pytest.raises(CodecError, match="codecs fetch"):
        Toy().load(tmp_path / "nowhere")


def test_the_papers_figures_stand_on_the_cards():
    figures = {
        "F01": (16_000, 8, 4.0),
        "F02": (16_000, 8, 4.0),
        "F03": (16_000, 32, 8.0),
        "F04": (24_000, 8, 6.0),
        "F05": (24_000, 8, 6.4),
        "F06": (24_000, 4, 3.0),
        "F07": (44_100, 9, 7.75),
    }
    cards = {codec_id: find_codec(codec_id).card for codec_id in figures}
    found = {
        codec_id: (card.sample_rate, card.codebooks, round(card.kilobits_per_second, 2))
        for codec_id, card in cards.items()
    }
    assert found == figures


def test_an_unknown_codec_is_answered_with_close_names():
    with pytest.raises(CodecError, match="did you mean F0"):
        find_codec("f04")
    with pytest.raises(CodecError, match="encodec-24khz-6kbps"):
        find_codec("encodec-24khz")


def test_an_id_cannot_be_taken_twice():
    with pytest.raises(CodecError, match="'F04' is registered twice"):
        register(built_in_codecs()["F04"].card)(Toy)


def test_every_built_in_id_is_its_cards():
    assert {codec_id: adapter.card.id for codec_id, adapter in built_in_codecs().items()} == {
        codec_id: codec_id for codec_id in built_in_codecs()
    }


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

    descriptions = [json.loads(path.read_text()) for path in sorted(mini_folder().glob("*.json"))]
    assert [description["name"] for description in descriptions] == list(PRESETS["codecfake"])
    for description in descriptions:
        assert description["purpose"] == "demonstration and tests, never research"
        card = find_codec(description["name"]).card
        checkpoint = find_checkpoint(card, "mini")
        assert 2**19 < checkpoint.path.stat().st_size < 3 * 2**20
        adapter = find_codec(card.id)()
        adapter.load(checkpoint.path, checkpoint.network)
        assert len(adapter.resynthesize([voice(0.2, 16_000, 1)], 16_000)[0]) == 3_200
