"""How residual quantisers learn: by running means of what chose a codeword, by gradients, or not at all.

Shapes: B batch, F frames, D latent channels, M vectors, K codebooks, N codewords, C channels of a codebook.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.nn.hificodec import GroupedResidualVectorQuantizer
from codecfake.codec_adapters.nn.quantization import (
    ResidualVectorQuantizer,
    nearest_codewords,
)
from codecfake.codec_adapters.training.processes import share_first, sum_over_processes

if TYPE_CHECKING:
    from codecfake.codec_adapters.training.recipes import Recipe

KMEANS_ROUNDS = 10
KMEANS_VECTORS = 20_000
"""That k-means is done with, if there are as many."""
DEAD_SHARE = 0.02
"""A codeword used less than this share of the mean use is dead, and restarts from a vector of the batch."""


class Quantised(NamedTuple):
    """What a quantiser makes of latents while it learns."""

    latents: torch.Tensor
    """Shape (B, D, F); gradients pass straight through to the latents before."""
    commitment: torch.Tensor
    """Squared distance of the latents from their codewords, summed over codebooks, relative to their variance."""
    codebook: torch.Tensor | None = None
    """Squared distance of the codewords from their latents, where codewords learn by gradient."""


class Dropout(NamedTuple):
    """Quantiser dropout: some items of a batch use only the first so many codebooks."""

    share: float = 0.0
    """Of items."""
    choices: tuple[int, ...] = ()
    """Numbers of codebooks that are drawn from, all equally likely; every number when empty."""

    def draw(self, items: int, codebooks: int, generator: torch.Generator) -> torch.Tensor:
        """Draw the number of codebooks of each item, shape (items,)."""
        counts = torch.full((items,), codebooks)
        if self.share:
            choices = torch.tensor(self.choices or range(1, codebooks + 1))
            drawn = choices[torch.randint(len(choices), (items,), generator=generator)]
            dropped = torch.rand(items, generator=generator) < self.share
            counts = torch.where(dropped, drawn.clamp_max(codebooks), counts)
        return counts


class QuantizerLearner(ABC):
    """A quantiser of a network in a form that learns; it changes the network's own tensors."""

    @abstractmethod
    def is_initialised(self) -> bool:
        """Tell whether the codebooks hold anything."""

    @abstractmethod
    def initialise(self, vectors: torch.Tensor, generator: torch.Generator) -> None:
        """Make the codebooks from latents, shape (M, D)."""

    @abstractmethod
    def __call__(
        self, latents: torch.Tensor, generator: torch.Generator, *, learns: bool = True
    ) -> Quantised:
        """Quantise latents, shape (B, D, F), and learn from them unless ``learns`` is false.

        Args:
            latents: In single precision.
            generator: On the CPU; for dropout and for the restart of dead codewords.
            learns: Whether running means move.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What the network's own tensors do not hold."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what ``state_dict`` gave."""


class RunningMeanLearner(QuantizerLearner):
    """Residual Euclidean codebooks that follow the running means of what chose their codewords.

    van den Oord et al. 2017, "Neural Discrete Representation Learning" (arXiv 1711.00937), appendix A.1, with the
    k-means start and the restart of unused codewords of SoundStream (arXiv 2107.03312, section III-C). With several
    processes the statistics are those of all of them.

    Args:
        quantizer: Whose codebooks learn.
        decay: Of the running means.
        dropout: Over codebooks.
    """

    def __init__(self, quantizer: ResidualVectorQuantizer, decay: float, dropout: Dropout) -> None:
        self._quantizer = quantizer
        self._decay = decay
        self._dropout = dropout
        codebooks = quantizer.codebooks
        self._use = torch.ones(codebooks.shape[:2], device=codebooks.device)
        self._sums = codebooks.detach().clone()

    def is_initialised(self) -> bool:
        """See the base class."""
        return bool(self._quantizer.codebooks.any())

    @torch.no_grad()
    def initialise(self, vectors: torch.Tensor, generator: torch.Generator) -> None:
        """See the base class."""
        residual = vectors
        for codebook in self._quantizer.codebooks:
            codebook.copy_(kmeans(residual, codebook.shape[0], generator))
            residual = residual - codebook[nearest_codewords(residual, codebook)]
        share_first(self._quantizer.codebooks)
        self._use = torch.ones_like(self._use)
        self._sums = self._quantizer.codebooks.clone()

    def __call__(
        self, latents: torch.Tensor, generator: torch.Generator, *, learns: bool = True
    ) -> Quantised:
        """See the base class."""
        items, channels, frames = latents.shape
        codebooks = self._quantizer.codebooks
        counts = self._dropout.draw(items, len(codebooks), generator).to(latents.device)
        vectors = latents.transpose(1, 2).flatten(0, 1)
        residual, residuals, chosen = vectors, [], []
        commitment = vectors.new_zeros(())
        uses = (torch.arange(len(codebooks), device=latents.device)[:, None] < counts).repeat_interleave(
            frames, 1
        )
        for codebook, used in zip(codebooks, uses, strict=True):
            indices = nearest_codewords(residual.detach(), codebook)
            words = codebook[indices] * used[:, None]
            residuals.append(residual.detach())
            chosen.append(indices)
            commitment = commitment + ((residual - words) * used[:, None]).square().mean()
            residual = residual - words
        quantised = (vectors - residual).detach().view(items, frames, channels).transpose(1, 2)
        if learns:
            self._follow(torch.stack(residuals), torch.stack(chosen), uses, generator)
        commitment = commitment / vectors.detach().var().clamp_min(1e-6)
        return Quantised(latents + (quantised - latents).detach(), commitment)

    def state_dict(self) -> dict[str, Any]:
        """See the base class."""
        return {"use": self._use.clone(), "sums": self._sums.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See the base class."""
        self._use.copy_(state["use"])
        self._sums.copy_(state["sums"])

    @torch.no_grad()
    def _follow(
        self,
        residuals: torch.Tensor,
        indices: torch.Tensor,
        uses: torch.Tensor,
        generator: torch.Generator,
    ) -> None:
        """Move the codewords towards the residuals, (K, M, D), that chose them by (K, M), and restart dead ones."""
        codebooks, size, _ = self._quantizer.codebooks.shape
        rows = indices + size * torch.arange(codebooks, device=indices.device)[:, None]
        weights = uses.to(residuals.dtype)
        use = torch.zeros_like(self._use).view(-1).index_add_(0, rows.view(-1), weights.view(-1))
        sums = torch.zeros_like(self._sums).view(codebooks * size, -1)
        sums.index_add_(0, rows.view(-1), (residuals * weights[..., None]).flatten(0, 1))
        sum_over_processes(use, sums)
        use, sums = use.view_as(self._use), sums.view_as(self._sums)
        mean_use = use.mean(dim=1, keepdim=True)
        share = (1 - self._decay) * (mean_use > 0)  # a codebook that all items dropped stays as it is
        mean_use = mean_use.clamp_min(1e-9)
        self._use.lerp_(use / mean_use, share)
        self._sums.lerp_(sums / mean_use[..., None], share[..., None])
        self._restart(residuals, uses, generator)
        self._quantizer.codebooks.copy_(self._sums / self._use[..., None])

    def _restart(self, residuals: torch.Tensor, uses: torch.Tensor, generator: torch.Generator) -> None:
        dead = self._use < DEAD_SHARE
        for codebook in dead.any(dim=1).nonzero().flatten().tolist():
            used = uses[codebook] if uses[codebook].any() else slice(None)
            found = draw(residuals[codebook, used], int(dead[codebook].sum()), generator)
            share_first(found)
            self._sums[codebook, dead[codebook]] = found
            self._use[codebook, dead[codebook]] = 1.0


class GroupedLearner(QuantizerLearner):
    """One learner per group of latent channels."""

    def __init__(self, quantizer: GroupedResidualVectorQuantizer, decay: float, dropout: Dropout) -> None:
        self._groups = [RunningMeanLearner(group, decay, dropout) for group in quantizer.groups]

    def is_initialised(self) -> bool:
        """See the base class."""
        return all(group.is_initialised() for group in self._groups)

    def initialise(self, vectors: torch.Tensor, generator: torch.Generator) -> None:
        """See the base class."""
        for group, part in zip(self._groups, vectors.chunk(len(self._groups), dim=1), strict=True):
            group.initialise(part, generator)

    def __call__(
        self, latents: torch.Tensor, generator: torch.Generator, *, learns: bool = True
    ) -> Quantised:
        """See the base class; every group draws its own dropout."""
        parts = latents.chunk(len(self._groups), dim=1)
        found = [
            group(part, generator, learns=learns) for group, part in zip(self._groups, parts, strict=True)
        ]
        commitment = torch.stack([part.commitment for part in found]).mean()
        return Quantised(torch.cat([part.latents for part in found], dim=1), commitment)

    def state_dict(self) -> dict[str, Any]:
        """See the base class."""
        return {str(index): group.state_dict() for index, group in enumerate(self._groups)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See the base class."""
        for index, group in enumerate(self._groups):
            group.load_state_dict(state[str(index)])


class PrincipalLearner(QuantizerLearner):
    """The factorised cosine codebooks of DAC, placed once: principal directions and k-means, then left alone.

    For reduced networks that have minutes: what the decoder learns from does not move, provided that the encoder is
    frozen too. With encoder and projections learning through such a quantiser, the loss climbed from its first
    hundred steps on.

    Args:
        quantizer: That of ``DacModel``.
        dropout: Over codebooks.
    """

    def __init__(self, quantizer: nn.Module, dropout: Dropout) -> None:
        self._layers = list(quantizer.quantizers)
        self._dropout = dropout
        quantizer.requires_grad_(False)

    def is_initialised(self) -> bool:
        """See the base class: random projections are not orthonormal."""
        basis = self._layers[0].in_proj.weight[..., 0]
        # half-precision storage costs three digits
        return torch.allclose(basis @ basis.T, torch.eye(len(basis), device=basis.device), atol=1e-2)

    @torch.no_grad()
    def initialise(self, vectors: torch.Tensor, generator: torch.Generator) -> None:
        """See the base class."""
        residual = vectors
        for layer in self._layers:
            mean = residual.mean(dim=0)
            centred = residual - mean
            _, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
            basis = directions[:, -layer.codebook_dim :].T  # (C, D)
            layer.in_proj.weight.copy_(basis[..., None])
            layer.in_proj.bias.copy_(-basis @ mean)
            layer.out_proj.weight.copy_(basis.T[..., None])
            layer.out_proj.bias.copy_(mean)
            projected = centred @ basis.T
            codebook = layer.codebook.weight
            codebook.copy_(kmeans(projected, codebook.shape[0], generator, nearest=nearest_directions))
            residual = centred - codebook[nearest_directions(projected, codebook)] @ basis
        share_first(*(parameter for layer in self._layers for parameter in layer.parameters()))

    @torch.no_grad()
    def __call__(
        self, latents: torch.Tensor, generator: torch.Generator, *, learns: bool = True
    ) -> Quantised:
        """See the base class."""
        counts = self._dropout.draw(len(latents), len(self._layers), generator).to(latents.device)
        residual = latents
        for place, layer in enumerate(self._layers):
            vectors = layer.in_proj(residual).transpose(1, 2)
            codebook = layer.codebook.weight
            words = codebook[nearest_directions(vectors.flatten(0, 1), codebook)].view(vectors.shape)
            used = (counts > place)[:, None, None]
            residual = residual - layer.out_proj(words.transpose(1, 2)) * used
        return Quantised(latents - residual, latents.new_zeros(()))

    def state_dict(self) -> dict[str, Any]:
        """See the base class."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See the base class."""


class GradientLearner(QuantizerLearner):
    """The factorised cosine codebooks of DAC, learning by gradient as its paper has them.

    Kumar et al. 2023 (arXiv 2306.06546), section 3.3: codeword and latent are compared in direction, the raw codeword
    is passed on, and codebook and commitment losses are summed over the codebooks that an item uses.

    Args:
        quantizer: That of ``DacModel``.
        dropout: Over codebooks.
    """

    def __init__(self, quantizer: nn.Module, dropout: Dropout) -> None:
        self._layers = list(quantizer.quantizers)
        self._dropout = dropout

    def is_initialised(self) -> bool:
        """See the base class: the random start is the paper's."""
        return True

    def initialise(self, vectors: torch.Tensor, generator: torch.Generator) -> None:
        """See the base class; nothing is done."""

    def __call__(
        self, latents: torch.Tensor, generator: torch.Generator, *, learns: bool = True
    ) -> Quantised:
        """See the base class."""
        counts = self._dropout.draw(len(latents), len(self._layers), generator).to(latents.device)
        residual, quantised = latents, latents.new_zeros(())
        commitment = codebook = latents.new_zeros(())
        for place, layer in enumerate(self._layers):
            used = (counts > place)[:, None, None].to(latents.dtype)
            projected = layer.in_proj(residual)
            indices = nearest_directions(
                projected.detach().transpose(1, 2).flatten(0, 1), layer.codebook.weight
            )
            words = layer.codebook(indices).view(len(latents), -1, projected.shape[1]).transpose(1, 2)
            commitment = commitment + ((projected - words.detach()) * used).square().mean()
            codebook = codebook + ((projected.detach() - words) * used).square().mean()
            passed = layer.out_proj(projected + (words - projected).detach()) * used
            quantised = quantised + passed
            residual = residual - passed
        return Quantised(quantised, commitment, codebook)

    def state_dict(self) -> dict[str, Any]:
        """See the base class."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See the base class."""


def learning_quantizer(network: nn.Module, recipe: "Recipe") -> QuantizerLearner:
    """Choose how the quantiser of ``network`` learns, by its class and by the recipe.

    The network must be on its device already.

    Raises:
        CodecError: If the recipe's way is none for such a quantiser.
    """
    quantizer = network.quantizer
    ways = {
        ("running means", ResidualVectorQuantizer): lambda: RunningMeanLearner(
            quantizer, recipe.codebook_decay, recipe.dropout
        ),
        ("running means", GroupedResidualVectorQuantizer): lambda: GroupedLearner(
            quantizer, recipe.codebook_decay, recipe.dropout
        ),
        ("principal directions", nn.Module): lambda: PrincipalLearner(quantizer, recipe.dropout),
        ("gradients", nn.Module): lambda: GradientLearner(quantizer, recipe.dropout),
    }
    factorised = hasattr(quantizer, "quantizers")
    way = ways.get((recipe.codebooks_learn_by, nn.Module if factorised else type(quantizer)))
    if way is None:
        raise CodecError(
            f"codebooks of {type(quantizer).__name__} do not learn by {recipe.codebooks_learn_by}"
        )
    return way()


def kmeans(
    vectors: torch.Tensor,
    codewords: int,
    generator: torch.Generator,
    nearest=nearest_codewords,
) -> torch.Tensor:
    """Place ``codewords`` codewords among vectors, shape (M, C), by Lloyd's iterations; shape (codewords, C)."""
    words = draw(vectors, codewords, generator)
    for _ in range(KMEANS_ROUNDS):
        indices = nearest(vectors, words)
        use = torch.bincount(indices, minlength=codewords)
        words = torch.zeros_like(words).index_add_(0, indices, vectors) / use.clamp_min(1)[:, None]
        empty = use == 0
        words[empty] = draw(vectors, int(empty.sum()), generator)
    return words


def nearest_directions(vectors: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """Index of the row of ``codebook``, shape (N, C), at the smallest angle to vectors of shape (M, C)."""
    return (functional.normalize(vectors) @ functional.normalize(codebook).T).argmax(dim=1)


def draw(vectors: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw ``count`` of the vectors, shape (M, C), with replacement."""
    return vectors[torch.randint(len(vectors), (count,), generator=generator).to(vectors.device)]
