"""Published checkpoints of SEANet codecs: EnCodec's tensor names, which the others keep."""

import re
from collections.abc import Mapping

import torch

from codecfake.codec_adapters.checkpoints import Tensors, fold_weight_norm, rename
from codecfake.codec_adapters.errors import CodecError

NAMES = (
    (r"^(encoder|decoder)\.(?:model|layers)\.", r"\1."),
    (r"\.(?:conv|convtr)\.norm\.", ".norm."),
    (r"\.(?:conv\.conv|convtr\.convtr)\.", ".conv."),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
)
"""Names of the original code and of `transformers` (``layers``, ``parametrizations``) to those of ``SeanetCodec``."""

CODEBOOK = re.compile(r"quantizer\.(?:vq\.)?layers\.(\d+)\._?codebook\.(\w+)")

TRAINING_STATISTICS = {"inited", "cluster_size", "embed_avg"}
"""Of a codebook: running means that only training needs. They are dropped."""


def to_seanet(tensors: Tensors) -> Tensors:
    """Rename EnCodec's tensors to those of ``SeanetCodec``, fold weight norm, and stack the codebooks.

    Raises:
        CodecError: If a codebook, or half of a weight norm, is missing.
    """
    codebooks: dict[int, torch.Tensor] = {}
    others: Tensors = {}
    for name, tensor in tensors.items():
        match = CODEBOOK.fullmatch(name)
        if match and match[2] == "embed":
            codebooks[int(match[1])] = tensor
        elif not (match and match[2] in TRAINING_STATISTICS):
            others[name] = tensor
    if codebooks:
        others["quantizer.codebooks"] = _stack(codebooks)
    return fold_weight_norm(rename(others, NAMES))


def _stack(codebooks: Mapping[int, torch.Tensor]) -> torch.Tensor:
    absent = sorted(set(range(max(codebooks) + 1)) - set(codebooks))
    shapes = {tuple(codebook.shape) for codebook in codebooks.values()}
    if absent or len(shapes) > 1:
        problem = f"codebook {absent[0]} is missing" if absent else f"codebooks of several shapes: {shapes}"
        raise CodecError(
            f"the checkpoint's quantizer is incomplete: {problem}; fetch the official file again"
        )
    return torch.stack([codebooks[index] for index in sorted(codebooks)])
