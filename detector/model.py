"""A detector = a front end and a back end; how it is described, saved and loaded.

Shape legend: B batch, T samples.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from codecfake.detector.descriptions import is_frames_first, require_known
from codecfake.detector.front_ends import (
    WEIGHTS_SHA256,
    build_front_end,
    describe_front_end,
    front_end_warning,
)
from codecfake.detector.networks.aasist import AASIST
from codecfake.detector.networks.lcnn import LCNN
from codecfake.manifests.atomic import publish_json, published
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.records import read_json

WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"


class Detector(nn.Module):
    """Waves in, class logits out. Only the back end, `network`, is trained and saved.

    Args:
        front_end: Maps waves (B, 64600) to features (B, 1, H, W); always in evaluation mode, without gradients.
        network: Maps features to logits (B, 2).
        frames_first: Whether the network takes features (B, 1, W, H), frames before bands.
    """

    def __init__(self, front_end: nn.Module, network: nn.Module, *, frames_first: bool = False) -> None:
        super().__init__()
        self.frames_first = frames_first
        self.front_end = front_end.requires_grad_(False).eval()
        self.network = network

    def train(self, mode: bool = True) -> "Detector":
        """Set the mode of the network; the front end stays in evaluation mode."""
        super().train(mode)
        self.front_end.eval()
        return self

    @torch.no_grad()
    def features(self, waves: torch.Tensor) -> torch.Tensor:
        """Compute what the network sees; once is enough for several passes over a batch.

        Args:
            waves: Mono at 16 kHz, shape (B, 64600).

        Returns:
            Features, shape (B, 1, H, W) or, frames first, (B, 1, W, H), without a gradient.
        """
        features = self.front_end(waves)
        return features.transpose(2, 3) if self.frames_first else features

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """Score windows.

        Args:
            waves: Mono at 16 kHz, shape (B, 64600).

        Returns:
            Logits, shape (B, 2): bona fide, spoof.
        """
        return self.network(self.features(waves))


def build_network(description: Mapping[str, Any]) -> nn.Module:
    """Build an untrained back end; its weights follow from the random state of torch alone.

    Args:
        description: As of `codecfake.detector.descriptions.describe`, or the content of a ``model.json``.

    Returns:
        The network, on the CPU: features (B, 1, H, W) in, logits (B, 2) out.

    Raises:
        CodecfakeError: If this version has no such detector.
    """
    require_known(description)
    network = description["network"]
    height, frames = network["input_shape"]
    return LCNN((height, frames), network["enc_dim"]) if network["name"] == "lcnn" else AASIST(height)


def build_detector(description: Mapping[str, Any], device: str | torch.device = "cpu") -> Detector:
    """Build a detector with an untrained back end.

    Args:
        description: As of `codecfake.detector.descriptions.describe`, or the content of a ``model.json``.
        device: Where to put it.

    Returns:
        The detector. The back end's weights follow from the random state of torch alone.

    Raises:
        CodecfakeError: If this version has no such detector, or the front end's weights are absent.
    """
    network = build_network(description)
    return Detector(
        build_front_end(description["front_end"], device),
        network.to(device),
        frames_first=is_frames_first(description),
    )


def detection_scores(logits: torch.Tensor) -> torch.Tensor:
    """Turn logits (B, 2) into detection scores (B,), float64 on the CPU; higher = bona fide.

    The subtraction is done in float64, so that scores tie only when the network's outputs do.
    """
    logits = logits.detach().to("cpu", torch.float64)
    return logits[:, Label.BONA_FIDE] - logits[:, Label.SPOOF]


def publish_weights(network: nn.Module, path: Path) -> None:
    """Publish the state dict of a network as safetensors."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with published(path) as temporary:
        temporary.write_bytes(save(state))


def publish_detector(detector_dir: Path, weights: Path, description: dict[str, Any]) -> None:
    """Publish a trained detector: ``model.safetensors``, then ``model.json``, which makes it valid.

    Args:
        detector_dir: Folder of the detector.
        weights: Safetensors file of the trained back end.
        description: Content of ``model.json``; the hash of the weights is added.
    """
    content = weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    place = detector_dir / WEIGHTS_FILE
    if not place.is_file() or file_sha256(place) != digest:  # a call that was killed between the two files
        with published(place) as temporary:
            temporary.write_bytes(content)
    publish_json(detector_dir / DESCRIPTION_FILE, {**description, "weights_sha256": digest})


def read_description(detector_dir: Path) -> dict[str, Any]:
    """Read ``model.json``.

    Raises:
        CodecfakeError: If the folder holds no trained detector.
    """
    path = detector_dir / DESCRIPTION_FILE
    if not path.is_file():
        raise CodecfakeError(
            f"{detector_dir} holds no trained detector",
            cause="the training was not started or not finished",
            next_step="codecfake train RUN (it resumes)",
        )
    return read_json(path, {}, next_step="train into another folder, or restore both files")


def load_detector(
    detector_dir: Path, device: str | torch.device, *, front_end_weights: str | None = None
) -> tuple[Detector, dict[str, Any]]:
    """Load a trained detector for scoring.

    Args:
        detector_dir: Folder with ``model.safetensors`` and ``model.json``.
        device: Where to put it.
        front_end_weights: Where the weights of the front end are, if not where its description says: "official", or a
            folder. Weights that the detector was not trained with are refused, where it knows which those were.

    Returns:
        The detector in evaluation mode, and its description.

    Raises:
        CodecfakeError: If it is absent, damaged or unknown to this version.
    """
    description = read_description(detector_dir)
    require_known(description)
    front_end = description["front_end"]
    if front_end_weights is not None and "weights" in front_end:
        pinned = {WEIGHTS_SHA256: front_end[WEIGHTS_SHA256]} if WEIGHTS_SHA256 in front_end else {}
        front_end = describe_front_end(front_end["name"], weights=front_end_weights) | pinned
        description = {**description, "front_end": front_end}
        if warning := front_end_warning(front_end):
            description["warning"] = warning
    detector = build_detector(description, device)
    weights = detector_dir / WEIGHTS_FILE
    if not weights.is_file() or file_sha256(weights) != description.get("weights_sha256"):
        raise CodecfakeError(
            f"{weights} is not the file that {DESCRIPTION_FILE} describes",
            cause="it was changed or is damaged",
            next_step="train into another folder, or restore both files",
        )
    detector.network.load_state_dict(load_file(weights))
    return detector.eval(), description
