"""Residual vector quantisation with Euclidean codebooks.

Zeghidour et al. 2021, "SoundStream" (arXiv 2107.03312), section III-C.
Shapes: B batch, D latent channels, F frames, K codebooks, N codewords.
"""

from typing import NamedTuple

import torch
from torch import nn


class Encoded(NamedTuple):
    """What a codec would send."""

    codes: torch.Tensor
    """Shape (B, K, F), int64."""
    scale: torch.Tensor | None = None
    """Level that was divided out of the wave, shape (B, 1), where the codec sends one."""


class ResidualVectorQuantizer(nn.Module):
    """Each codebook quantises what the ones before it left over."""

    codebooks: torch.Tensor

    def __init__(self, codebooks: int, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("codebooks", torch.zeros(codebooks, codebook_size, dimension))

    def encode(self, latents: torch.Tensor, codebooks: int | None = None) -> torch.Tensor:
        """Find the nearest codewords.

        Args:
            latents: Shape (B, D, F).
            codebooks: Use only so many, from the first on.

        Returns:
            Codes of shape (B, K, F).
        """
        residual = latents.transpose(1, 2)
        codes = []
        for codebook in self.codebooks[:codebooks]:
            indices = nearest_codewords(residual, codebook)
            residual = residual - codebook[indices]
            codes.append(indices)
        return torch.stack(codes, dim=1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Sum the codewords of ``codes``, shape (B, K, F), into latents of shape (B, D, F)."""
        latents = sum(codebook[indices] for codebook, indices in zip(self.codebooks, codes.unbind(1)))  # noqa: B905
        return latents.transpose(1, 2)

    @torch.no_grad()
    def draw_codebooks(self, latents: torch.Tensor, generator: torch.Generator) -> None:
        """Fill the codebooks at random, each spread like the residual that reaches it.

        Args:
            latents: Shape (B, D, F).
            generator: On the CPU.
        """
        residual = latents.transpose(1, 2).flatten(0, 1)
        for codebook in self.codebooks:
            noise = torch.randn(codebook.shape, generator=generator).to(codebook)
            codebook.copy_(residual.mean(dim=0) + residual.std(dim=0) * noise)
            residual = residual - codebook[nearest_codewords(residual, codebook)]


def nearest_codewords(vectors: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """Index of the nearest row of ``codebook``, shape (N, D), for vectors of shape (..., D)."""
    flat = vectors.flatten(0, -2)
    distances = flat.square().sum(dim=1, keepdim=True) - 2 * flat @ codebook.T + codebook.square().sum(dim=1)
    return distances.argmin(dim=1).view(vectors.shape[:-1])
