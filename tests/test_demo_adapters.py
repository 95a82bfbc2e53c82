"""Two codecs beyond the papers': Mimi in the package, X-Codec in a package outside, 40 lines each at most."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from outside_codec import lay_out
from safetensors.torch import save_file
from speech import voice

from codecfake.codec_adapters import CodecAdapter, CodecError, find_codec
from codecfake.codec_adapters.codecs import mimi
from codecfake.codec_adapters.contract import check_adapter

OUTSIDE = Path(__file__).with_name("outside_codec_package")
NARROW_MIMI = {
    "num_filters": 4,
    "hidden_size": 32,
    "codebook_dim": 16,
    "vector_quantization_hidden_dimension": 16,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "upsample_groups": 32,
}
NARROW_XCODEC = {
    "acoustic_model_config": {
        "model_type": "dac",
        "encoder_hidden_size": 4,
        "decoder_hidden_size": 32,
        "hidden_size": 16,
    },
    "semantic_model_config": {
        "model_type": "hubert",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": [16] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
    },
}


@pytest.fixture
def xcodec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[CodecAdapter]]:
    monkeypatch.syspath_prepend(lay_out(OUTSIDE, tmp_path / "site"))
    yield find_codec("xcodec")
    sys.modules.pop("codecfake_xcodec", None)


def narrowed(family: type[CodecAdapter], sizes: dict) -> CodecAdapter:
    """The codec with a network of reduced width and random weights."""
    card = replace(family.card, network={**family.card.network, **sizes})
    adapter = type(family.__name__, (family,), {"card": card})()
    adapter.load_random()
    return adapter


def failures(adapter: CodecAdapter) -> dict[str, str]:
    results = check_adapter(adapter, trained=False)
    return {result.name: result.found for result in results if result.ok is False}


@pytest.mark.parametrize("path", [Path(mimi.__file__), OUTSIDE / "codecfake_xcodec.py"])
def test_an_adapter_takes_at_most_40_lines(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_mimi_keeps_the_contract_and_its_claim_of_exact_padding():
    adapter = narrowed(find_codec("mimi"), NARROW_MIMI)
    assert adapter.card.batches == "right padding exact"
    assert failures(adapter) == {}


def test_xcodec_keeps_the_contract_from_outside_and_its_lengths_must_not_be_mixed(xcodec):
    adapter = narrowed(xcodec, NARROW_XCODEC)
    assert failures(adapter) == {}
    results = {result.name: result.found for result in check_adapter(adapter, trained=False)}
    changed = re.search(r"(\d+) of 30 frames", results["padding"])
    assert int(changed[1]) > 15


def test_the_figures_are_those_of_the_papers(xcodec):
    cards = find_codec("mimi").card, xcodec.card
    assert [card.kilobits_per_second for card in cards] == [1.1, 4.0]
    assert [card.frame_rate for card in cards] == [12.5, 50.0]


def test_mimi_gives_what_the_model_of_transformers_gives():
    adapter = narrowed(find_codec("mimi"), NARROW_MIMI)
    wave = voice(0.48, 24_000, 1)
    with torch.inference_mode():
        expected = adapter.network(torch.from_numpy(wave)[None, None], num_quantizers=8).audio_values[0, 0]
    np.testing.assert_array_equal(adapter.resynthesize([wave], 24_000)[0], expected.numpy())


def test_xcodec_gives_what_the_model_of_transformers_gives(xcodec):
    adapter = narrowed(xcodec, NARROW_XCODEC)
    wave = voice(0.4, 16_000, 1)
    with torch.inference_mode():
        expected = adapter.network(torch.from_numpy(wave)[None, None], bandwidth=4).audio_values[0, 0]
    np.testing.assert_array_equal(adapter.resynthesize([wave], 16_000)[0], expected.numpy())


def published_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As kyutai/mimi has them, which older releases of transformers kept."""
    rules = [
        (r"^encoder\.encoder_seanet\.", "encoder."),
        (r"^decoder\.decoder_seanet\.", "decoder."),
        (r"^encoder\.(encoder_transformer|downsample)\.", r"\1."),
        (r"^decoder\.(decoder_transformer|upsample)\.", r"\1."),
    ]
    for pattern, replacement in rules:
        tensors = {re.sub(pattern, replacement, name): tensor for name, tensor in tensors.items()}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def test_the_published_file_is_read_strictly(tmp_path: Path):
    adapter = narrowed(find_codec("mimi"), NARROW_MIMI)
    wave = voice(0.3, 24_000, 2)
    expected = adapter.resynthesize([wave], 24_000)[0]
    tensors = published_names(adapter.network.state_dict())
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    adapter.load(tmp_path)
    np.testing.assert_array_equal(adapter.resynthesize([wave], 24_000)[0], expected)

    save_file({**tensors, "stranger": torch.zeros(1)}, path)
    with pytest.raises(CodecError, match="unexpected keys: stranger"):
        adapter.load(tmp_path)
    name = "encoder.layers.0.conv.weight"
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, path)
    with pytest.raises(CodecError, match=r"missing keys: .*layers\.0\.conv\.weight"):
        adapter.load(tmp_path)
    save_file({**tensors, name: torch.zeros(4, 1, 5)}, path)
    with pytest.raises(CodecError, match=r"mismatched keys: .*layers\.0\.conv\.weight"):
        adapter.load(tmp_path)
