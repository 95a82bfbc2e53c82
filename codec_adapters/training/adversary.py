"""The other side of an adversarial training: discriminators, and how they learn beside the codec."""

from typing import Any

import torch

from codecfake.codec_adapters.training.discriminators import (
    adversarial_loss,
    build_discriminators,
    discriminator_loss,
    feature_distance,
)
from codecfake.codec_adapters.training.processes import average_gradients, share_first
from codecfake.codec_adapters.training.recipes import Recipe


class Adversary:
    """Discriminators with their optimiser.

    Args:
        recipe: Which discriminators, and how they learn.
        device: Where the codec trains.
        seed: Of their first weights.
    """

    def __init__(self, recipe: Recipe, device: torch.device, seed: int) -> None:
        self._recipe = recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._discriminators = build_discriminators(recipe.discriminators, recipe.discriminator_channels)
        self._discriminators.to(device)
        share_first(*self._discriminators.state_dict().values())
        self._optimizer = torch.optim.AdamW(
            self._discriminators.parameters(),
            recipe.learning_rate,
            recipe.betas,
            weight_decay=recipe.weight_decay,
        )

    def learn(self, decoded: torch.Tensor, original: torch.Tensor, rate: float) -> torch.Tensor:
        """Take a step in telling waves, shape (B, T), apart; give the loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        judgements = (
            self._discriminators(original),
            self._discriminators(decoded.detach()),
        )
        loss = discriminator_loss(*judgements, self._recipe.adversarial_kind)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self._discriminators.parameters())
        self._optimizer.step()
        return loss.detach()

    def losses(self, decoded: torch.Tensor, original: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the codec learns from the discriminators, by the names of ``LossWeights``."""
        recipe = self._recipe
        self._discriminators.requires_grad_(False)
        found = self._discriminators(decoded)
        with torch.no_grad():
            wanted = self._discriminators(original)
        self._discriminators.requires_grad_(True)
        return {
            "adversarial": adversarial_loss(found, recipe.adversarial_kind),
            "feature_matching": feature_distance(wanted, found, relative=recipe.relative_features),
        }

    def state_dict(self) -> dict[str, Any]:
        """Discriminators and optimiser."""
        return {
            "discriminators": self._discriminators.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what ``state_dict`` gave."""
        self._discriminators.load_state_dict(state["discriminators"])
        self._optimizer.load_state_dict(state["optimizer"])
