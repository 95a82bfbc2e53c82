"""Compare our SoundStream (F01) with the reference: the same random weights, through the official checkpoint format.

    python benchmarks/references/soundstream.py CLONE_OF_SOUNDSTREAM_PYTORCH SCRATCH_FOLDER

The reference does not pad, so it is given the wave between the zeros that ours puts there itself. Its quantiser moves
its codebooks at every encoding, also in evaluation; that is switched off here, so that it decodes with the codebooks
that it encoded with, and can be timed more than once.
"""

import sys
from pathlib import Path
from types import ModuleType

import torch
from comparison import compared, main, swelling_noise
from torch import nn
from torch.nn import functional

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.nn.quantization import ResidualVectorQuantizer
from codecfake.codec_adapters.nn.soundstream import Edges

SECONDS = 4


def import_reference(repository: Path) -> ModuleType:
    """Import the reference's ``hubconf``; its ``soundstream`` must not be this script, which has the same name."""
    shadowing = sys.modules.pop("soundstream", None)
    sys.path.insert(0, str(repository))
    try:
        import hubconf
    finally:
        sys.path.remove(str(repository))
        if shadowing is not None:
            sys.modules["soundstream"] = shadowing
    return hubconf


def build_reference(hubconf: ModuleType, waves: torch.Tensor) -> nn.Module:
    """Build the published network with random weights that let signals through, and spread codebooks."""
    model = hubconf.EncoderDecoder().eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            taps = layer.weight[0].numel() if isinstance(layer, nn.Conv1d) else 2 * layer.in_channels
            nn.init.normal_(layer.weight, std=1.2 * taps**-0.5)
            nn.init.normal_(layer.bias, std=0.1)
    latents, quantizer = model.encoder(waves[:, None, :]), model.quantizer
    output = model.decoder.layers[-2]
    before_tanh = model.decoder.layers[:-1](latents)
    output.bias.sub_(before_tanh.mean()).div_(3 * before_tanh.std())
    output.weight.div_(3 * before_tanh.std())
    drawn = ResidualVectorQuantizer(*quantizer.weight.shape)
    drawn.draw_codebooks(latents, torch.Generator().manual_seed(0))
    quantizer.weight.copy_(drawn.codebooks)
    quantizer.running_mean.copy_(drawn.codebooks * quantizer.code_relative_frequency[..., None])
    quantizer.eps = 0.0
    quantizer._update_averages = lambda *_: None
    return model


def save_official(model: nn.Module, hubconf: ModuleType, path: Path) -> None:
    """Save as Lightning does, with the networks of training beside the codec."""
    reference = sys.modules[hubconf.Encoder.__module__]
    training = nn.ModuleDict(
        {
            "wave_discriminators": nn.ModuleList(reference.WaveDiscriminator(scale) for scale in (1, 2, 4)),
            "stft_discriminator": reference.STFTDiscriminator(),
        }
    )
    content = {
        "epoch": 150,
        "global_step": 1,
        "pytorch-lightning_version": "2.0.1",
        "state_dict": model.state_dict() | training.state_dict(),
        "hyper_parameters": {"n_channels": 32, "padding": "valid", "dataset": "librispeech"},
    }
    torch.save(content, path)


def compare(repository: Path, folder: Path) -> list[dict]:
    """Compare codes, waveforms and times on noise of changing level.

    Args:
        repository: Clone of the reference.
        folder: Where the checkpoint is written.
    """
    torch.manual_seed(0)
    adapter = find_codec("F01")()
    samples = SECONDS * adapter.card.sample_rate
    waves = swelling_noise(samples)
    edges = Edges.of(adapter.card.network["strides"])
    padded = functional.pad(waves, (edges.left, edges.right))

    hubconf = import_reference(repository)
    reference = build_reference(hubconf, padded)
    checkpoint = folder / "soundstream.ckpt"
    save_official(reference, hubconf, checkpoint)
    adapter.load(checkpoint)

    codes = reference.encode(padded)
    expected = reference.decode(codes)[:, edges.crop :][:, :samples]
    return [
        compared(
            "F01", adapter, waves, codes.mT, expected, lambda: reference.decode(reference.encode(padded))
        )
    ]


if __name__ == "__main__":
    main(compare, __doc__)
