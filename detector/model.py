"""A detector = a front end and a back end; how it is described, saved and loaded.

Shape legend: B batch, T samples.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from codecfake.detector.crops import CROP_SAMPLES, SAMPLE_RATE
from codecfake.detector.networks.lcnn import LCNN
from codecfake.detector.front_ends.mel import BANDS, HOP_SAMPLES, POWER_FLOOR, WINDOW_SAMPLES, MelFrontEnd
from codecfake.manifests.atomic import publish_json, published
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"

MEL_LCNN: dict[str, Any] = {
    "input": {"sample_rate": SAMPLE_RATE, "samples": CROP_SAMPLES, "shorter": "tile"},
    "front_end": {
        "name": "mel",
        "bands": BANDS,
        "window_samples": WINDOW_SAMPLES,
        "hop_samples": HOP_SAMPLES,
        "scale": "htk",
        "compression": f"log(power + {POWER_FLOOR})",
    },
    "network": {"name": "lcnn", "input_shape": list(MelFrontEnd.output_shape(CROP_SAMPLES)), "enc_dim": 256},
    "score": "logit of bona fide - logit of spoof; higher = bona fide",
}
"""What the Mel-LCNN detector is, as written to ``model.json``."""


class Detector(nn.Module):
    """Waves in, class logits out. Only the back end is trained and saved."""

    def __init__(self, front_end: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.front_end = front_end
        self.network = network

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """Score windows.

        Args:
            waves: Mono at 16 kHz, shape (B, 64600).

        Returns:
            Logits, shape (B, 2): bona fide, spoof.
        """
        with torch.no_grad():
            features = self.front_end(waves)
        return self.network(features)


def build_detector(description: dict[str, Any]) -> Detector:
    """Build an untrained detector.

    Args:
        description: A description such as `MEL_LCNN`; further keys are ignored.

    Returns:
        The detector, on the CPU.

    Raises:
        CodecfakeError: If this version has no such detector.
    """
    for part, wanted in MEL_LCNN.items():
        if description.get(part) != wanted:
            raise CodecfakeError(
                f"cannot build this detector: {part} is {description.get(part)!r}, known is {wanted!r}",
                cause="it was trained by another version of codecfake",
            )
    network = description["network"]
    return Detector(MelFrontEnd(), LCNN(tuple(network["input_shape"]), network["enc_dim"]))


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
        save_file(state, temporary)


def publish_detector(detector_dir: Path, weights: Path, description: dict[str, Any]) -> None:
    """Publish a trained detector: ``model.safetensors``, then ``model.json``, which makes it valid.

    Args:
        detector_dir: Folder of the detector.
        weights: Safetensors file of the trained back end.
        description: Content of ``model.json``; the hash of the weights is added.
    """
    content = weights.read_bytes()
    with published(detector_dir / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
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
    return json.loads(path.read_text(encoding="utf-8"))


def load_detector(detector_dir: Path, device: str | torch.device) -> tuple[Detector, dict[str, Any]]:
    """Load a trained detector for scoring.

    Args:
        detector_dir: Folder with ``model.safetensors`` and ``model.json``.
        device: Where to put it.

    Returns:
        The detector in evaluation mode, and its description.

    Raises:
        CodecfakeError: If it is absent, damaged or unknown to this version.
    """
    description = read_description(detector_dir)
    detector = build_detector(description)
    weights = detector_dir / WEIGHTS_FILE
    if not weights.is_file() or file_sha256(weights) != description["weights_sha256"]:
        raise CodecfakeError(
            f"{weights} is not the file that {DESCRIPTION_FILE} describes",
            cause="it was changed or is damaged",
            next_step="train into another folder, or restore both files",
        )
    detector.network.load_state_dict(load_file(weights))
    return detector.to(device).eval(), description
