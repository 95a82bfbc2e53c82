"""Residual blocks of HiFi-GAN, and their average, which HiFi-GAN calls multi-receptive field fusion.

Kong et al. 2020, "HiFi-GAN" (arXiv 2010.05646), section 2.2.
Shapes: B batch, C channels, T steps of whatever rate the block works at.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from codecfake.codec_adapters.nn.padding import pad

DILATIONS = (1, 3, 5)


class CausalConv1d(nn.Conv1d):
    """A convolution that sees zeros before the beginning, and nothing of what comes later."""

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, T) in, (B, C', T) out."""
        past = (self.kernel_size[0] - 1) * self.dilation[0]
        return super().forward(pad(signal, past, 0))


class ResBlock(nn.Module):
    """HiFi-GAN's first kind of residual block: per dilation one dilated and one undilated convolution.

    Args:
        channels: Channels in and out.
        kernel_size: Of every convolution; odd.
        dilations: One residual step each.
        groups: Groups of every convolution.
        causal: Pad with zeros on the left only, instead of equally on both sides.
        slope: Of the LeakyReLU before every convolution, for negative values.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilations: Sequence[int] = DILATIONS,
        *,
        groups: int = 1,
        causal: bool = False,
        slope: float = 0.1,
    ) -> None:
        super().__init__()
        self.slope = slope

        def convolution(dilation: int) -> nn.Conv1d:
            if causal:
                return CausalConv1d(channels, channels, kernel_size, dilation=dilation, groups=groups)
            padding = (kernel_size - 1) * dilation // 2
            return nn.Conv1d(
                channels, channels, kernel_size, padding=padding, dilation=dilation, groups=groups
            )

        self.dilated = nn.ModuleList(convolution(dilation) for dilation in dilations)
        self.undilated = nn.ModuleList(convolution(1) for _ in dilations)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, T) in and out."""
        for dilated, undilated in zip(self.dilated, self.undilated, strict=True):
            step = dilated(functional.leaky_relu(signal, self.slope))
            step = undilated(functional.leaky_relu(step, self.slope, inplace=True))
            step += signal
            signal = step
        return signal


class MultiReceptiveField(nn.ModuleList):
    """The mean of residual blocks that see the same signal through kernels of different sizes."""

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, T) in and out."""
        first, *others = self
        total = first(signal)
        for block in others:
            total += block(signal)
        return total / len(self)
