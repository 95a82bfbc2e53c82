"""The packages of the codecs' authors: why one cannot be used, and the same audio from one that can."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from codecfake.codec_adapters import CodecAdapter, CodecError, find_codec
from codecfake.codec_adapters.backends import (
    UpstreamPackage,
    availability,
    upstream_adapter,
    upstream_package,
)
from codecfake.codec_adapters.nn.quantization import ResidualVectorQuantizer
from codecfake.codec_adapters.presets import PRESETS

PACKAGE = UpstreamPackage(name="shipped-codec", module="shipped_codec", extra="shipped")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Install a distribution of one module, as pip would leave it."""
    modules = []

    def install(
        source: str, name: str = PACKAGE.name, module: str = PACKAGE.module, version: str = "1.0"
    ) -> None:
        facts = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, module, raising=False)
        modules.append(module)
        importlib.invalidate_caches()

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def test_every_codec_of_a_named_package_leads_to_it():
    found = {codec_id: upstream_package(codec_id) for ids in PRESETS.values() for codec_id in ids}
    names = {codec_id: package.name for codec_id, package in found.items() if package}
    assert {"F02", "A"} == {codec_id for codec_id, name in names.items() if name == "speechtokenizer"}
    assert {"F04", "C4-1", "C4-2", "C4-3", "E"} == {key for key, name in names.items() if name == "encodec"}
    assert {"F05", "C"} == {codec_id for codec_id, name in names.items() if name == "audiodec"}
    assert {"F07", "D1", "D2", "D3"} == {key for key, name in names.items() if name == "descript-audio-codec"}
    assert len([name for name in names.values() if name == "funcodec"]) == 11
    assert {codec_id for codec_id, package in found.items() if package is None} == {
        "F01",
        "F06",
        "B1",
        "B2",
        "B3",
    }


def test_a_package_that_is_not_installed_says_how_it_would_be():
    assert availability(PACKAGE) == "not installed: pip install 'codecfake[shipped]'"


@pytest.mark.parametrize("codec_id", ["F03", "F1", "F05"])
def test_a_package_that_cannot_be_installed_says_why(codec_id: str):
    reason = availability(upstream_package(codec_id))
    assert reason.startswith("cannot be installed: ")
    with pytest.raises(
        CodecError, match=f"{codec_id}: --backend upstream needs the package .*, cannot be installed"
    ):
        upstream_adapter(find_codec(codec_id))


def test_a_package_that_is_there_is_available(installed: Callable):
    installed("import warnings\nwarnings.warn('old torch', FutureWarning)\n")
    assert availability(PACKAGE) == ""


def test_an_import_that_fails_is_told_with_its_error(installed: Callable):
    installed("raise RuntimeError('libcodec.so is missing\\nand more')\n")
    assert availability(PACKAGE) == (
        "installed, but importing shipped_codec fails with RuntimeError: libcodec.so is missing"
    )


def test_a_torchaudio_for_another_torch_is_told_with_the_one_that_fits(installed: Callable):
    installed("", "torchaudio", "torchaudio", version="2.11.0")
    installed("raise OSError('Could not load this library: _torchaudio.abi3.so')\n")
    reason = availability(PACKAGE)
    assert (
        "OSError: Could not load this library: _torchaudio.abi3.so; torchaudio 2.11.0 does not fit torch"
        in reason
    )
    assert "pip install 'torch==2.11.*' 'torchaudio==2.11.*'" in reason


def test_a_codec_without_a_package_says_so():
    with pytest.raises(CodecError, match=r"F01 .* has no package of its authors"):
        upstream_adapter(find_codec("F01"))


def usable(codec_id: str) -> type[CodecAdapter]:
    reason = availability(upstream_package(codec_id))
    if reason:
        pytest.skip(f"{upstream_package(codec_id).name}: {reason}")
    return upstream_adapter(find_codec(codec_id))


def spread(codebooks: list[torch.Tensor], latents: torch.Tensor) -> None:
    """Fill codebooks of shape (N, D) with random codewords where the latents' residuals are."""
    drawn = ResidualVectorQuantizer(len(codebooks), *codebooks[0].shape)
    drawn.draw_codebooks(latents, torch.Generator().manual_seed(0))
    for codebook, drawn_codebook in zip(codebooks, drawn.codebooks, strict=True):
        codebook.copy_(drawn_codebook)


def encodec_network() -> nn.Module:
    from encodec import EncodecModel

    network = EncodecModel.encodec_model_24khz(pretrained=False)
    layers = [layer._codebook for layer in network.quantizer.vq.layers]
    for layer in layers:
        layer.inited.fill_(1)
    spread([layer.embed for layer in layers], network.encoder(0.1 * torch.randn(1, 1, 24_000)))
    return network


def speechtokenizer_network(settings: dict) -> nn.Module:
    from speechtokenizer import SpeechTokenizer

    network = SpeechTokenizer(settings).eval()
    layers = [layer._codebook for layer in network.quantizer.vq.layers]
    for layer in layers:
        layer.inited.fill_(1)
    spread([layer.embed for layer in layers], network.encoder(0.1 * torch.randn(1, 1, 16_000)))
    return network


SPEECHTOKENIZER_SETTINGS = {
    "n_filters": 64,
    "strides": [8, 5, 4, 2],
    "dimension": 1024,
    "semantic_dimension": 768,
    "bidirectional": True,
    "dilation_base": 2,
    "residual_kernel_size": 3,
    "n_residual_layers": 1,
    "lstm_layers": 2,
    "activation": "ELU",
    "codebook_size": 1024,
    "n_q": 8,
    "sample_rate": 16_000,
}


def save_official(codec_id: str, folder: Path) -> None:
    """Save random weights of the published size as the authors publish theirs."""
    from codecfake.codec_adapters.codecs.speechtokenizer import SETTINGS, WEIGHTS

    card = find_codec(codec_id).card
    path = folder / card.checkpoint.files[0].path
    path.parent.mkdir(parents=True, exist_ok=True)
    if codec_id == "F04":
        torch.save(encodec_network().state_dict(), path)
    elif codec_id == "F02":
        (folder / WEIGHTS).with_name(SETTINGS).write_text(json.dumps(SPEECHTOKENIZER_SETTINGS))
        torch.save(speechtokenizer_network(SPEECHTOKENIZER_SETTINGS).state_dict(), folder / WEIGHTS)
    else:
        from dac import DAC

        sizes = card.network
        network = DAC(
            encoder_rates=sizes["downsampling_ratios"],
            decoder_rates=sizes["upsampling_ratios"],
            n_codebooks=card.codebooks,
            sample_rate=card.sample_rate,
        )
        network.save(path, package=False)


@pytest.mark.parametrize("codec_id", ["F02", "F04", "F07", "D1"])
def test_both_backends_give_the_same_codes_and_the_same_wave(codec_id: str, tmp_path: Path):
    theirs = usable(codec_id)()
    ours = find_codec(codec_id)()
    torch.manual_seed(0)
    with torch.inference_mode():
        save_official(codec_id, tmp_path)
        ours.load(tmp_path)
        theirs.load(tmp_path)
        waves = 0.1 * torch.randn(2, ours.padded_length(ours.card.sample_rate // 2))
        assert torch.equal(ours.codes(waves), theirs.codes(waves))
        assert ours.codes(waves).unique().numel() > 40
        expected, found = theirs.reconstruct(waves), ours.reconstruct(waves)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_packages_network_takes_official_weights_alone(tmp_path: Path):
    adapter = usable("F07")()
    with pytest.raises(CodecError, match="--weights official"):
        adapter.load(tmp_path / "F07.safetensors", {"n_codebooks": 9})
    with pytest.raises(CodecError, match=r"weights\.pth is not there"):
        adapter.load(tmp_path)
    with pytest.raises(CodecError, match="no random weights"):
        adapter.load_random()
