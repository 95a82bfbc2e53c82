"""Batch normalisation over all processes, so that their number does not change what is trained.

``torch.nn.SyncBatchNorm`` does the same on CUDA only; here a training on two CPUs can be compared with one on one.
Shape legend: B batch of this process, C channels.
"""

from typing import Any

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(_BatchNorm):
    """A batch norm whose mean and variance are those of the batches of all processes together, in float32 or better."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Every shape (B, C, ...) will do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, ...) over all but C; B may be 0 here if it is not in another process."""
        if not self.training:
            return super().forward(x)
        others = [0, *range(2, x.dim())]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        local = torch.cat([wide.sum(others), wide.new_tensor([wide.numel() / wide.shape[1]])])
        total = _SumOverProcesses.apply(local)
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = wide - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(others)) / count
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)


def share_batch_norms(network: nn.Module) -> None:
    """Let every batch norm of a network be one over all processes, in place; all that it holds stays."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SharedBatchNorm


class _SumOverProcesses(torch.autograd.Function):
    """A sum over the processes whose gradient is the sum of theirs."""

    @staticmethod
    def forward(_context: Any, values: torch.Tensor) -> torch.Tensor:
        return _sum(values)

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _sum(gradient)


def _sum(values: torch.Tensor) -> torch.Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
