"""Compare our Descript Audio Codec with the reference: the same random weights, through the official format.

    python benchmarks/references/dac.py CLONE_OF_DESCRIPT_AUDIO_CODEC SCRATCH_FOLDER

Needs einops, which the reference's network uses. Its package imports audiotools and argbind for training, files and
downloads; none of these is used here, and stand-ins take their place.
"""

import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import torch
from comparison import compared, main, swelling_noise
from torch import nn

from codecfake.codec_adapters import find_codec

SECONDS = {"F07": 2, "D1": 4, "D2": 4}


def import_reference(repository: Path) -> ModuleType:
    """Import the package; ``dac`` must not be this script, which has the same name."""
    audiotools = MagicMock()
    audiotools.ml.BaseModel = type("BaseModel", (nn.Module,), {"INTERN": [], "EXTERN": []})
    stand_ins = {"audiotools": audiotools, "audiotools.ml": audiotools.ml, "argbind": MagicMock()}
    hidden = {name: sys.modules.pop(name, None) for name in ("dac", *stand_ins)}
    sys.modules.update(stand_ins)
    sys.path.insert(0, str(repository))
    try:
        import dac
    finally:
        sys.path.remove(str(repository))
        for name, module in hidden.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    return dac


def randomize(model: nn.Module, waves: torch.Tensor) -> None:
    """Draw weights that let signals through, and bring the output to a level at which its tanh is not saturated."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            taps = layer.weight[0].numel() if isinstance(layer, nn.Conv1d) else 2 * layer.in_channels
            nn.init.normal_(layer.weight_v)
            layer.weight_g.copy_(layer.weight_v.flatten(1).norm(dim=1).view_as(layer.weight_g) * taps**-0.5)
            nn.init.normal_(layer.bias, std=0.1)
        elif hasattr(layer, "alpha"):
            nn.init.uniform_(layer.alpha, 0.5, 1.5)
    output = model.decoder.model[-2]
    output.weight_g.mul_(1e-3)
    level = torch.atanh(model.decode(model.encode(waves[:, None, :])[0]) * (1 - 1e-6)).std()
    output.weight_g.mul_(0.3 / level)


def save_official(model: nn.Module, arguments: dict, path: Path) -> None:
    """Save as audiotools does: the arguments of the network beside its tensors."""
    metadata = {"kwargs": {**arguments, "quantizer_dropout": 0.5}}
    torch.save({"state_dict": model.state_dict(), "metadata": metadata}, path)


def compare(repository: Path, folder: Path) -> list[dict]:
    """Compare codes, waveforms and times on noise of changing level.

    Args:
        repository: Clone of the reference.
        folder: Where the checkpoints are written.
    """
    dac = import_reference(repository)
    rows = []
    for codec_id, seconds in SECONDS.items():
        torch.manual_seed(0)
        adapter = find_codec(codec_id)()
        sizes = adapter.card.network
        arguments = {
            "encoder_dim": sizes["encoder_hidden_size"],
            "encoder_rates": sizes["downsampling_ratios"],
            "decoder_dim": sizes["decoder_hidden_size"],
            "decoder_rates": sizes["upsampling_ratios"],
            "n_codebooks": sizes["n_codebooks"],
            "codebook_size": sizes["codebook_size"],
            "codebook_dim": sizes["codebook_dim"],
            "sample_rate": sizes["sampling_rate"],
        }
        samples = adapter.padded_length(seconds * adapter.card.sample_rate)
        waves = swelling_noise(samples)
        model = dac.DAC(**arguments).eval()
        randomize(model, waves)
        checkpoint = folder / adapter.card.checkpoint.files[0].path
        save_official(model, arguments, checkpoint)
        adapter.load(checkpoint)
        checkpoint.unlink()

        def reference(network: nn.Module = model, signal: torch.Tensor = waves) -> torch.Tensor:
            return network.decode(network.encode(signal[:, None, :])[0])[:, 0, :]

        codes = model.encode(waves[:, None, :])[1]
        rows.append(compared(codec_id, adapter, waves, codes, reference(), reference))
    return rows


if __name__ == "__main__":
    main(compare, __doc__)
