"""Compare our FreqCodec (F1, F2) with FunCodec's: the same random weights, in the official format.

    python benchmarks/references/freqcodec.py CLONE_OF_FUNCODEC SCRATCH_FOLDER

Compared are the two codecs at the sizes of their cards, and F2 by the recipe that FunCodec publishes for the larger
network, with LSTMs and without groups. What FunCodec imports and this comparison does not need may be absent;
torchaudio's two transforms are then calls of torch, as they are in torchaudio.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
import yaml
from comparison import compared, main, swelling_noise
from torch import nn

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.nn.freqcodec_settings import DECODER_SIZES, HALF_SIZES
from codecfake.codec_adapters.nn.quantization import ResidualVectorQuantizer

SECONDS = 4
RECIPE = "egs/LibriTTS/codec/conf/freqcodec_mag_phase_16k_n32_600k_step.yaml"
CONFIGURATIONS = {"F1": "F1", "F2": "F2", "F2 by FunCodec's recipe": "F2"}


class Spectrogram(nn.Module):
    def __init__(self, n_fft: int, hop_length: int, power: float | None = None) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft))

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        return torch.stft(waves, self.n_fft, self.hop_length, window=self.window, return_complex=True)


class InverseSpectrogram(Spectrogram):
    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        return torch.istft(spectrum, self.n_fft, self.hop_length, window=self.window)


def rearrange(tensor: torch.Tensor, pattern: str) -> torch.Tensor:
    """Do the two patterns that FunCodec's quantiser needs."""
    return tensor.flatten(0, -2) if pattern == "... d -> (...) d" else tensor.transpose(1, 2)


STAND_INS = {
    "torchaudio": {},
    "torchaudio.transforms": {"Spectrogram": Spectrogram, "InverseSpectrogram": InverseSpectrogram},
    "librosa": {},
    "librosa.filters": {"mel": lambda n_fft, n_mels, **_: torch.zeros(n_mels, n_fft // 2 + 1).numpy()},
    "einops": {"rearrange": rearrange, "repeat": None},
    "typeguard": {"check_argument_types": lambda: True},
}


def stand_in_for_absent_modules() -> None:
    for name, content in STAND_INS.items():
        try:
            import_module(name)
        except (ImportError, OSError):
            module = sys.modules[name] = ModuleType(name)
            vars(module).update(content)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)


def build_reference(settings: dict) -> nn.Module:
    """Build FunCodec's model as its task does, but for the discriminator, of which one layer stands in."""
    names = {
        "encoder": "encoder.seanet_encoder.SEANetEncoder2d",
        "quantizer": "quantizer.costume_quantizer.CostumeQuantizer",
        "decoder": "decoder.seanet_decoder.SEANetDecoder2d",
        "model": "codec_freq.FreqCodec",
    }
    classes = {}
    for part, name in names.items():
        module, _, found = name.rpartition(".")
        classes[part] = getattr(import_module(f"funcodec.models.{module}"), found)
    encoder = classes["encoder"](input_size=settings["input_size"], **settings["encoder_conf"])
    quantizer = classes["quantizer"](input_size=encoder.output_size(), **settings["quantizer_conf"])
    decoder = classes["decoder"](input_size=quantizer.output_size(), **settings["decoder_conf"])
    return classes["model"](
        input_size=settings["input_size"],
        encoder=encoder,
        quantizer=quantizer,
        decoder=decoder,
        discriminator=nn.Linear(1, 1),
        **settings["model_conf"],
    ).eval()


def settings_of(network: dict, recipe: dict) -> dict:
    """Put the sizes of ``network`` into FunCodec's recipe."""
    settings = recipe | {
        "encoder_conf": {**recipe["encoder_conf"]},
        "decoder_conf": {**recipe["decoder_conf"]},
    }
    for half, names in (("encoder", HALF_SIZES), ("decoder", DECODER_SIZES)):
        sizes = {theirs: network[half][ours] for ours, theirs in names.items()}
        layers = sizes.pop("seq_layer_num")
        sizes["seq_model"] = "lstm" if layers else "none"
        settings[f"{half}_conf"] |= {name: -1 if size is None else size for name, size in sizes.items()}
    return settings


def randomise(reference: nn.Module, waves: torch.Tensor) -> None:
    """Give the group norms values of their own, and spread the codebooks over the latents of ``waves``."""
    for layer in reference.modules():
        if isinstance(layer, nn.GroupNorm):
            nn.init.normal_(layer.weight, 1.0, 0.2)
            nn.init.normal_(layer.bias, std=0.2)
    ((latents, _),) = reference._encode(waves[:, None, :])
    held = reference.quantizer.rq.model
    drawn = ResidualVectorQuantizer(*held.embed.shape)
    drawn.draw_codebooks(latents.mT, torch.Generator().manual_seed(0))
    held.embed.copy_(drawn.codebooks)
    held.inited.fill_(1)  # or they are drawn anew from the first input


def compare(repository: Path, folder: Path) -> list[dict]:
    """Compare codes, waveforms and times on noise of changing level.

    The reference's waveform is taken before it is cut to the input's length, and without the delay that the card
    states.

    Args:
        repository: Clone of FunCodec.
        folder: Where the checkpoints are written, 36 to 100 MB each.
    """
    stand_in_for_absent_modules()
    sys.path.insert(0, str(repository))
    recipe = yaml.safe_load((repository / RECIPE).read_text())
    rows = []
    for number, (name, codec_id) in enumerate(CONFIGURATIONS.items()):
        torch.manual_seed(number)
        adapter = find_codec(codec_id)()
        settings = settings_of(adapter.card.network, recipe) if name == codec_id else recipe
        reference = build_reference(settings)
        samples = SECONDS * adapter.card.sample_rate
        waves = swelling_noise(samples)
        randomise(reference, waves)
        checkpoint = folder / name.replace(" ", "-")
        checkpoint.mkdir(parents=True, exist_ok=True)
        torch.save(reference.state_dict(), checkpoint / "model.pth")
        (checkpoint / "config.yaml").write_text(yaml.safe_dump(settings))
        adapter.load(checkpoint)

        told = reference.inference(waves)
        codes = told["code_indices"][0].movedim(0, 1)
        expected = reference._decode(told["code_embeddings"])[:, 0, adapter.network.delay :]
        rows.append(
            compared(name, adapter, waves, codes, expected, lambda: reference.inference(waves))  # noqa: B023
        )
    return rows


if __name__ == "__main__":
    main(compare, __doc__)
