import json
from pathlib import Path

import pytest
import torch

from codecfake.detector.crops import CROP_SAMPLES
from codecfake.detector.descriptions import MODELS, describe
from codecfake.detector.front_ends import build_front_end
from codecfake.detector.model import (
    WEIGHTS_FILE,
    Detector,
    build_detector,
    build_network,
    load_detector,
    publish_detector,
    publish_weights,
)
from codecfake.manifests.errors import CodecfakeError

WAVES = 0.1 * torch.randn(2, CROP_SAMPLES, generator=torch.Generator().manual_seed(0))


def test_the_four_detectors_of_the_paper() -> None:
    parts = {name: (model.front_end, model.network, model.input_shape) for name, model in MODELS.items()}
    assert parts == {
        "mel-lcnn": ("mel", "lcnn", (80, 505)),
        "w2v2-lcnn": ("xls-r-300m", "lcnn", (1024, 201)),
        "w2v2-aasist": ("xls-r-300m", "aasist", (1024, 201)),
        "wavlm-aasist": ("wavlm-large", "aasist", (1024, 201)),
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_description_survives_json_and_builds_a_detector(model: str) -> None:
    description = json.loads(json.dumps(describe(model, front_end_weights="tiny")))
    assert description == describe(model, front_end_weights="tiny")
    assert ("warning" in description) == (model != "mel-lcnn")
    detector = build_detector({**description, "training": {"epochs": 1}})
    features = detector.features(WAVES)
    assert features.shape == (2, 1, *MODELS[model].input_shape)
    assert not features.requires_grad
    logits = detector(WAVES)
    assert logits.shape == (2, 2) and logits.requires_grad


def test_official_weights_bring_no_warning_and_name_where_they_are_from() -> None:
    description = describe("w2v2-aasist")
    assert "warning" not in description
    assert description["front_end"]["weights"] == "official"
    assert description["front_end"]["layer"] == 5


@pytest.mark.parametrize("model", ["mel-lcnn", "w2v2-aasist"])
def test_initial_weights_follow_from_the_seed_alone(model: str) -> None:
    def state(front_end_weights: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(5)
        return build_detector(describe(model, front_end_weights=front_end_weights)).network.state_dict()

    first, again = state("tiny"), state("tiny")
    torch.manual_seed(5)
    alone = build_network(describe(model)).state_dict()
    assert first.keys() == again.keys() == alone.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(first[name], alone[name]) for name in first)


def test_training_mode_leaves_the_front_end_alone() -> None:
    detector = build_detector(describe("w2v2-aasist", front_end_weights="tiny")).train()
    assert detector.network.training
    assert not any(module.training for module in detector.front_end.modules())
    assert not any(p.requires_grad for p in detector.front_end.parameters())


def changed(model: str, part: str, **settings: object) -> dict:
    description = describe(model)
    return {**description, part: {**description[part], **settings}}


@pytest.mark.parametrize(
    ("description", "named"),
    [
        ({}, "mel-lcnn, w2v2-lcnn"),
        (describe("mel-lcnn") | {"model": "w2v2-asist"}, "did you mean w2v2-aasist"),
        (describe("mel-lcnn") | {"model": ["mel-lcnn"]}, "mel-lcnn"),
        (describe("mel-lcnn") | {"input": None}, "input.samples"),
        (describe("mel-lcnn") | {"front_end": "mel"}, "front_end"),
        (describe("mel-lcnn") | {"network": describe("w2v2-aasist")["network"]}, "network.name"),
        (changed("mel-lcnn", "input", samples=48_000), "48000"),
        (changed("mel-lcnn", "network", layers=10), "network.layers"),
        (changed("mel-lcnn", "network", enc_dim=0), "network.enc_dim"),
        (changed("mel-lcnn", "network", input_shape=[1024, 201]), "network.input_shape"),
        (changed("w2v2-aasist", "network", input_shape=[201, 1024]), "network.input_shape"),
        (changed("w2v2-aasist", "front_end", name="wavlm-large"), "front_end.name"),
        (changed("mel-lcnn", "front_end", bands=40), "bands"),
        (changed("w2v2-aasist", "front_end", layer=6, weights="tiny"), "layer"),
        (describe("mel-lcnn") | {"score": "logit of spoof"}, "score"),
    ],
)
def test_what_this_version_would_build_differently_is_refused(description: dict, named: str) -> None:
    with pytest.raises(CodecfakeError) as error:
        build_detector(description)
    assert named in str(error.value)


def test_frames_first_means_transposed_features() -> None:
    """The layout of the authors' released Mel-LCNN."""
    description = describe("mel-lcnn")
    description["network"]["input_shape"] = [505, 80]
    detector = build_detector(description)
    expected = build_front_end(description["front_end"])(WAVES).transpose(2, 3)
    assert torch.equal(detector.features(WAVES), expected)
    assert detector(WAVES).shape == (2, 2)


@pytest.mark.parametrize("model", ["mel-lcnn", "w2v2-aasist"])
def test_a_detector_folder_gives_the_same_logits_back(model: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    description = describe(model, front_end_weights="tiny")
    detector: Detector = build_detector(description).eval()
    publish_weights(detector.network, tmp_path / "w.safetensors")
    publish_detector(tmp_path / "d", tmp_path / "w.safetensors", description)
    loaded, content = load_detector(tmp_path / "d", "cpu")
    assert content["model"] == model and not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(WAVES), detector(WAVES))
    (tmp_path / "d" / WEIGHTS_FILE).write_bytes(b"x")
    with pytest.raises(CodecfakeError, match=WEIGHTS_FILE):
        load_detector(tmp_path / "d", "cpu")
