"""Turn a checkpoint that the Codecfake authors released into a detector folder."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from codecfake.detector.descriptions import MODELS, describe
from codecfake.detector.front_ends import describe_front_end
from codecfake.detector.model import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    build_network,
    publish_detector,
    publish_weights,
    read_description,
)
from codecfake.detector.networks.lcnn import LCNN
from codecfake.detector.published_checkpoints import PublishedCheckpoint, read_published_checkpoint
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError

CLASS_ORDER = "class 0 is bona fide and class 1 spoof, as in the authors' training script"
XLS_R = (
    "the features are hidden state 5 of XLS-R-300M; the authors released nothing for WavLM-large, whose features "
    "have the same shape"
)
MEL = (
    "the features are mel power without a logarithm, frames before bands, as the authors' scripts store and "
    "transpose them"
)
"""With these features both released Mel-LCNNs give SSB02460212 of AISHELL-3 the scores of the authors' lists
(0.00668 for 0.00668 and 0.0225 for 0.0223); with a logarithm, or bands first, they do not."""


def import_checkpoint(path: Path, out_dir: Path) -> dict[str, Any]:
    """Write a detector folder from a released checkpoint; no code in the checkpoint is run.

    Args:
        path: A whole network that ``torch.save`` wrote: LCNN or W2VAASIST of the authors' ``model.py``.
        out_dir: The folder; gets ``model.safetensors`` and ``model.json``.

    Returns:
        The content of ``model.json``. Its key "imported" tells the file and what was assumed.

    Raises:
        CodecfakeError: If the file holds anything else than such a network, or the folder another detector.
    """
    path, out_dir = Path(path), Path(out_dir)
    checkpoint = read_published_checkpoint(path)
    description, assumed = recognise(checkpoint, path)
    description["imported"] = {
        "file": path.name,
        "sha256": file_sha256(path),
        "class": checkpoint.class_name,
        "assumed": assumed,
    }
    if (out_dir / DESCRIPTION_FILE).exists():
        there = read_description(out_dir)
        if there.get("imported") != description["imported"]:
            raise CodecfakeError(f"{out_dir} holds another detector", next_step="choose another --out")
    network = build_network(description)
    _fill(network, checkpoint.tensors, path)
    publish_weights(network, out_dir / WEIGHTS_FILE)
    publish_detector(out_dir, out_dir / WEIGHTS_FILE, description)
    return read_description(out_dir)


def recognise(checkpoint: PublishedCheckpoint, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Tell which of the paper's detectors a checkpoint belongs to, from the names and shapes of its tensors.

    Args:
        checkpoint: The checkpoint.
        path: Its file, for the error message.

    Returns:
        The description of the detector, and what the checkpoint does not tell and was assumed.

    Raises:
        CodecfakeError: If it is none of them.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    if shapes.get("LL.weight", ())[1:] == MODELS["w2v2-aasist"].input_shape[:1]:
        return describe("w2v2-aasist"), [XLS_R, CLASS_ORDER]
    for model in ("mel-lcnn", "w2v2-lcnn"):
        flattened, embedding = shapes.get("out.1.weight", ())[1:], shapes.get("fc_mu.weight", ())[1:]
        if flattened == (LCNN.flattened(MODELS[model].input_shape),) and embedding:
            description = describe(model)
            description["network"]["enc_dim"] = embedding[0]
            if model == "mel-lcnn":
                description["front_end"] = describe_front_end("mel", compression="none")
                description["network"]["input_shape"].reverse()
            return description, [MEL if model == "mel-lcnn" else XLS_R, CLASS_ORDER]
    raise CodecfakeError(
        f"{path} holds {checkpoint.class_name}, which is none of {', '.join(MODELS)}: "
        f"{len(shapes)} tensors, first {', '.join(f'{name} {shapes[name]}' for name in list(shapes)[:3])}",
        cause="it is another network, or one for another input size",
    )


def _fill(network: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Load tensors that must match a network by name and shape, and be finite."""
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if different := sorted(name for name in wanted | found if wanted.get(name) != found.get(name)):
        name = different[0]
        raise CodecfakeError(
            f"{path}: {len(different)} tensors are not those of the network, the first is {name}: "
            f"{found.get(name, 'absent')} in the file, {wanted.get(name, 'absent')} in the network",
            cause="it was trained with a changed model.py",
        )
    if broken := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise CodecfakeError(f"{path}: {broken[0]} holds numbers that are not finite")
    network.load_state_dict(tensors)
