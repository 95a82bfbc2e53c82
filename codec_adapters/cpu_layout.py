"""Giving a network over waves the layers that a CPU runs fastest."""

from collections.abc import Mapping

import torch
from torch import nn

from codecfake.codec_adapters.nn import stepwise, tiled
from codecfake.codec_adapters.nn.audiodec import CausalUpsampling, GroupedField
from codecfake.codec_adapters.nn.hifigan import CausalConv1d

LAYERS: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: stepwise.StepwiseConv1d,
    CausalConv1d: stepwise.StepwiseCausalConv1d,
    nn.ConvTranspose1d: stepwise.StepwiseConvTranspose1d,
    CausalUpsampling: stepwise.StepwiseCausalUpsampling,
    GroupedField: stepwise.StepwiseGroupedField,
    nn.GroupNorm: stepwise.StepwiseGroupNorm,
    nn.ELU: tiled.TiledElu,
}
"""Layers by those that they take the place of; no subclass of these is touched."""


def lay_out_for_cpu(
    network: nn.Module, further_layers: Mapping[type[nn.Module], type[nn.Module]] | None = None
) -> None:
    """Give a network, in place, layers that keep the channels of a step together in memory.

    Its parameters keep their names, shapes and values, those of convolutions in that same order in memory. It is
    made for inference; what it gives differs by roundings.

    Args:
        network: A codec's network, on the CPU.
        further_layers: As ``LAYERS``, for layers that this network alone has.
    """
    layers = {**LAYERS, **(further_layers or {})}
    for layer in network.modules():
        if type(layer) in layers:
            layer.__class__ = layers[type(layer)]
        if isinstance(layer, stepwise.StepwiseConv1d | stepwise.StepwiseConvTranspose1d):
            image = layer.weight.data.unsqueeze(2)
            layer.weight.data = image.contiguous(memory_format=torch.channels_last).squeeze(2)
