"""One training of one codec network, step by step; it is given waves and touches no file."""

import copy
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from codecfake.codec_adapters.training.adversary import Adversary
from codecfake.codec_adapters.training.codebooks import (
    KMEANS_VECTORS,
    learning_quantizer,
)
from codecfake.codec_adapters.training.initialisation import (
    convolutions,
    initialise_from_data,
)
from codecfake.codec_adapters.training.losses import LossWeights, ReconstructionLoss
from codecfake.codec_adapters.training.processes import (
    average_gradients,
    share_first,
    sum_over_processes,
)
from codecfake.codec_adapters.training.recipes import Recipe
from codecfake.codec_adapters.training.weight_norm import (
    normalise_weights,
    plain_weights,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RATE_RISE_STEPS = 50
"""Over which the learning rate rises from nothing."""


class TrainingDivergedError(ArithmeticError):
    """A loss is not a finite number any more."""


@dataclass(frozen=True)
class StepReport:
    """What one step did."""

    step: int
    """Steps taken so far, this one included."""
    losses: Mapping[str, float]
    """By the names of ``LossWeights``, not weighted; their weighted sum ``total``; the ``discriminator``'s own."""
    quantised: bool
    learning_rate: float
    seconds: float


class CodecTraining:
    """Trains encoder, quantiser and decoder of a network together.

    All randomness is a function of seed, step and process, so that a resumed training goes on exactly.

    Args:
        network: A codec network with ``encoder``, ``quantizer`` and ``decoder``; it is changed.
        recipe: How to train.
        fabric: Lightning's, already launched: its device is used, and its processes train one network together, each
            on batches of its own. Absent, the network trains where it is.
        seed: Of everything random.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        *,
        fabric: "Fabric | None" = None,
        seed: int,
    ) -> None:
        self.recipe = recipe
        self._seed = seed
        self._rank = fabric.global_rank if fabric else 0
        self._device = fabric.device if fabric else next(network.parameters()).device
        network.to(self._device).train()
        share_first(*network.state_dict().values())
        self._plain = copy.deepcopy(network)
        self._network = network
        if recipe.weight_norm:
            normalise_weights(convolutions(network.encoder) | convolutions(network.decoder))
            if recipe.codebooks_learn_by == "gradients":
                normalise_weights(convolutions(network.quantizer))
        self._learner = learning_quantizer(network, recipe)
        self._reconstruction = ReconstructionLoss(recipe.sample_rate, recipe.fft_sizes).to(self._device)
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            recipe.learning_rate,
            recipe.betas,
            weight_decay=recipe.weight_decay,
        )
        self._adversary = Adversary(recipe, self._device, seed) if recipe.discriminators else None
        self._average = self._copied_parameters()
        self._recent: deque[torch.Tensor] = deque()
        self._step = 0

    def initialise(self, waves: torch.Tensor) -> None:
        """Scale the network by real speech, shape (B, T); not for one that is to be trained on."""
        if self.recipe.data_dependent_start:
            initialise_from_data(
                self._network.encoder,
                self._network.decoder,
                self._prepare(waves)[:, None],
            )
            share_first(*self._network.state_dict().values())
        self._average = self._copied_parameters()

    def step(self, waves: torch.Tensor) -> StepReport:
        """Take one step.

        Args:
            waves: This process's batch, shape (B, T), in [-1, 1], T whole hops.

        Raises:
            TrainingDivergedError: If a loss is not finite; the weights are those before the step.
        """
        started = time.monotonic()
        recipe = self.recipe
        waves = self._prepare(waves)
        quantised = self._step >= recipe.warmup_steps
        if not self._learner.is_initialised():
            self._remember(waves)
            if quantised:
                self._make_codebooks()
        rate = recipe.learning_rate * self._rate_factor()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        decoded, losses = self._decode(waves, quantised)
        decoded = decoded[:, recipe.delay_samples :]
        waves = waves[:, : decoded.shape[1]]
        losses |= self._compare(decoded, waves)
        total = self._weights().total(losses)
        self._refuse_divergence(losses, total)
        self._optimizer.zero_grad(set_to_none=True)  # None also keeps a frozen encoder from weight decay
        total.backward()
        average_gradients(self._parameters)
        if recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, recipe.gradient_clip)
        self._optimizer.step()
        losses["total"] = total
        if self._is_adversarial() and self._discriminators_learn():
            with self._autocast():
                losses["discriminator"] = self._adversary.learn(decoded, waves, rate)
        self._step += 1
        self._follow()
        told = dict(zip(losses, torch.stack([*losses.values()]).tolist(), strict=True))
        return StepReport(self._step, told, quantised, rate, time.monotonic() - started)

    def averaged(self) -> nn.Module:
        """Give a network of the plain kind with the running mean of the weights, in evaluation mode."""
        copied = copy.deepcopy(self._plain)
        copied.load_state_dict(plain_weights(self._network.state_dict() | self._average))
        return copied.eval()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs to go on exactly; one process's state serves all."""
        return {
            "step": self._step,
            "network": self._network.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "learner": self._learner.state_dict(),
            "recent": list(self._recent),
            "adversary": self._adversary.state_dict() if self._adversary else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what ``state_dict`` gave in a training of the same recipe and seed."""
        self._step = state["step"]
        self._network.load_state_dict(state["network"])
        self._average = {name: tensor.to(self._device) for name, tensor in state["average"].items()}
        self._optimizer.load_state_dict(state["optimizer"])
        self._learner.load_state_dict(state["learner"])
        self._recent = deque(tensor.to(self._device) for tensor in state["recent"])
        if self._adversary:
            self._adversary.load_state_dict(state["adversary"])

    def _prepare(self, waves: torch.Tensor) -> torch.Tensor:
        """Bring waves to the device, and to the level that the network works at."""
        waves = waves.to(self._device)
        level = 1.0 if getattr(self._network, "level_normalised", False) else self.recipe.working_level
        if level is None:
            return waves
        return waves * (level / (1e-8 + waves.square().mean(dim=1, keepdim=True).sqrt()))

    def _decode(self, waves: torch.Tensor, quantised: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Send waves through the network; give what comes out, no longer than they are, and the quantiser's losses."""
        frozen = self.recipe.encoder_steps is not None and self._step >= self.recipe.encoder_steps
        losses = {}
        with self._autocast():
            with torch.set_grad_enabled(not frozen):
                latents = self._network.encoder(waves[:, None]).float()
            if quantised:
                with torch.autocast(self._device.type, enabled=False):
                    found = self._learner(latents, self._generator(), learns=not frozen)
                latents = found.latents
                losses["commitment"] = found.commitment
                if found.codebook is not None:
                    losses["codebook"] = found.codebook
            decoded = self._network.decoder(latents)[:, 0].float()
        return decoded[:, : waves.shape[1]], losses

    def _compare(self, decoded: torch.Tensor, waves: torch.Tensor) -> dict[str, torch.Tensor]:
        losses = self._reconstruction(decoded, waves, self._weights())
        if self._is_adversarial():
            with self._autocast():
                losses |= self._adversary.losses(decoded, waves)
        return losses

    def _weights(self) -> LossWeights:
        recipe = self.recipe
        return recipe.opening_losses if self._step < recipe.opening_steps else recipe.losses

    def _is_adversarial(self) -> bool:
        return self._adversary is not None and self._step >= self.recipe.reconstruction_steps

    def _discriminators_learn(self) -> bool:
        """Tell whether they take part in this step; the same in every process."""
        drawn = torch.rand((), generator=_seeded(self._seed, self._step, -1))
        return drawn.item() < self.recipe.discriminator_share

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16")

    def _generator(self) -> torch.Generator:
        """A source of randomness for this step of this process."""
        return _seeded(self._seed, self._step, self._rank)

    def _rate_factor(self) -> float:
        recipe = self.recipe
        rise = min(1.0, (self._step + 1) / RATE_RISE_STEPS)
        progress = min(1.0, self._step / recipe.steps)
        if recipe.schedule == "cosine":
            return rise * (
                recipe.final_rate + (1 - recipe.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
            )
        if recipe.schedule == "exponential":
            return rise * recipe.final_rate**progress
        return rise

    def _remember(self, waves: torch.Tensor) -> None:
        """Keep the waves of the last steps before the codebooks are made: codebooks need more than one batch."""
        frames = waves.shape[1] // self.recipe.hop_length * waves.shape[0]
        kept = -(-KMEANS_VECTORS // frames)
        if self._step >= self.recipe.warmup_steps - kept:
            self._recent.append(waves)

    @torch.no_grad()
    def _make_codebooks(self) -> None:
        latents = [self._network.encoder(waves[:, None]) for waves in self._recent]
        vectors = torch.cat([part.transpose(1, 2).flatten(0, 1) for part in latents])
        self._learner.initialise(vectors, self._generator())
        self._recent.clear()
        self._average = self._copied_parameters()

    def _refuse_divergence(self, losses: Mapping[str, torch.Tensor], total: torch.Tensor) -> None:
        everywhere = total.detach().clone()
        sum_over_processes(everywhere)  # so that all processes stop, not only the one whose batch it was
        if not torch.isfinite(everywhere):
            bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
            raise TrainingDivergedError(
                f"{', '.join(bad) or 'a loss of another process'} not finite at step {self._step + 1}: the learning "
                f"rate ({self.recipe.learning_rate:g}) may be too high, or the data hold samples that are no numbers"
            )

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights towards the present ones."""
        decay = min(self.recipe.averaging, self._step / (self._step + 9))
        named = dict(self._network.named_parameters())
        torch._foreach_lerp_(
            list(self._average.values()),
            [named[name] for name in self._average],
            1 - decay,
        )

    def _copied_parameters(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self._network.named_parameters()}


def _seeded(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(hash(numbers) % 2**63)
