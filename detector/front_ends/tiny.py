"""A small random encoder in place of a trained one, for machines without the weights."""

import hashlib

import torch
from torch import nn

from codecfake.detector.front_ends.encoders import FEATURES, Encoder

SEED = 0
HIDDEN = 64
SIZES = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_attention_heads": 4,
    "conv_dim": [64] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
"""Kernels, strides and the number of layers are those of the real encoder, and so are the 201 frames."""


def build_tiny(encoder: Encoder) -> tuple[nn.Module, torch.Tensor, str]:
    """Build the small network of an encoder's class, and a fixed random projection to 1,024 features.

    The values come from a generator of its own, one tensor after the other in the order of their names, so they
    depend on no other random state and on no initialisation of a library.

    Returns:
        The network, the projection, shape (1024, 64), and the sha256 of all values.
    """
    with torch.device("meta"):
        network = encoder.build(**SIZES)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(SEED)
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        values.copy_(_random_values(name, values.shape, generator))
        digest.update(values.numpy().tobytes())
    projection = torch.randn(FEATURES, HIDDEN, generator=generator) / HIDDEN**0.5
    digest.update(projection.numpy().tobytes())
    return network, projection, digest.hexdigest()


def _random_values(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Norms that change nothing, no biases, and weights that keep the variance of what they sum over."""
    if name.endswith(("layer_norm.weight", "gru_rel_pos_const", "conv.parametrizations.weight.original0")):
        return torch.ones(shape)
    if name.endswith("bias"):
        return torch.zeros(shape)
    values = torch.randn(shape, generator=generator)
    return values / values[0].numel() ** 0.5
