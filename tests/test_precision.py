"""Lower precision is used only where the codes are measured to stay; the search for codewords is never lowered."""

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from codecfake.codec_adapters import CodecAdapter, CodecCard, find_codec
from codecfake.codec_adapters.nn.quantization import ResidualVectorQuantizer
from codecfake.pipeline import precision
from codecfake.pipeline.precision import Precision, codes_kept, lowered, settle_precision
from codecfake.pipeline.weights import find_checkpoint, load_codec

CODEBOOKS = 4


def card(hop_length: int) -> CodecCard:
    return CodecCard(
        id="X2",
        name="probe",
        title="Probe",
        paper="none",
        sample_rate=8_000,
        hop_length=hop_length,
        codebooks=CODEBOOKS,
        codebook_size=1024,
        padding="none",
        code_licence="MIT",
        weights_licence="none",
        training_data="none",
    )


class Probe(CodecAdapter):
    """Hop 1: codes that are all zero but in ``changed`` frames, where TF32 changes the last of the codebooks."""

    card = card(hop_length=1)
    changed = 0

    def load(self, checkpoint, network=None):
        raise NotImplementedError

    def reconstruct(self, waves):
        return waves

    def codes(self, waves):
        codes = torch.zeros(len(waves), CODEBOOKS, waves.shape[1], dtype=torch.int64)
        if torch.backends.cudnn.allow_tf32:
            codes[:, -1, : self.changed] = 1
        return codes


class SearchOnly(CodecAdapter):
    """A network whose encoder has nothing to lower, so that only a lowered search could change its codes."""

    card = card(hop_length=16)

    def load(self, checkpoint, network=None):
        torch.manual_seed(0)
        self.network = nn.Module()
        self.network.quantizer = ResidualVectorQuantizer(CODEBOOKS, 1024, 16)
        self.network.quantizer.codebooks.normal_()

    def reconstruct(self, waves):
        return waves

    def codes(self, waves):
        return self.network.quantizer.encode(waves.unflatten(1, (-1, 16)).transpose(1, 2))


class LibrarySearchOnly(SearchOnly):
    """The same with a quantiser of `transformers`, which is called instead of its ``encode``."""

    def load(self, checkpoint, network=None):
        from transformers import DacConfig, DacModel

        torch.manual_seed(0)
        sizes = DacConfig(
            encoder_hidden_size=8, decoder_hidden_size=16, downsampling_ratios=[2], upsampling_ratios=[2]
        )
        sizes.hidden_size, sizes.n_codebooks = 16, CODEBOOKS
        self.network = nn.Module()
        self.network.quantizer = DacModel(sizes).eval().quantizer

    def codes(self, waves):
        return self.network.quantizer(waves.unflatten(1, (-1, 16)).transpose(1, 2))[1]


def noise(adapter: CodecAdapter, samples: int) -> list:
    wave = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    return [adapter.prepare(part, adapter.card.sample_rate) for part in np.array_split(wave, 2)]


@pytest.fixture
def with_tf32(monkeypatch):
    """Reads the setting that a GPU with TF32 would obey."""
    monkeypatch.setattr(precision, "has_tf32", lambda device: True)


@pytest.mark.parametrize("kind", [SearchOnly, LibrarySearchOnly])
def test_the_search_for_codewords_stays_float32(kind):
    adapter = kind("cpu")
    adapter.load(None)
    waves = noise(adapter, 2 * 16 * 500)
    with torch.inference_mode():
        wave = torch.from_numpy(waves[0].wave)[None]
        expected = adapter.codes(wave)
        with torch.autocast("cpu", torch.bfloat16):
            assert (adapter.codes(wave) != expected).any(), "bfloat16 in the search would show"
        assert codes_kept(adapter, waves, "bf16") == 1
        with torch.autocast("cpu", torch.bfloat16):
            assert (adapter.codes(wave) != expected).any(), "the network is as it was"


def test_bfloat16_does_not_keep_the_codes_of_real_speech(shared):
    clips = sorted((shared / "corpora" / "VCTK-Corpus-0.92").rglob("*.flac"))[:3]
    adapter = load_codec("F04", find_checkpoint(find_codec("F04").card, "mini"), "cpu")
    waves = [adapter.prepare(*soundfile.read(clip, dtype="float32", always_2d=True)) for clip in clips]
    assert 0.1 < codes_kept(adapter, waves, "bf16") < 0.9


@pytest.mark.parametrize(("changed", "used"), [(0, "tf32"), (2, "tf32"), (3, "float32")])
def test_999_frames_of_1000_have_to_keep_all_their_codes(with_tf32, changed, used):
    adapter = Probe("cpu")
    adapter.changed = changed
    found = settle_precision(adapter, "tf32", noise(adapter, 4000))
    assert found == Precision(used, 1 - 2 * changed / 4000, 4000)
    assert codes_kept(adapter, noise(adapter, 4000), "tf32") == found.codes_kept
    assert found.in_words == f"{used}: tf32 keeps the codes of {100 * found.codes_kept:.2f} % of 4,000 frames"


@pytest.mark.parametrize("samples", [998, 0])
def test_too_little_speech_proves_nothing(with_tf32, samples):
    adapter = Probe("cpu")
    waves = noise(adapter, samples) if samples else []
    assert settle_precision(adapter, "tf32", waves).used == "float32"


def test_float32_stays_where_nothing_can_be_measured(with_tf32, outside):
    adapter = load_codec("X1", find_checkpoint(find_codec("X1").card, str(outside.weights)), "cpu")
    assert settle_precision(adapter, "tf32", noise(adapter, 8_000)) == Precision("float32")
    with pytest.raises(NotImplementedError):
        codes_kept(adapter, noise(adapter, 8_000), "tf32")


def test_float32_stays_where_there_is_no_tf32_or_nobody_wants_it(monkeypatch):
    adapter = Probe("cpu")
    waves = noise(adapter, 4000)
    monkeypatch.setattr(adapter, "codes", lambda waves: pytest.fail("nothing has to be measured"))
    assert settle_precision(adapter, "tf32", waves) == Precision("float32")
    monkeypatch.setattr(precision, "has_tf32", lambda device: True)
    assert settle_precision(adapter, "float32", waves).in_words == "float32"


@pytest.fixture(params=[True, False])
def process_default(request):
    """What a caller may have set before."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = request.param
    yield request.param
    cudnn.allow_tf32, matmul.allow_tf32 = before


def test_tf32_is_for_convolutions_alone_and_for_the_block_alone(process_default):
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    for how, in_convolutions in (("tf32", True), ("float32", False)):
        with pytest.raises(ValueError, match="inside"), lowered(how):
            assert (cudnn.allow_tf32, matmul.allow_tf32) == (in_convolutions, False)
            raise ValueError("inside")
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (process_default, process_default)


def test_the_codes_compared_with_are_those_of_float32(process_default, with_tf32):
    adapter = Probe("cpu")
    adapter.changed = 100
    assert codes_kept(adapter, noise(adapter, 4000), "tf32") == 1 - 2 * 100 / 4000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("codec_id", ["F04", "F06"])
def test_on_a_gpu_what_is_used_is_what_was_measured(codec_id):
    from codecfake.codec_adapters.contract_probe import speech_like

    adapter = load_codec(codec_id, find_checkpoint(find_codec(codec_id).card, "mini"), "cuda")
    rate = adapter.card.sample_rate
    waves = [adapter.prepare(speech_like(4.0, rate, seed), rate) for seed in range(6)]
    found = settle_precision(adapter, "tf32", waves)
    if precision.has_tf32("cuda"):
        assert found.codes_kept == codes_kept(adapter, waves, "tf32")
        assert (found.used == "tf32") == (found.codes_kept >= 0.999)
    assert codes_kept(adapter, waves, "bf16") < 0.999
