"""Sharpness-aware minimisation: the ascent-descent step of SAM and ASAM around any optimiser.

SAM: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving Generalization", arXiv 2010.01412.
ASAM: Kwon et al. 2021, "ASAM: Adaptive Sharpness-Aware Minimization", arXiv 2102.11600.
CSAM (arXiv 2405.04880) is this step on the batches of :mod:`codecfake.detector.training.ratio_batches`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm

SAM_RHO = 0.05
"""Default of SAM (arXiv 2010.01412), and of the authors of Codecfake for all three."""

ASAM_RHO = 2.0
"""What ASAM needs: its scaled gradient is far shorter. The value of github.com/davda54/sam; the authors took 0.05."""


class SharpnessAware:
    """Takes a base optimiser's steps with the gradient at the worst point near the weights.

    With weights w, gradient g and T = 1 (SAM) or T = |w| elementwise (ASAM), the gradient is taken at
    w + rho T^2 g / ||T g||, and the base optimiser then steps from w, which is restored bit for bit.

    It is no ``torch.optim.Optimizer``: a schedule of the learning rate drives ``base``. It needs no gradient scaler:
    under autocast to bfloat16 weights and gradients are float32, with the range of bfloat16. The ascent uses the
    gradients as the closure leaves them. Where several processes train one network, the closure averages them, in both
    passes, so that the step does not depend on the number of processes; Foret et al. (section 4.1) instead let every
    device climb on its own part of the batch, which is another algorithm (m-sharpness).

    Args:
        base: The optimiser that takes the steps.
        network: What is trained; the statistics of its batch norms are learnt in the first pass only.
        rho: Radius of the neighbourhood; 0 gives the base optimiser's steps.
        adaptive: ASAM instead of SAM.
    """

    def __init__(
        self, base: torch.optim.Optimizer, network: nn.Module, *, rho: float = SAM_RHO, adaptive: bool = False
    ) -> None:
        if not rho >= 0:
            raise ValueError(f"rho is {rho}; it has to be 0 or above")
        self.base, self.network, self.rho, self.adaptive = base, network, rho, adaptive

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of the base optimiser."""
        return self.base.param_groups

    def step(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Take one step.

        Args:
            closure: Clears the gradients, computes the loss and its gradients, and returns the loss. It is called
                twice; whatever it raises leaves the weights as they were.

        Returns:
            The loss at the weights, of the first call.
        """
        with torch.enable_grad():
            loss = closure()
        with self._ascended(), torch.enable_grad(), frozen_statistics(self.network):
            closure()
        self.base.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes: nothing of a step outlives it but the base optimiser's state."""
        return {"base": self.base.state_dict(), "rho": self.rho, "adaptive": self.adaptive}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was called."""
        self.base.load_state_dict(state["base"])
        self.rho, self.adaptive = state["rho"], state["adaptive"]

    @contextmanager
    @torch.no_grad()
    def _ascended(self) -> Iterator[None]:
        """Move the weights to the worst point nearby, and back, whatever happens between."""
        weights = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        saved = [weight.detach().clone() for weight in weights]
        try:
            slopes = [w.abs() * w.grad if self.adaptive else w.grad for w in weights]
            scale = self.rho / (get_total_norm(slopes) + 1e-12)
            for weight, slope in zip(weights, slopes, strict=True):
                weight += scale.to(weight) * (weight.abs() * slope if self.adaptive else slope)
            yield
        finally:
            for weight, before in zip(weights, saved, strict=True):
                weight.copy_(before)


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norms use the statistics of their batch without learning them, or counting the batch."""
    norms = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
