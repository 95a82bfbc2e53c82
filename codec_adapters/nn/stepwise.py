"""Layers over waves that keep the channels of a step together in memory, for networks on a CPU.

oneDNN convolves such features up to three times as fast as those whose channels lie apart, as torch has them by
itself, and a convolution in two dimensions is where torch lets it. Every layer has the shapes, the parameters and
their names of its base class, and gives what that gives but for the order in which sums are taken.
Shapes: B batch, C channels, S steps.
"""

import torch
from torch import nn
from torch.nn import functional

from codecfake.codec_adapters.nn.audiodec import CausalUpsampling, GroupedField
from codecfake.codec_adapters.nn.hifigan import CausalConv1d
from codecfake.codec_adapters.nn.padding import pad

ONEDNN_ELEMENTS = 20_480
"""A single input of no more is not convolved by oneDNN, and dilated ones of that size are slow elsewhere."""


class StepwiseConv1d(nn.Conv1d):
    """``nn.Conv1d`` over features whose channels lie together."""

    def _conv_forward(
        self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        (padding,), (dilation,) = self.padding, self.dilation
        if self.kernel_size == (1,):
            # A kernel of one step has nothing to dilate, but torch gives an undilated one to a slower product.
            dilation = 2 if input[0].numel() > ONEDNN_ELEMENTS else 1
        elif padding and dilation > 1:
            # oneDNN is slow where it pads what it dilates.
            input, padding = pad(_together(input), padding, padding), 0
        return self._convolve(input, padding, dilation)

    def _convolve(self, signal: torch.Tensor, padding: int, dilation: int) -> torch.Tensor:
        (stride,) = self.stride
        return functional.conv2d(
            _image(signal),
            self.weight.unsqueeze(2),
            self.bias,
            (1, stride),
            (0, padding),
            (1, dilation),
            self.groups,
        ).squeeze(2)


class StepwiseCausalConv1d(StepwiseConv1d, CausalConv1d):
    """``CausalConv1d`` over features whose channels lie together."""

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """See the base class."""
        if self.stride != (1,) or self.dilation != (1,):
            return super().forward(signal)
        # What is padded at the end, too, is cheaper to cut off than a copy of all with zeros before it.
        whole = self._convolve(signal, padding=self.kernel_size[0] - 1, dilation=1)
        return whole[..., : signal.shape[-1]]


class StepwiseConvTranspose1d(nn.ConvTranspose1d):
    """``nn.ConvTranspose1d`` over features whose channels lie together."""

    def forward(self, input: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """See the base class."""
        assert output_size is None, "no codec asks for a length"
        (padding,), (stride,), (dilation,) = self.padding, self.stride, self.dilation
        return functional.conv_transpose2d(
            _image(input),
            self.weight.unsqueeze(2),
            self.bias,
            (1, stride),
            (0, padding),
            (0, *self.output_padding),
            self.groups,
            (1, dilation),
        ).squeeze(2)


class StepwiseCausalUpsampling(CausalUpsampling, StepwiseConvTranspose1d):
    """``CausalUpsampling`` over features whose channels lie together."""


class StepwiseGroupedField(GroupedField):
    """``GroupedField`` over features whose channels lie together."""

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """See the base class."""
        copied = signal.transpose(1, 2).repeat(1, 1, self.copies).transpose(1, 2)
        return self.mixture(self.block(copied))


class StepwiseGroupNorm(nn.GroupNorm):
    """``nn.GroupNorm`` over features whose channels lie together; images stay as they are.

    Torch's own for that order in memory is twenty times less exact, and not used.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """See the base class."""
        if input.dim() != 3:
            return super().forward(input)
        if self.num_groups > 1:
            return _together(super().forward(input.contiguous()))
        together = _together(input).transpose(1, 2)
        normalised = functional.group_norm(together.reshape(len(input), 1, -1), 1, eps=self.eps)
        return torch.addcmul(self.bias, normalised.view(together.shape), self.weight).transpose(1, 2)


def _together(features: torch.Tensor) -> torch.Tensor:
    """Features of shape (B, C, S), copied where the channels of a step lie apart."""
    return features.transpose(1, 2).contiguous().transpose(1, 2)


def _image(features: torch.Tensor) -> torch.Tensor:
    """View features of shape (B, C, S), or a copy of them, as an image of shape (B, C, 1, S)."""
    features = _together(features)
    batch, channels, steps = features.shape
    # By explicit strides, because torch takes a single channel for the other layout.
    return features.as_strided((batch, channels, 1, steps), (steps * channels, 1, steps * channels, channels))
