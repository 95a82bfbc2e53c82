"""Descript Audio Codec: read from either published format, and as long as its input whatever its strides."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from codecfake.codec_adapters import CodecAdapter, CodecError, find_codec
from codecfake.codec_adapters.checkpoints import Tensors

IDS = ("F07", "D1", "D2")


def reduced(codec_id: str) -> CodecAdapter:
    """An adapter whose published network is narrow, with the true strides and codebooks."""
    family = find_codec(codec_id)
    network = {**family.card.network, "encoder_hidden_size": 4, "decoder_hidden_size": 32}
    return type("Reduced", (family,), {"card": replace(family.card, network=network)})()


def random_network(adapter: CodecAdapter) -> Tensors:
    torch.manual_seed(0)
    network = adapter.build(adapter.card.network)
    for name, parameter in network.named_parameters():
        with torch.no_grad():
            if "codebook" in name:
                parameter.normal_()
            elif name.endswith("weight"):
                parameter.normal_(std=parameter[0].numel() ** -0.5)
            elif name.endswith("alpha"):
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.uniform_(-0.1, 0.1)
    return network.state_dict()


def official_layers() -> Iterator[tuple[str, str]]:
    """Layers as the authors number them, and what `transformers` calls them."""
    unit = {"block.0": "snake1", "block.1": "conv1", "block.2": "snake2", "block.3": "conv2"}
    encoder = {f"block.{n}.{inner}": f"res_unit{n + 1}.{unit[inner]}" for n in range(3) for inner in unit}
    decoder = {f"block.{n + 2}.{inner}": f"res_unit{n + 1}.{unit[inner]}" for n in range(3) for inner in unit}
    encoder |= {"block.3": "snake1", "block.4": "conv1"}
    decoder |= {"block.0": "snake1", "block.1": "conv_t1"}
    for block in range(4):
        yield from (
            (f"encoder.block.{block + 1}.{a}", f"encoder.block.{block}.{b}") for a, b in encoder.items()
        )
        yield from (
            (f"decoder.model.{block + 1}.{a}", f"decoder.block.{block}.{b}") for a, b in decoder.items()
        )
    for number, name in ((0, "conv1"), (5, "snake1"), (6, "conv2")):
        yield f"encoder.block.{number}", f"encoder.{name}"
        yield f"decoder.model.{number}", f"decoder.{name}"


def official_tensors(tensors: Tensors) -> Tensors:
    """The tensors of `transformers` under the authors' names, weight norm undone."""
    names = {ours: official for official, ours in official_layers()}
    official = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        layer = names.get(layer, layer)
        if kind == "weight" and "codebook" not in layer:
            length = tensor.flatten(1).norm(dim=1)[:, None, None]
            official |= {f"{layer}.weight_v": 0.5 * tensor / length, f"{layer}.weight_g": length}
        else:
            official[f"{layer}.{kind}"] = tensor
    return official


def arguments(adapter: CodecAdapter) -> dict:
    """How the authors' package built the network, as it writes it down."""
    network = adapter.card.network
    return {
        "encoder_dim": 4,
        "encoder_rates": network["downsampling_ratios"],
        "latent_dim": 64,
        "decoder_dim": 32,
        "decoder_rates": network["upsampling_ratios"],
        "n_codebooks": adapter.card.codebooks,
        "codebook_size": 1024,
        "codebook_dim": 8,
        "quantizer_dropout": 0.5,
        "sample_rate": adapter.card.sample_rate,
    }


def save_official(adapter: CodecAdapter, folder: Path, tensors: Tensors, **changed: object) -> Path:
    path = folder / adapter.card.checkpoint.files[0].path
    metadata = {"kwargs": arguments(adapter) | changed}
    torch.save({"state_dict": official_tensors(tensors), "metadata": metadata}, path)
    return path


@pytest.fixture(scope="module", params=IDS)
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CodecAdapter:
    adapter = reduced(request.param)
    adapter.load(save_official(adapter, tmp_path_factory.mktemp("dac"), random_network(adapter)))
    return adapter


def waves(batch: int, samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0))


def test_the_cards_have_the_papers_figures():
    figures = {}
    for codec_id in ("F07", "D1", "D2", "D3"):
        card = find_codec(codec_id).card
        figures[codec_id] = (card.sample_rate, card.codebooks, card.kilobits_per_second, card.stated_kbps)
        assert card.network["n_codebooks"] == card.codebooks
        assert torch.tensor(card.network["upsampling_ratios"]).prod() == card.hop_length
    assert figures.pop("F07") == figures.pop("D3") == (44_100, 9, 7.751953125, 8.0)
    assert figures == {"D1": (16_000, 12, 6.0, None), "D2": (24_000, 32, 24.0, None)}


def test_both_published_formats_give_the_same_network(adapter: CodecAdapter, tmp_path: Path):
    tensors = random_network(adapter)
    save_file(tensors, tmp_path / "model.safetensors")
    other = reduced(adapter.card.id)
    other.load(tmp_path)
    found = adapter.network.state_dict()
    assert found.keys() == tensors.keys() == other.network.state_dict().keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(found[name], tensor)
    wave = waves(1, 20 * adapter.card.hop_length)
    assert torch.equal(adapter.codes(wave), other.codes(wave))


def test_the_authors_file_is_taken_where_both_are_there(tmp_path: Path):
    adapter = reduced("D1")
    tensors = random_network(adapter)
    save_official(adapter, tmp_path, tensors)
    save_file({name: 0 * tensor for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    adapter.load(tmp_path)
    assert adapter.network.encoder.conv1.weight.any()


def test_a_wave_of_any_length_comes_back_in_its_length(adapter: CodecAdapter):
    hop = adapter.card.hop_length
    for samples in (1, hop - 9, hop - 8, hop - 7, hop - 1, hop, hop + 1, 3 * hop, 7 * hop + 77):
        padded = waves(1, adapter.padded_length(samples))
        output = adapter.reconstruct(padded)
        assert output.shape == padded.shape
        assert output[0, :samples].all(), "a part of the utterance is not the decoder's"
        assert adapter.codes(padded).shape[2] == adapter.frames(samples, adapter.card.sample_rate)
        (found,) = adapter.resynthesize([waves(1, samples)[0].numpy()], adapter.card.sample_rate)
        assert found.shape == (samples,)


def test_only_a_decoder_with_an_odd_stride_needs_room():
    assert [find_codec("F07")().padded_length(samples) for samples in (1, 512, 513)] == [512, 512, 1024]
    assert [find_codec("D1")().padded_length(samples) for samples in (1, 312, 313, 632)] == [
        320,
        320,
        640,
        640,
    ]


def test_a_batch_gives_the_codes_and_waves_of_single_runs(adapter: CodecAdapter):
    batch = waves(3, 60 * adapter.card.hop_length)
    codes, output = adapter.codes(batch), adapter.reconstruct(batch)
    assert all(codes[:, book].unique().numel() > 15 for book in range(adapter.card.codebooks))
    for index in range(3):
        single = batch[index : index + 1]
        assert (adapter.codes(single)[0] == codes[index]).double().mean() >= 0.999
        noise = adapter.reconstruct(single)[0] - output[index]
        assert noise.square().mean() <= 1e-6 * output[index].square().mean(), "below 60 dB"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_codebooks", 18),
        ("latent_dim", 128),
        ("encoder_rates", [2, 4, 8, 8]),
        ("sample_rate", 24_000),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, name: str, value: object):
    adapter = reduced("D1")
    save_official(adapter, tmp_path, random_network(adapter), **{name: value})
    with pytest.raises(CodecError, match=rf"weights_16khz\.pth sets {name} to"):
        adapter.load(tmp_path)


def test_what_the_authors_left_open_or_need_for_training_alone_is_no_obstacle(tmp_path: Path):
    adapter = reduced("D1")
    other = {"latent_dim": None, "encoder_rates": (2, 4, 5, 8), "quantizer_dropout": 1.0, "lr": 1e-4}
    adapter.load(save_official(adapter, tmp_path, random_network(adapter), **other))


def test_a_file_without_its_metadata_is_refused(tmp_path: Path):
    torch.save({"state_dict": {}}, tmp_path / "weights.pth")
    with pytest.raises(CodecError, match="has no 'metadata'"):
        find_codec("F07")().load(tmp_path)
    with pytest.raises(CodecError, match=r"weights_24khz\.pth is not there"):
        find_codec("D2")().load(tmp_path)


def test_keys_must_fit_one_by_one(tmp_path: Path):
    adapter = reduced("F07")
    tensors = random_network(adapter)
    less = {name: tensor for name, tensor in tensors.items() if name != "decoder.block.2.conv_t1.bias"}
    with pytest.raises(CodecError, match=r"missing: decoder\.block\.2\.conv_t1\.bias"):
        adapter.load(save_official(adapter, tmp_path, less))
    more = tensors | {"discriminator.weight": torch.ones(2, 2, 2)}
    with pytest.raises(CodecError, match=r"unexpected: discriminator\.weight"):
        adapter.load(save_official(adapter, tmp_path, more))
    wider = tensors | {"quantizer.quantizers.3.codebook.weight": torch.ones(1024, 9)}
    with pytest.raises(
        CodecError, match=r"quantizers\.3\.codebook\.weight \(1024, 9\) instead of \(1024, 8\)"
    ):
        adapter.load(save_official(adapter, tmp_path, wider))
