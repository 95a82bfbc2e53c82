"""Compare our AudioDec with the reference: the same random weights, through the official checkpoint format.

    python benchmarks/references/audiodec.py CLONE_OF_AUDIODEC SCRATCH_FOLDER

The reference runs its offline mode, as its codecTest.py does. Beside F05 it is the two other kinds of vocoder that are
compared: version 0, of three kernel sizes, and version 2.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch
import yaml
from comparison import compared, main, swelling_noise
from torch import nn

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.codec_adapters.codecs.audiodec import AUTOENCODER, SETTINGS, VOCODER, WEIGHTS
from codecfake.codec_adapters.nn.quantization import ResidualVectorQuantizer

SECONDS = 4
VOCODERS = {"F05": ([11], 3), "F05 with vocoder v0": ([3, 7, 11], 1), "F05 with vocoder v2": ([3], 3)}
"""Kernel sizes and groups of each."""


def import_reference(repository: Path) -> tuple[type[nn.Module], type[nn.Module]]:
    """Import the classes of the autoencoder and of the vocoder; the discriminators' spectrogram is not needed."""
    if "torchaudio" not in sys.modules:
        stub = ModuleType("torchaudio.functional")
        stub.spectrogram = None
        sys.modules |= {"torchaudio": ModuleType("torchaudio"), "torchaudio.functional": stub}
    sys.path.insert(0, str(repository))
    try:
        from models.autoencoder.AudioDec import Generator as Autoencoder
        from models.vocoder.HiFiGAN import Generator as Vocoder
    finally:
        sys.path.remove(str(repository))
    return Autoencoder, Vocoder


def randomize(network: nn.Module) -> None:
    """Draw weights that let signals through; a weight norm's gain is no longer the length of its direction."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            taps = layer.weight[0].numel() if isinstance(layer, nn.Conv1d) else 2 * layer.in_channels
            if hasattr(layer, "weight_v"):
                nn.init.normal_(layer.weight_v)
                layer.weight_g.copy_(
                    layer.weight_v.flatten(1).norm(dim=1).view_as(layer.weight_g) * taps**-0.5
                )
            else:
                nn.init.normal_(layer.weight, std=taps**-0.5)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1)


def build_reference(
    repository: Path, folder: Path, kernel_sizes: list[int], groups: int, waves: torch.Tensor
) -> tuple[nn.Module, nn.Module]:
    """Build both halves from the published settings, and save them as published."""
    halves = []
    for half, generator in zip((AUTOENCODER, VOCODER), import_reference(repository), strict=True):
        published = repository / "exp" / half / SETTINGS
        settings = yaml.safe_load(published.read_text(encoding="utf-8"))
        parameters = settings["generator_params"]
        if "stats" in parameters:
            parameters |= {"resblock_kernel_sizes": kernel_sizes, "groups": groups}
            parameters["resblock_dilations"] = [[1, 3, 5] for _ in kernel_sizes]
            network = generator(**parameters | {"stats": str(repository / parameters["stats"])})
        else:
            network = generator(**parameters)
        randomize(network)
        halves.append(network.eval())
        (folder / half).mkdir(parents=True, exist_ok=True)
        (folder / half / SETTINGS).write_text(yaml.safe_dump(settings), encoding="utf-8")
    autoencoder, vocoder = halves
    latents = autoencoder.projector(autoencoder.encoder(waves[:, None, :]))
    layers = autoencoder.quantizer.codebook.layers
    drawn = ResidualVectorQuantizer(len(layers), layers[0].n_embed, layers[0].dim)
    drawn.draw_codebooks(latents, torch.Generator().manual_seed(0))
    for layer, codebook in zip(layers, drawn.codebooks, strict=True):
        layer.embed.copy_(codebook.T)
    vocoder.mean.copy_(latents.mean(dim=(0, 2)))
    vocoder.scale.copy_(latents.std(dim=(0, 2)))
    quieten(vocoder, latents)
    for half, network in zip((AUTOENCODER, VOCODER), halves, strict=True):
        torch.save({"model": {"generator": network.state_dict()}, "steps": 500_000}, folder / half / WEIGHTS)
    return autoencoder, vocoder


def quieten(vocoder: nn.Module, latents: torch.Tensor) -> None:
    """Bring the output to a level at which its tanh is not saturated."""
    level = torch.atanh(vocoder(latents).clamp(-0.999, 0.999)).std()
    vocoder.output_conv.conv.weight_g.mul_(0.3 / level)
    vocoder.output_conv.conv.bias.mul_(0.3 / level)


def adapter_of(kernel_sizes: list[int], groups: int) -> CodecAdapter:
    """F05, with another vocoder on its card."""
    family = find_codec("F05")
    vocoder = {"vocoder_kernel_sizes": kernel_sizes, "vocoder_groups": groups}
    card = replace(family.card, network={**family.card.network, **vocoder})
    return type("Variant", (family,), {"card": card})()


def compare(repository: Path, folder: Path) -> list[dict]:
    """Compare codes, waveforms and times on noise of changing level.

    Args:
        repository: Clone of the reference.
        folder: Where the checkpoints are written.
    """
    rows = []
    for name, (kernel_sizes, groups) in VOCODERS.items():
        torch.manual_seed(0)
        adapter = adapter_of(kernel_sizes, groups)
        samples = SECONDS * adapter.card.sample_rate
        waves = swelling_noise(samples)
        autoencoder, vocoder = build_reference(repository, folder / "audiodec", kernel_sizes, groups, waves)
        adapter.load(folder / "audiodec")
        shutil.rmtree(folder / "audiodec")

        def reference(half: nn.Module = autoencoder, other: nn.Module = vocoder) -> torch.Tensor:
            quantised, *_ = half.quantizer(half.projector(half.encoder(waves[:, None, :])))  # noqa: B023
            return other(quantised)[:, 0, :]

        latents = autoencoder.projector(autoencoder.encoder(waves[:, None, :]))
        codes = autoencoder.quantizer.inference(latents)[1].reshape(adapter.card.codebooks, 1, -1)
        rows.append(compared(name, adapter, waves, codes.transpose(0, 1), reference(), reference))
    return rows


if __name__ == "__main__":
    main(compare, __doc__)
