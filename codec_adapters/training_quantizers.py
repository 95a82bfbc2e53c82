"""Residual quantisers in a form that learns: codebooks by k-means, then by running means.

Shapes: B batch, F frames, D latent channels, N vectors, K codewords, C channels of a codebook.
"""

import torch
from torch import nn
from torch.nn import functional

CODEBOOK_DECAY = 0.995
KMEANS_ROUNDS = 12
DEAD_SHARE = 0.02
"""A codeword used less than this share of the mean use is dead, and restarts from a vector of the batch."""


class _RunningCodebook:
    """One codebook that follows the mean of what it is given."""

    def __init__(self, weight: torch.Tensor, *, cosine: bool, generator: torch.Generator) -> None:
        self.weight = weight  # (K, C): the network's own tensor, changed in place
        self._cosine = cosine
        self._generator = generator
        self._use = torch.ones(weight.shape[0])
        self._sums = weight.detach().clone()

    @torch.no_grad()
    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Index of the nearest codeword, shape (N,), of vectors of shape (N, C)."""
        weight = self.weight
        if self._cosine:
            return (functional.normalize(vectors) @ functional.normalize(weight).T).argmax(dim=1)
        return (2 * vectors @ weight.T - weight.square().sum(dim=1)).argmax(dim=1)

    @torch.no_grad()
    def fit(self, vectors: torch.Tensor) -> None:
        """Place the codewords by k-means."""
        self.weight.copy_(self._draw(vectors, self.weight.shape[0]))
        for _ in range(KMEANS_ROUNDS):
            use, sums = self._count(vectors, self.nearest(vectors))
            means = sums / use.clamp_min(1)[:, None]
            empty = use == 0
            means[empty] = self._draw(vectors, int(empty.sum()))
            self.weight.copy_(means)
        self._use = torch.ones(self.weight.shape[0])
        self._sums = self.weight.detach().clone()

    @torch.no_grad()
    def follow(self, vectors: torch.Tensor, indices: torch.Tensor) -> None:
        """Move the codewords towards the vectors that chose them, and restart dead ones."""
        use, sums = self._count(vectors, indices)
        mean_use = vectors.shape[0] / self.weight.shape[0]
        self._use.lerp_(use / mean_use, 1 - CODEBOOK_DECAY)
        self._sums.lerp_(sums / mean_use, 1 - CODEBOOK_DECAY)
        dead = self._use < DEAD_SHARE
        if dead.any():
            self._sums[dead] = self._draw(vectors, int(dead.sum()))
            self._use[dead] = 1.0
        self.weight.copy_(self._sums / self._use[:, None])

    def _count(self, vectors: torch.Tensor, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        use = torch.bincount(indices, minlength=self.weight.shape[0]).to(vectors.dtype)
        return use, torch.zeros_like(self.weight).index_add_(0, indices, vectors)

    def _draw(self, vectors: torch.Tensor, count: int) -> torch.Tensor:
        return vectors[torch.randint(vectors.shape[0], (count,), generator=self._generator)]


class EuclideanTrainableQuantizer:
    """Residual Euclidean codebooks over the latents themselves (``ResidualVectorQuantizer``)."""

    freezes_encoder = False

    def __init__(self, model: nn.Module, generator: torch.Generator) -> None:
        self._codebooks = [
            _RunningCodebook(codebook, cosine=False, generator=generator)
            for codebook in model.quantizer.codebooks
        ]

    def is_initialised(self) -> bool:
        """Tell whether the codebooks hold anything."""
        return bool(self._codebooks[0].weight.any())

    @torch.no_grad()
    def initialise(self, vectors: torch.Tensor) -> None:
        """Make the codebooks from latents, shape (N, D)."""
        residual = vectors.clone()
        for codebook in self._codebooks:
            codebook.fit(residual)
            residual -= codebook.weight[codebook.nearest(residual)]

    def __call__(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Quantise latents, shape (B, D, F), straight through; return them and the commitment loss."""
        vectors = latents.transpose(1, 2).flatten(0, 1)
        residual, commitment = vectors, torch.zeros(())
        for codebook in self._codebooks:
            indices = codebook.nearest(residual.detach())
            words = codebook.weight[indices].clone()
            commitment = commitment + (residual - words).square().mean()
            codebook.follow(residual.detach(), indices)
            residual = residual - words
        commitment = commitment / vectors.detach().var().clamp_min(1e-6)
        quantised = (vectors - residual.detach()).view(latents.shape[0], -1, latents.shape[1]).transpose(1, 2)
        return latents + (quantised - latents).detach(), commitment


class DacTrainableQuantizer:
    """Residual cosine codebooks in small projections of the latents (``DacModel``).

    The projections are the principal directions of the residual, the codebooks come from k-means, and both stay as
    they are, and so does the encoder: what the decoder learns from does not move. With encoder and projections
    learning through the quantiser, the loss climbed from its first hundred steps on.
    """

    freezes_encoder = True

    def __init__(self, model: nn.Module, generator: torch.Generator) -> None:
        self._layers = list(model.quantizer.quantizers)
        model.quantizer.requires_grad_(False)
        self._codebooks = [
            _RunningCodebook(layer.codebook.weight, cosine=True, generator=generator)
            for layer in self._layers
        ]
        self._started = bool(self._layers[0].out_proj.weight.any()) and self._is_orthonormal()

    def _is_orthonormal(self) -> bool:
        basis = self._layers[0].in_proj.weight[..., 0]
        # half-precision storage costs three digits
        return torch.allclose(basis @ basis.T, torch.eye(basis.shape[0]), atol=1e-2)

    def is_initialised(self) -> bool:
        """Tell whether the projections were placed: random ones are not orthonormal."""
        return self._started

    @torch.no_grad()
    def initialise(self, vectors: torch.Tensor) -> None:
        """Make projections and codebooks from latents, shape (N, D)."""
        residual = vectors.clone()
        for layer, codebook in zip(self._layers, self._codebooks, strict=True):
            mean = residual.mean(dim=0)
            centred = residual - mean
            _, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
            basis = directions[:, -layer.codebook_dim :].T  # (C, D)
            layer.in_proj.weight.copy_(basis[..., None])
            layer.in_proj.bias.copy_(-basis @ mean)
            layer.out_proj.weight.copy_(basis.T[..., None])
            layer.out_proj.bias.copy_(mean)
            projected = centred @ basis.T
            codebook.fit(projected)
            residual -= codebook.weight[codebook.nearest(projected)] @ basis + mean
        self._started = True

    @torch.no_grad()
    def __call__(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Quantise latents, shape (B, D, F); return them and no commitment loss."""
        residual = latents
        for layer, codebook in zip(self._layers, self._codebooks, strict=True):
            vectors = layer.in_proj(residual).transpose(1, 2)
            words = codebook.weight[codebook.nearest(vectors.flatten(0, 1))].view(vectors.shape)
            residual = residual - layer.out_proj(words.transpose(1, 2))
        return latents - residual, torch.zeros(())


def trainable_quantizer(
    model: nn.Module, *, seed: int
) -> EuclideanTrainableQuantizer | DacTrainableQuantizer:
    """Wrap the quantiser of ``model`` for training; it changes the model's tensors in place."""
    generator = torch.Generator().manual_seed(seed)
    wrapper = DacTrainableQuantizer if hasattr(model.quantizer, "quantizers") else EuclideanTrainableQuantizer
    return wrapper(model, generator)
