"""Activations on a CPU, in tiles that stay in the core's cache from one operation to the next.

A feature map of an utterance does not fit there, and every operation on it would fetch and write it again.
Shapes: B batch, C channels, S steps.
"""

import math

import torch
from torch import nn

TILE = 32_768
"""Elements at a time: 128 KiB for each of the few arrays that an activation works on."""


class TiledElu(nn.ELU):
    """``nn.ELU`` with ``alpha`` 1, within 1e-7: by the exponential to base two, the fastest one that torch has."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Shape as given; in tiles where it is (B, C, S) with the channels of a step together in memory."""
        together = input.transpose(1, -1)
        if input.dim() != 3 or not together.is_contiguous():
            return super().forward(input)
        values = together.view(-1)
        output = values if self.inplace else torch.empty_like(values)
        scratch = values.new_empty(min(TILE, len(values)))
        for source, target in zip(values.split(TILE), output.split(TILE), strict=True):
            falling = torch.mul(source, math.log2(math.e), out=scratch[: len(source)])
            falling.clamp_(max=0).exp2_().sub_(1)
            torch.maximum(source, falling, out=target)
        return output.view(together.shape).transpose(1, 2)


class TiledSnake(nn.Module):
    """The Snake of `transformers`, x + sin(alpha x)^2 / alpha, by channel; ``alpha`` has shape (1, C, 1)."""

    alpha: torch.Tensor

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in and out."""
        values = input.transpose(1, 2).contiguous().flatten(0, 1)
        output = torch.empty_like(values)
        rows = max(1, TILE // values.shape[1])
        # As large as a tile, because torch is slow where it repeats the few values of a row.
        alpha = self.alpha.view(-1).repeat(rows, 1)
        inverse = (alpha + 1e-9).reciprocal()
        scratch = torch.empty_like(alpha)
        for source, target in zip(values.split(rows), output.split(rows), strict=True):
            count = len(source)
            sine = torch.mul(source, alpha[:count], out=scratch[:count]).sin_().square_()
            torch.addcmul(source, sine, inverse[:count], out=target)
        return output.view(input.shape[0], -1, input.shape[1]).transpose(1, 2)
