"""Padding of features in time that leaves them as they lie in memory.

Shapes: B batch, C channels, S steps.
"""

import torch
from torch.nn import functional


def pad(features: torch.Tensor, left: int, right: int, mode: str = "constant") -> torch.Tensor:
    """Pad features of shape (B, C, S) to (B, C, left + S + right); ``mode`` as torch names it, zeros if "constant".

    Torch keeps the order in memory of images alone, so features whose channels lie together are padded as such.
    """
    if features.shape[1] == 1 or features.stride(1) != 1:
        return functional.pad(features, (left, right), mode)
    if mode != "constant":
        return functional.pad(features.unsqueeze(2), (left, right, 0, 0), mode).squeeze(2)
    batch, channels, steps = features.shape
    padded = features.new_empty(batch, left + steps + right, channels).transpose(1, 2)
    padded[..., :left] = 0  # torch's own would write all of it twice
    padded[..., left : left + steps] = features
    padded[..., left + steps :] = 0
    return padded
