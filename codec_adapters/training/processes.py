"""What makes several processes train one network: the same start, and sums and means over all of them.

Without ``torch.distributed`` initialised, each of these leaves everything as it is.
"""

from collections.abc import Iterable

import torch
from torch import distributed, nn


def sum_over_processes(*tensors: torch.Tensor) -> None:
    """Sum each of the tensors over the processes, in place."""
    if distributed.is_initialized():
        for tensor in tensors:
            distributed.all_reduce(tensor)


@torch.no_grad()
def share_first(*tensors: torch.Tensor) -> None:
    """Give every process what the first one has, in place."""
    if distributed.is_initialized():
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over the processes, in place; all must have gradients for the same parameters."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not distributed.is_initialized() or not gradients:
        return
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(joined)
    joined /= distributed.get_world_size()
    parts = joined.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
