"""Front ends: what turns waves into the features that a back end is trained on. Nothing in them is trained.

A front end is described by a mapping that ``model.json`` and the feature cache carry, and built from it:

    front_end = build_front_end(describe_front_end("xls-r-300m"), device="cuda")
    features = front_end(waves)  # (B, 64600) at 16 kHz -> (B, 1, 1024, 201)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.host_memory import keep_freed_memory
from codecfake.detector.front_ends.encoders import ENCODERS, LAYER, OFFICIAL, TINY
from codecfake.manifests.differences import side_by_side
from codecfake.manifests.errors import CodecfakeError

if TYPE_CHECKING:
    import torch
    from torch import nn

MEL = "mel"
FRONT_ENDS = (MEL, *ENCODERS)
WEIGHTS_SHA256 = "weights_sha256"
"""Key of a description that pins the weights; absent from what is only asked for."""


def describe_front_end(name: str, *, weights: str = OFFICIAL, compression: str = "log") -> dict[str, Any]:
    """Give the description of a front end, ready for JSON.

    Args:
        name: One of `FRONT_ENDS`.
        weights: "official", "tiny" (a small random network) or the path of a folder with the official files; the
            Mel front end has no weights and ignores it.
        compression: Of the Mel front end alone: "log", or "none" for the plain power of the authors' script.

    Raises:
        CodecfakeError: If there is no such front end.
    """
    if name == MEL:
        from codecfake.detector.front_ends.mel import describe_mel

        return describe_mel(compression)
    if name not in ENCODERS:
        raise CodecfakeError(f"no front end {name!r}; there are {', '.join(FRONT_ENDS)}")
    if weights not in (OFFICIAL, TINY):
        weights = str(Path(weights).expanduser().absolute())
    description: dict[str, Any] = {"name": name, "weights": weights}
    if weights == OFFICIAL:
        description |= {"repository": ENCODERS[name].repository, "revision": ENCODERS[name].revision}
    if weights == TINY:
        description["seed"] = 0
    return description | {"layer": LAYER, "waves": "zero mean and unit variance per utterance"}


def front_end_warning(front_end: Mapping[str, Any]) -> str | None:
    """What every output of a detector has to say about its front end; None where there is nothing to say."""
    if front_end.get("weights") != TINY:
        return None
    return (
        f"a small random network stands in for {front_end['name']} (--frontend-config tiny): "
        "the results say nothing about the paper's detectors"
    )


def build_front_end(front_end: Mapping[str, Any], device: "str | torch.device" = "cpu") -> "nn.Module":
    """Build a front end, frozen and in evaluation mode for good.

    Args:
        front_end: A description that `describe_front_end` gave. With a key "weights_sha256", other weights are
            refused.
        device: Where it computes.

    Returns:
        A module that maps waves at 16 kHz, shape (B, 64600), to features, shape (B, 1, H, W), float32, without a
        gradient. It has ``output_shape`` (H, W), ``precision`` and ``weights_sha256`` ("" without weights).

    Raises:
        CodecfakeError: If this version has no such front end, or its weights are absent or others.
    """
    name = front_end.get("name", "")
    wanted = {key: value for key, value in front_end.items() if key != WEIGHTS_SHA256}
    settings = {key: front_end[key] for key in ("weights", "compression") if key in front_end}
    known = describe_front_end(name, **settings)
    if table := side_by_side(known, wanted, "this version"):
        raise CodecfakeError(
            f"cannot build the front end {name}:\n{table}",
            cause="it was made by another version of codecfake",
        )
    keep_freed_memory()  # Mel-LCNN too: 6.5 in place of 19.9 ms per utterance and core, all of it zeroing pages
    if name == MEL:
        from codecfake.detector.front_ends.mel import MelFrontEnd

        return MelFrontEnd(front_end["compression"]).to(device)
    from codecfake.detector.front_ends.self_supervised import build_self_supervised

    return build_self_supervised(ENCODERS[name], front_end["weights"], device, front_end.get(WEIGHTS_SHA256))
