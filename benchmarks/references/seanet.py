"""EnCodec, FunCodec and SpeechTokenizer here against their original code, at full size with random weights.

The repository decides which: a clone of facebookresearch/encodec, modelscope/FunCodec or ZhangXInFD/SpeechTokenizer.
Its network is saved in the layout of its official checkpoint, which the adapter reads. Needs ``pip install einops``;
what else the originals import is not used here and is replaced by stubs.

    python benchmarks/references/seanet.py CLONE FOLDER
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import torch
from comparison import compared, main, swelling_noise
from torch import nn

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.nn.quantization import ResidualVectorQuantizer

SECONDS = (4.0, 3.0077)
"""Of 24 and 16 kHz: whole frames, and a last frame that is not full."""

Run = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Waves (B, T) to codes (B, K, F) and waves (B, T')."""


class Reference(NamedTuple):
    """A network of the original code."""

    latents: Callable[[torch.Tensor], torch.Tensor]
    """Waves (B, T) to what the quantiser gets, shape (B, D, F)."""
    set_codebooks: Callable[[torch.Tensor], None]
    """Take codebooks of shape (K, N, D)."""
    save: Callable[[Path], None]
    """Write the official checkpoint into a folder."""
    run: Callable[[int], Run]
    """Give the resynthesis with so many codebooks."""


def compare(repository: Path, folder: Path) -> list[dict[str, Any]]:
    """Run the codecs of one repository, and ours, over the same waves on one thread.

    Args:
        repository: Clone of one of the three.
        folder: For checkpoints.
    """
    package = next(name for name in CODECS if (repository / name).is_dir())
    _prepare_import(repository, package)
    rows = []
    for checkpoint_codec, others in CODECS[package].items():
        torch.manual_seed(0)
        card = find_codec(checkpoint_codec).card
        reference = BUILDERS[package](card.network)
        drawn = ResidualVectorQuantizer(
            card.network["codebooks"], card.codebook_size, card.network["dimension"]
        )
        waves = swelling_noise(int(SECONDS[0] * card.sample_rate))
        drawn.draw_codebooks(reference.latents(waves), torch.Generator().manual_seed(1))
        reference.set_codebooks(drawn.codebooks)
        checkpoint = folder / card.checkpoint.name
        checkpoint.mkdir(parents=True, exist_ok=True)
        reference.save(checkpoint)
        for codec in (checkpoint_codec, *others):
            rows += [_compare_codec(codec, reference, checkpoint, seconds) for seconds in SECONDS]
    return rows


def _compare_codec(codec: str, reference: Reference, checkpoint: Path, seconds: float) -> dict[str, Any]:
    adapter = find_codec(codec)()
    adapter.load(checkpoint)
    torch.manual_seed(2)
    waves = swelling_noise(int(seconds * adapter.card.sample_rate))
    run = reference.run(adapter.card.codebooks)
    return compared(codec, adapter, waves, *run(waves), lambda: run(waves))


def _prepare_import(repository: Path, package: str) -> None:
    """Make the package's modules importable without its ``__init__``, and stub what only training needs."""
    for name in ("torchaudio", "typeguard", "librosa", "librosa.filters"):
        sys.modules.setdefault(name, MagicMock())
    bare = ModuleType(package)
    bare.__path__ = [str(repository / package)]
    sys.modules[package] = bare


def _vary_scales(network: nn.Module) -> None:
    """Move the gains of weight norm and group norm away from where a new network has them."""
    for name, parameter in network.named_parameters():
        if name.endswith("weight_g") or ".norm." in name:
            parameter.mul_(1 + 0.3 * torch.rand_like(parameter)).add_(0.05 * torch.rand_like(parameter))


def _set_layers(layers: nn.ModuleList, codebooks: torch.Tensor) -> None:
    for layer, codebook in zip(layers, codebooks, strict=True):
        layer._codebook.embed.copy_(codebook)
        layer._codebook.inited.fill_(1)


def _encodec(_network: dict[str, Any]) -> Reference:
    from encodec.model import EncodecModel

    model = EncodecModel.encodec_model_24khz(pretrained=False)
    _vary_scales(model)

    def run(codebooks: int) -> Run:
        def resynthesise(waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            model.set_target_bandwidth(codebooks * 0.75)
            frames = model.encode(waves[:, None])
            return frames[0][0], model.decode(frames)[:, 0]

        return resynthesise

    return Reference(
        latents=lambda waves: model.encoder(waves[:, None]),
        set_codebooks=lambda codebooks: _set_layers(model.quantizer.vq.layers, codebooks),
        save=lambda folder: torch.save(model.state_dict(), folder / "encodec_24khz-d7cc33bc.th"),
        run=run,
    )


def _speechtokenizer(network: dict[str, Any]) -> Reference:
    from speechtokenizer.model import SpeechTokenizer

    settings = {
        "n_filters": network["filters"],
        "strides": network["ratios"],
        "dimension": network["dimension"],
        "semantic_dimension": 768,
        "bidirectional": True,
        "dilation_base": 2,
        "residual_kernel_size": 3,
        "n_residual_layers": 1,
        "lstm_layers": 2,
        "activation": "ELU",
        "codebook_size": network["codebook_size"],
        "n_q": network["codebooks"],
        "sample_rate": 16_000,
    }
    model = SpeechTokenizer(settings).eval()
    _vary_scales(model)

    def save(folder: Path) -> None:
        subfolder = folder / "speechtokenizer_hubert_avg"
        subfolder.mkdir(exist_ok=True)
        torch.save(model.state_dict(), subfolder / "SpeechTokenizer.pt")
        (subfolder / "config.json").write_text(json.dumps(settings), encoding="utf-8")

    def run(codebooks: int) -> Run:
        def resynthesise(waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            codes = model.encode(waves[:, None], n_q=codebooks)
            return codes.transpose(0, 1), model.decode(codes)[:, 0]

        return resynthesise

    return Reference(
        latents=lambda waves: model.encoder(waves[:, None]),
        set_codebooks=lambda codebooks: _set_layers(model.quantizer.vq.layers, codebooks),
        save=save,
        run=run,
    )


class _MelBuffers(nn.Module):
    """The buffers of FunCodec's mel loss, whose own class asks for a GPU."""

    def __init__(self, sampling_rate: int, win_length: int, hop_length: int, n_mel_channels: int) -> None:
        super().__init__()
        self.register_buffer("mel_basis", torch.zeros(n_mel_channels, 513))
        self.register_buffer("window", torch.zeros(win_length))


def _funcodec(network: dict[str, Any]) -> Reference:
    import yaml
    from funcodec.models import codec_basic
    from funcodec.models.decoder.seanet_decoder import SEANetDecoder
    from funcodec.models.encoder.seanet_encoder import SEANetEncoder
    from funcodec.models.quantizer.costume_quantizer import CostumeQuantizer

    half = {"ratios": network["ratios"], "norm": "time_group_norm", "causal": False}
    hop_length = torch.tensor(network["ratios"]).prod().item()
    settings = {
        "input_size": 1,
        "encoder": "encodec_seanet_encoder",
        "encoder_conf": half,
        "quantizer": "costume_quantizer",
        "quantizer_conf": {
            "codebook_size": network["codebook_size"],
            "num_quantizers": network["codebooks"],
            "ema_decay": 0.99,
            "kmeans_init": True,
            "sampling_rate": 16_000,
            "quantize_dropout": True,
            "rand_num_quant": [2, 4, 8, 16, 32],
            "use_ddp": True,
            "encoder_hop_length": hop_length,
        },
        "decoder": "encodec_seanet_decoder",
        "decoder_conf": half,
        "model": "encodec",
        "model_conf": {
            "odim": 128,
            "multi_spectral_window_powers_of_two": [5, 6, 7, 8, 9, 10],
            "target_sample_hz": 16_000,
            "audio_normalize": True,
            "use_power_spec_loss": True,
            "segment_dur": None,
            "overlap_ratio": None,
        },
    }
    codec_basic.Audio2Mel = _MelBuffers
    encoder = SEANetEncoder(input_size=1, **settings["encoder_conf"])
    model = codec_basic.Encodec(
        input_size=1,
        encoder=encoder,
        quantizer=CostumeQuantizer(input_size=encoder.output_size(), **settings["quantizer_conf"]),
        decoder=SEANetDecoder(input_size=128, **settings["decoder_conf"]),
        discriminator=nn.Conv2d(2, 32, 3),
        **settings["model_conf"],
    ).eval()
    _vary_scales(model)

    def set_codebooks(codebooks: torch.Tensor) -> None:
        model.quantizer.rq.model.embed.copy_(codebooks)
        model.quantizer.rq.model.inited.fill_(1)

    def save(folder: Path) -> None:
        torch.save(model.state_dict(), folder / "model.pth")
        (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def run(codebooks: int) -> Run:
        bits_per_second = codebooks * 10 * 16_000 / hop_length

        def resynthesise(waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            found = model.inference(waves[:, None], bit_width=bits_per_second, use_scale=True)
            return found["code_indices"][0].transpose(0, 1), found["recon_speech"][:, 0]

        return resynthesise

    return Reference(
        latents=lambda waves: model._encode(waves[:, None])[0][0].transpose(1, 2),
        set_codebooks=set_codebooks,
        save=save,
        run=run,
    )


CODECS = {
    "encodec": {"F04": ("E", "C4-3")},
    "speechtokenizer": {"F02": ()},
    "funcodec": {"F3": (), "F4": ("C3-1",)},
}
"""By package: the codec whose checkpoint is made, and others that read it."""

BUILDERS = {"encodec": _encodec, "speechtokenizer": _speechtokenizer, "funcodec": _funcodec}


if __name__ == "__main__":
    main(compare, __doc__)
