"""Compare our HiFi-Codec (F06, B1, B2, B3) with the reference: the same random weights, in the official format.

    python benchmarks/references/hificodec.py CLONE_OF_ACADEMICODEC SCRATCH_FOLDER

The four differ in sampling rate and weights only, and F06 and B3 in nothing: one is compared at either rate.
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import torch
from comparison import compared, main, swelling_noise
from torch import nn

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.nn.hificodec import GroupedResidualVectorQuantizer

SECONDS = 4
CONFIGURATIONS = {
    "F06": "egs/HiFi-Codec-24k-320d/config_24k_320d.json",
    "B1": "egs/HiFi-Codec-16k-320d/config_16k_320d.json",
}


def import_reference(repository: Path) -> ModuleType:
    """Import the reference's ``VQVAE``; matplotlib, which its helpers for training import, need not be installed."""
    for plotting in ("matplotlib", "matplotlib.pylab"):
        if plotting not in sys.modules:
            sys.modules[plotting] = ModuleType(plotting)
            sys.modules[plotting].use = lambda _: None
    sys.path.insert(0, str(repository))
    try:
        return importlib.import_module("academicodec.models.hificodec.vqvae")
    finally:
        sys.path.remove(str(repository))


def randomise(part: nn.Module) -> None:
    """Give every layer random weights that let signals through, and normed ones magnitudes of their own."""
    for layer in part.modules():
        if isinstance(layer, nn.GroupNorm):
            nn.init.normal_(layer.weight, 1.0, 0.2)
            nn.init.normal_(layer.bias, std=0.2)
        if not isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            continue
        nn.init.normal_(layer.bias, std=0.05)
        if not hasattr(layer, "weight_g"):
            nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
            continue
        nn.init.normal_(layer.weight_v)
        magnitude = 1.0
        if isinstance(layer, nn.ConvTranspose1d):
            magnitude = (layer.out_channels * layer.stride[0] / layer.in_channels) ** 0.5
        layer.weight_g.copy_(magnitude * (0.8 + 0.4 * torch.rand_like(layer.weight_g)))


def save_random(vqvae: ModuleType, configuration: Path, waves: torch.Tensor, path: Path) -> None:
    """Save the three parts with random weights and spread codebooks, as the authors do."""
    sizes = vqvae.AttrDict(json.loads(configuration.read_text()))
    encoder, generator, quantizer = vqvae.Encoder(sizes), vqvae.Generator(sizes), vqvae.Quantizer(sizes)
    randomise(encoder)
    randomise(generator)
    latents = encoder(waves[:, None, :])
    handed_over = []
    hook = generator.conv_post.register_forward_hook(lambda *seen: handed_over.append(seen[-1]))
    generator(latents)
    hook.remove()
    generator.conv_post.weight_g.div_(3 * handed_over[0].std())
    drawn = GroupedResidualVectorQuantizer(sizes.n_code_groups, 2, sizes.n_codes, latents.shape[1])
    drawn.draw_codebooks(latents, torch.Generator().manual_seed(0))
    for group, codebooks in enumerate(drawn.groups):
        for layer, modules in enumerate((quantizer.quantizer_modules, quantizer.quantizer_modules2)):
            modules[group].embedding.weight.copy_(codebooks.codebooks[layer])
    parts = {"generator": generator, "encoder": encoder, "quantizer": quantizer}
    torch.save({name: part.state_dict() for name, part in parts.items()}, path)


def compare(repository: Path, folder: Path) -> list[dict]:
    """Compare codes, waveforms and times on noise of changing level.

    Args:
        repository: Clone of the reference.
        folder: Where the checkpoints are written, 255 MB each.
    """
    vqvae = import_reference(repository)
    return [compare_one(codec, vqvae, repository / file, folder) for codec, file in CONFIGURATIONS.items()]


def compare_one(codec_id: str, vqvae: ModuleType, configuration: Path, folder: Path) -> dict:
    torch.manual_seed(0)
    adapter = find_codec(codec_id)()
    samples = SECONDS * adapter.card.sample_rate
    waves = swelling_noise(samples)
    checkpoint = folder / adapter.card.checkpoint.files[0].path
    save_random(vqvae, configuration, waves, checkpoint)
    adapter.load(checkpoint)
    reference = vqvae.VQVAE(configuration, checkpoint, with_encoder=True).eval()

    codes = reference.encode(waves)
    expected = reference(codes)[:, 0, :]
    return compared(codec_id, adapter, waves, codes.mT, expected, lambda: reference(reference.encode(waves)))


if __name__ == "__main__":
    main(compare, __doc__)
