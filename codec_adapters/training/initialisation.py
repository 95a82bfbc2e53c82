"""Data-dependent initialisation: every convolution starts with centred channels and a stated deviation over speech."""

import re

import torch
from torch import nn

BRANCH_END = re.compile(r"(pointwise|undilated\.\d+|res_unit\d+\.conv2)$")
"""Names of the convolutions that end a branch beside an identity."""
BRANCH_DEVIATION = 0.1
"""Of what they add: where many branches follow each other, a wave is lost among what they make of it at random."""
OUTPUT_DEVIATION = 0.1
"""Of what leaves the decoder: about the level of speech."""


def convolutions(module: nn.Module) -> dict[str, nn.Module]:
    """The convolutions within ``module`` by name, in the order in which the module lists them."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, nn.Conv1d | nn.ConvTranspose1d)
    }


@torch.no_grad()
def initialise_from_data(encoder: nn.Module, decoder: nn.Module, waves: torch.Tensor) -> None:
    """Scale weights and set biases so that what every convolution gives is centred, and of unit deviation or less.

    Deep stacks do not move for long otherwise; without the centring, what a channel does over time drowns, layer by
    layer, in the means that the activations leave. One scale serves all channels of a layer: a scale of its own
    would turn a channel that answers to next to nothing into an amplifier of noise.

    Args:
        encoder: Its convolutions may have weight norm.
        decoder: As well.
        waves: Real speech, shape (B, 1, T).
    """
    named = [*convolutions(encoder).items(), *convolutions(decoder).items()]
    deviations = {layer: BRANCH_DEVIATION if BRANCH_END.search(name) else 1.0 for name, layer in named}
    deviations[named[-1][1]] = OUTPUT_DEVIATION

    def rescale(module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        mean = output.mean(dim=(0, 2)) if module.bias is not None else output.new_zeros(output.shape[1])
        centred = output - mean[:, None]
        deviation = centred.std().clamp_min(1e-6) / deviations[module]
        scaled = (
            module.parametrizations.weight.original0 if hasattr(module, "parametrizations") else module.weight
        )
        scaled.div_(deviation)
        if module.bias is not None:
            module.bias.copy_(-mean / deviation)
        return centred / deviation

    hooks = []
    for layer in deviations:
        if layer.bias is not None:
            layer.bias.zero_()
        hooks.append(layer.register_forward_hook(rescale))
    try:
        decoder(encoder(waves))
    finally:
        for hook in hooks:
            hook.remove()
    last = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv1d | nn.GroupNorm)][-1]
    if isinstance(last, nn.GroupNorm):  # which undoes every scale before it
        last.weight.fill_(OUTPUT_DEVIATION)
