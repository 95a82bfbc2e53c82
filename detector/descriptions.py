"""The four detectors of the paper (arXiv 2405.04880, section IV, and its third version), as data.

A description says everything that decides what a detector computes, and is what ``model.json`` holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from codecfake.manifests.differences import side_by_side
from codecfake.manifests.errors import CodecfakeError

SCORE = "logit of bona fide - logit of spoof; higher = bona fide"
ENC_DIM = 256
"""Embedding of LCNN in the authors' released networks."""


@dataclass(frozen=True)
class Model:
    """What a detector is made of, by name."""

    front_end: str
    network: str
    input_shape: tuple[int, int]
    """Height and frames of what the front end gives for one window."""


MODELS = {
    "mel-lcnn": Model("mel", "lcnn", (80, 505)),
    "w2v2-lcnn": Model("xls-r-300m", "lcnn", (1024, 201)),
    "w2v2-aasist": Model("xls-r-300m", "aasist", (1024, 201)),
    "wavlm-aasist": Model("wavlm-large", "aasist", (1024, 201)),
}
"""The detectors by the name that ``codecfake train --model`` takes."""


def describe(model: str, *, front_end_weights: str = "official") -> dict[str, Any]:
    """Describe a detector.

    Args:
        model: One of `MODELS`.
        front_end_weights: "official", "tiny" or a folder; the Mel front end has none and ignores it.

    Returns:
        A new description, ready for JSON.

    Raises:
        CodecfakeError: If there is no such detector.
    """
    from codecfake.detector.crops import CROP_SAMPLES, SAMPLE_RATE
    from codecfake.detector.front_ends import describe_front_end, front_end_warning

    if model not in MODELS:
        close = get_close_matches(model, MODELS, n=1)
        raise CodecfakeError(
            f"no detector {model!r}; there are {', '.join(MODELS)}",
            next_step=f"did you mean {close[0]}?" if close else "choose one of them",
        )
    parts = MODELS[model]
    front_end = describe_front_end(parts.front_end, weights=front_end_weights)
    network: dict[str, Any] = {"name": parts.network, "input_shape": list(parts.input_shape)}
    if parts.network == "lcnn":
        network["enc_dim"] = ENC_DIM
    warning = front_end_warning(front_end)
    return {
        "model": model,
        "input": {"sample_rate": SAMPLE_RATE, "samples": CROP_SAMPLES, "shorter": "tile"},
        "front_end": front_end,
        "network": network,
        "score": SCORE,
        **({"warning": warning} if warning else {}),
    }


def is_frames_first(description: Mapping[str, Any]) -> bool:
    """Whether a Mel-LCNN takes 505 x 80 images in place of 80 x 505, as the authors' released ones do."""
    bands_first = MODELS["mel-lcnn"].input_shape
    network = description.get("network")
    return (
        description.get("model") == "mel-lcnn"
        and isinstance(network, Mapping)
        and network.get("input_shape") == list(bands_first[::-1])
    )


def require_known(description: Mapping[str, Any]) -> None:
    """Refuse a description that this version would not build exactly as it says.

    Keys beside those of `describe`, such as the training's, are allowed; others inside of its parts are not.
    The settings of the front end are left to ``build_front_end``.

    Args:
        description: Content of a ``model.json``.

    Raises:
        CodecfakeError: If a part is missing, unknown or different; a two-column table shows it.
    """
    known = describe(str(description.get("model", "without a name")))
    known["front_end"] = {"name": known["front_end"]["name"]}
    if is_frames_first(description):
        known["network"]["input_shape"].reverse()
    given = {part: description.get(part) for part in ("input", "front_end", "network", "score")}
    if isinstance(given["front_end"], Mapping):
        given["front_end"] = {"name": given["front_end"].get("name")}
    if isinstance(given["network"], Mapping) and "enc_dim" in known["network"]:
        enc_dim = given["network"].get("enc_dim")
        known["network"]["enc_dim"] = enc_dim if type(enc_dim) is int and enc_dim > 0 else "1 or more"
    if table := side_by_side(_flat({part: known[part] for part in given}), _flat(given), "this version"):
        raise CodecfakeError(
            f"cannot build the detector {description['model']}:\n{table}",
            cause="it was trained by another version of codecfake",
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
