"""The self-supervised front ends: the full network's hidden state, and weights that are what they say."""

import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from file_server import serving_hub
from safetensors.torch import save_file

from codecfake.detector.front_ends import (
    build_front_end,
    describe_front_end,
    front_end_warning,
    self_supervised,
)
from codecfake.detector.front_ends.checkpoints import find_weights
from codecfake.detector.front_ends.cpu_kernels import use_cpu_kernels
from codecfake.detector.front_ends.encoders import ENCODERS, LAYER, Encoder
from codecfake.detector.front_ends.self_supervised import (
    SelfSupervisedFrontEnd,
    build_self_supervised,
    fold_weight_norm,
    normalise_waves,
)
from codecfake.detector.front_ends.tensors import NOT_NEEDED, load_weights
from codecfake.manifests.errors import CodecfakeError

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
NAMES = list(ENCODERS)


def small(name: str, **changes: object) -> Encoder:
    return replace(ENCODERS[name], config={**ENCODERS[name].config, **SMALL}, **changes)


def full_network(encoder: Encoder, layers: int) -> torch.nn.Module:
    """The network as a user of transformers has it, with random weights that are not near zero."""
    config = encoder.config_class()(**encoder.config, num_hidden_layers=layers, output_hidden_states=True)
    with torch.device("meta"):
        network = getattr(transformers, f"{encoder.class_name}Model")(config)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(1)
    for values in network.state_dict().values():
        size = values[0].numel() ** -0.5 if values.ndim > 1 else 0.5
        values.uniform_(-1.7 * size, 1.7 * size, generator=generator)
    return network.eval()


def official_file(encoder: Encoder, folder: Path, name: str = "pytorch_model.bin") -> torch.nn.Module:
    """Write what the hub holds: a pre-training checkpoint, with heads and the older names of weight norm."""
    network = full_network(encoder, layers=LAYER + 2)
    state = {f"{encoder.prefix}{key}": value for key, value in network.state_dict().items()}
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        place = f"{encoder.prefix}encoder.pos_conv_embed.conv."
        state[place + old] = state.pop(f"{place}parametrizations.weight.{new}")
    state |= {"quantizer.codevectors": torch.zeros(3), "project_q.weight": torch.zeros(3)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(network.config.to_dict()))
    if name.endswith(".bin"):
        torch.save(state, folder / name)
    else:
        save_file(state, folder / name)
    return network


def waves(count: int) -> torch.Tensor:
    """Shape (count, 64600), with an offset and a level of their own."""
    generator = torch.Generator().manual_seed(2)
    levels = torch.linspace(0.02, 0.3, count)[:, None]
    return levels * torch.randn(count, 64_600, generator=generator) + 0.1 * levels


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("name", NAMES)
def test_five_layers_give_the_hidden_state_of_the_full_network(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = small(name)
    full = official_file(encoder, tmp_path, file)
    quick = build_self_supervised(encoder, str(tmp_path), "cpu", None)
    with monkeypatch.context() as patch:
        patch.setattr(self_supervised, "use_cpu_kernels", lambda _network: None)
        front_end = build_self_supervised(encoder, str(tmp_path), "cpu", None)
    assert len(front_end.encoder.encoder.layers) == 5
    for count in (1, 2, 6):  # six go through in two parts
        batch = waves(count)
        features = front_end(batch)
        with torch.no_grad():
            states = full(normalise_waves(batch)).hidden_states
        assert features.shape == (count, 1, 32, 201)
        assert torch.equal(features[:, 0], states[5].transpose(1, 2))
        assert not torch.equal(states[5], states[4]) and len(states) == 8
        assert (quick(batch) - features).abs().max() < 2e-5 * features.std()
    digest = hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
    assert front_end.weights_sha256 == quick.weights_sha256 == digest


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_so_do_they_at_the_published_size(name: str) -> None:
    """2 GB and half a minute each."""
    encoder = ENCODERS[name]
    full = full_network(encoder, layers=24)
    with torch.device("meta"):
        network = encoder.build()
    wanted = network.state_dict().keys()
    state = {key: value for key, value in full.state_dict().items() if key in wanted}
    network.load_state_dict(state, assign=True)
    fold_weight_norm(network)
    front_end = SelfSupervisedFrontEnd(network, "")
    batch = waves(2)
    with torch.no_grad():
        states = full(normalise_waves(batch)).hidden_states
    assert len(states) == 25
    features = front_end(batch)
    assert features.shape == (2, 1, *front_end.output_shape)
    assert torch.equal(features[:, 0], states[5].transpose(1, 2))
    use_cpu_kernels(network)
    quick = front_end(batch)
    assert (quick - features).abs().max() < 2e-5 * features.std()


def test_waves_are_normalised_as_the_feature_extractor_does_it() -> None:
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    batch = waves(3)
    expected = extractor(list(batch.numpy()), sampling_rate=16_000, return_tensors="pt").input_values
    assert torch.equal(normalise_waves(batch), expected)
    on_another_device = (batch - batch.mean(1, keepdim=True)) / torch.sqrt(
        batch.var(1, correction=0, keepdim=True) + 1e-7
    )
    torch.testing.assert_close(expected, on_another_device, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_tiny_stands_in_with_the_same_shape_and_says_so(name: str) -> None:
    description = describe_front_end(name, weights="tiny")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    front_end = build_front_end(description)
    assert torch.equal(torch.get_rng_state(), before)
    features = front_end(waves(2))
    assert front_end.output_shape == features.shape[2:] == (1024, 201)
    torch.manual_seed(6)
    again = build_front_end(description)
    assert again.weights_sha256 == front_end.weights_sha256
    assert torch.equal(again(waves(2)), features)
    assert 0.3 < features.std() < 10
    assert name in front_end_warning(description)
    assert front_end_warning(describe_front_end(name)) is None


def test_nothing_in_a_front_end_is_trained_or_saved() -> None:
    front_end = build_front_end(describe_front_end("wavlm-large", weights="tiny"))
    batch = waves(1)
    features = front_end(batch)
    assert not list(front_end.parameters()) and not front_end.state_dict()
    assert not features.requires_grad
    front_end.train()
    assert torch.equal(front_end(batch), features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(front_end(batch), features)


def test_the_encoder_moves_with_the_front_end() -> None:
    front_end = build_front_end(describe_front_end("xls-r-300m", weights="tiny")).to("meta")
    devices = {value.device.type for value in front_end.encoder.parameters()}
    assert devices == {"meta"}


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_the_residual_stream_stays_float32(name: str) -> None:
    front_end = build_front_end(describe_front_end(name, weights="tiny"))
    batch = normalise_waves(waves(2))
    sums = []
    for layer in front_end.encoder.encoder.layers:
        layer.register_forward_pre_hook(lambda _layer, inputs: sums.append(inputs[0].dtype))
    with torch.no_grad():
        exact = front_end.encoder(batch).last_hidden_state
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = front_end.encoder(batch).last_hidden_state
    assert set(sums) == {torch.float32}
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_features_agree_within_bfloat16(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    description = describe_front_end(name, weights="tiny")
    exact = build_front_end(description)(waves(3))
    front_end = build_front_end(description, "cuda")
    rounded = front_end(waves(3).cuda()).cpu()
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() < 0.05 * exact.norm()
    front_end.mixed_precision = False
    assert front_end.precision == "float32"
    assert (front_end(waves(3).cuda()).cpu() - exact).norm() < 0.002 * exact.norm()


def test_what_the_full_network_has_beyond_is_left_and_nothing_else() -> None:
    left = [
        "quantizer.codevectors",
        "project_hid.bias",
        "encoder.layer_norm.weight",
        "encoder.layers.23.x",
        "masked_spec_embed",
    ]
    assert all(NOT_NEEDED.match(name) for name in left)
    assert not NOT_NEEDED.match("feature_projection.layer_norm.weight")


def test_incomplete_and_strange_checkpoints_are_refused_by_tensor(tmp_path: Path) -> None:
    encoder = small("xls-r-300m")
    official_file(encoder, tmp_path)
    path = tmp_path / "pytorch_model.bin"
    complete = torch.load(path, weights_only=True)
    name = "wav2vec2.encoder.layers.4.attention.k_proj.weight"
    for problem, state in (
        ("lacks 1 tensors", {key: value for key, value in complete.items() if key != name}),
        ("holds in another shape 1 tensors", complete | {name: torch.zeros(2, 2)}),
        (
            "holds beside what the network has 1 tensors",
            complete | {"wav2vec2.encoder.layers.4.x": torch.zeros(1)},
        ),
        ("holds beside what the network has 1 tensors", complete | {"classifier.weight": torch.zeros(1)}),
    ):
        torch.save(state, path)
        with pytest.raises(CodecfakeError, match=problem) as caught:
            load_weights(encoder.build(), path, encoder)
        assert "hf download facebook/wav2vec2-xls-r-300m" in caught.value.next_step


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_malicious_and_damaged_files_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    encoder = small("xls-r-300m")
    torch.save({"x": Malicious(tmp_path / "ran")}, tmp_path / "malicious.bin")
    torch.save([torch.zeros(1)], tmp_path / "list.bin")
    (tmp_path / "text.bin").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name in ("malicious.bin", "list.bin", "text.bin", "text.safetensors"):
        with pytest.raises(CodecfakeError, match=f"{name} is no state dict"):
            load_weights(encoder.build(), tmp_path / name, encoder)
    assert not (tmp_path / "ran").exists()


def test_folders_without_weights_or_of_another_network_are_refused(tmp_path: Path) -> None:
    encoder = small("wavlm-large")
    with pytest.raises(CodecfakeError, match="holds no weights of wavlm-large") as caught:
        find_weights(encoder, str(tmp_path))
    assert f"--local-dir {tmp_path}" in caught.value.next_step
    official_file(encoder, tmp_path)
    with pytest.raises(CodecfakeError) as caught:
        find_weights(ENCODERS["wavlm-large"], str(tmp_path))
    assert "hidden_size" in caught.value.what and "asked for now" in caught.value.what
    (tmp_path / "config.json").write_text("<html>")
    with pytest.raises(CodecfakeError, match=r"config.json is no configuration"):
        find_weights(encoder, str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(CodecfakeError, match=r"config.json is not there"):
        find_weights(encoder, str(tmp_path))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_official_weights_are_downloaded_once_and_verified(
    tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official_file(small("xls-r-300m"), tmp_path)
    content = (tmp_path / "pytorch_model.bin").read_bytes()
    encoder = small("xls-r-300m", sha256=hashlib.sha256(content).hexdigest())
    address = f"{encoder.repository}/resolve/{encoder.revision}/{encoder.filename}"
    with serving_hub(monkeypatch) as site:
        site.commit = encoder.revision
        site.files[address] = content[:-1] + b"?"
        with pytest.raises(CodecfakeError, match="it was not kept"):
            find_weights(encoder, "official")
        site.files[address] = content
        path, digest = find_weights(encoder, "official")
        assert digest == encoder.sha256
        assert path.is_relative_to(hub_cache) and path.read_bytes() == content
        downloads = [path for path, _ in site.asked if path == address]
    assert find_weights(encoder, "official") == (path, digest)
    assert len(downloads) == 2
    path.resolve().write_bytes(b"damaged")
    with pytest.raises(CodecfakeError) as caught:
        find_weights(encoder, "official")
    assert str(path.resolve()) in caught.value.next_step


def test_without_a_network_the_error_comes_soon_and_names_the_ways_out(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import close_session

    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    close_session()
    started = time.monotonic()
    with pytest.raises(CodecfakeError) as caught:
        build_front_end(describe_front_end("xls-r-300m"))
    close_session()
    assert time.monotonic() - started < 12
    assert "--frontend-config tiny" in caught.value.next_step
    assert "hf download facebook/wav2vec2-xls-r-300m config.json pytorch_model.bin" in caught.value.next_step
    assert f"--revision {ENCODERS['xls-r-300m'].revision}" in caught.value.next_step


def test_descriptions_are_checked() -> None:
    with pytest.raises(CodecfakeError, match="there are mel, xls-r-300m, wavlm-large"):
        describe_front_end("xlsr")
    description = describe_front_end("xls-r-300m", weights="tiny")
    with pytest.raises(CodecfakeError) as caught:
        build_front_end(description | {"layer": 9})
    assert caught.value.what.splitlines()[-1].split() == ["layer", "5", "9"]
    digest = build_front_end(description).weights_sha256
    assert build_front_end(description | {"weights_sha256": digest}).weights_sha256 == digest
    with pytest.raises(CodecfakeError, match=f"have sha256 {digest}, expected 00"):
        build_front_end(description | {"weights_sha256": "00"})
    assert json.loads(json.dumps(description)) == description
