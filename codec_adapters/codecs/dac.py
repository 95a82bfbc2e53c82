"""Descript Audio Codec through the network of `transformers`: F07, and D1 to D3 of the fifteen.

Paper: Kumar et al. 2023, "High-Fidelity Audio Compression with Improved RVQGAN" (arXiv 2306.06546).
The plain encode/decode path: ``compress`` would normalise the loudness to -16 LUFS and cut into windows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.checkpoints import (
    Tensors,
    fold_weight_norm,
    official_file,
    read_pickle,
    read_safetensors,
    read_tensors,
    rename,
)
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official
from codecfake.codec_adapters.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

RELEASES = "https://github.com/descriptinc/descript-audio-codec/releases/download"
TRANSFORMERS_FILE = "model.safetensors"
"""Of ``descript/dac_16khz``, ``dac_24khz`` and ``dac_44khz`` on the hub: the same weights."""

PUBLISHED_NETWORK = {
    "sampling_rate": 44_100,
    "encoder_hidden_size": 64,
    "downsampling_ratios": [2, 4, 8, 8],
    "decoder_hidden_size": 1536,
    "upsampling_ratios": [8, 8, 4, 2],
    "n_codebooks": 9,
    "codebook_size": 1024,
    "codebook_dim": 8,
}
"""Of the codec for 44.1 kHz."""

RATIOS_OF_320 = {"downsampling_ratios": [2, 4, 5, 8], "upsampling_ratios": [8, 5, 4, 2]}

BLOCKS = 4
"""Of the encoder, and of the decoder, of every published network."""
ENCODER_BLOCK = ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1")
DECODER_BLOCK = ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3")
RESIDUAL_UNIT = ("snake1", "conv1", "snake2", "conv2")
OFFICIAL_NAMES = (
    (r"^decoder\.model\.", "decoder.block."),
    *((rf"^(encoder\.block\.\d)\.block\.{n}\.", rf"\1.{name}.") for n, name in enumerate(ENCODER_BLOCK)),
    *((rf"^(decoder\.block\.\d)\.block\.{n}\.", rf"\1.{name}.") for n, name in enumerate(DECODER_BLOCK)),
    *((rf"(\.res_unit\d)\.block\.{n}\.", rf"\1.{name}.") for n, name in enumerate(RESIDUAL_UNIT)),
    (r"^(encoder|decoder)\.block\.0\.", r"\1.conv1."),
    *((rf"^(encoder|decoder)\.block\.{n + 1}\.", rf"\1.block.{n}.") for n in range(BLOCKS)),
    (rf"^(encoder|decoder)\.block\.{BLOCKS + 1}\.", r"\1.snake1."),
    (rf"^(encoder|decoder)\.block\.{BLOCKS + 2}\.", r"\1.conv2."),
)
"""Layers that are numbered, to those that `transformers` has names for; the quantiser's names are the same."""


def _checkpoint(
    name: str, release: str, file: str, megabytes: float, delay_samples: int = 0
) -> OfficialCheckpoint:
    return OfficialCheckpoint(
        name=name,
        revision=release,
        delay_samples=delay_samples,
        files=(WeightsFile(path=file, megabytes=megabytes, urls=(f"{RELEASES}/{release}/{file}",)),),
    )


F07 = CodecCard(
    id="F07",
    name="dac-44khz-8kbps",
    title="Descript Audio Codec 44.1 kHz, 8 kbps",
    paper="Kumar et al. 2023, arXiv 2306.06546",
    sample_rate=44_100,
    hop_length=512,
    codebooks=9,
    codebook_size=1024,
    stated_kbps=8.0,
    padding="zeros to whole frames, which the last frames before them see a little of, as in the published code",
    context_seconds=0.5,
    conventions=(
        "the plain path, whole utterances at their own level; compress() and decompress(), which made CodecFake's "
        "published files, bring the loudness to -16 LUFS and back, and cut windows of 1 s. Those files are as long "
        "and as loud as ours: the input's samples, 0.99 to 1.05 of its level"
    ),
    code_licence="MIT",
    weights_licence="MIT",
    training_data="speech (DAPS, VCTK, Common Voice and others), singing, music (MUSDB, Jamendo), AudioSet",
    leakage="VCTK was trained on, all of it (conf/final of the published code); AISHELL-3 is not known to be",
    checkpoint=_checkpoint("dac_44khz", "0.0.1", "weights.pth", 307),
    network=PUBLISHED_NETWORK,
    parity=(
        "codes identical, waveforms equal (descript-audio-codec c7cfc5d and its package 1.0.0, random weights, "
        "torch 2.13 and 2.11 CPU)"
    ),
)

D1 = replace(
    F07,
    id="D1",
    name="dac-16khz-6kbps",
    title="Descript Audio Codec 16 kHz, 6 kbps",
    sample_rate=16_000,
    hop_length=320,
    codebooks=12,
    stated_kbps=None,
    padding=(
        "zeros to whole frames after 8 samples more, because the decoder gives 8 less than whole frames; the last "
        "frames before the zeros see a little of them"
    ),
    delay=(
        "none in the network, which is symmetric; but the published weights answer 8 samples early, as CodecFake's "
        "published files show (correlation 0.97 to 0.99 at -8): put right here, so that the first 8 samples are zero"
    ),
    checkpoint=_checkpoint("dac_16khz", "0.0.5", "weights_16khz.pth", 297, delay_samples=-8),
    network={**PUBLISHED_NETWORK, **RATIOS_OF_320, "sampling_rate": 16_000, "n_codebooks": 12},
)

D2 = replace(
    D1,
    id="D2",
    name="dac-24khz-24kbps",
    title="Descript Audio Codec 24 kHz, 24 kbps",
    sample_rate=24_000,
    codebooks=32,
    checkpoint=_checkpoint("dac_24khz", "0.0.4", "weights_24khz.pth", 299, delay_samples=-8),
    network={**PUBLISHED_NETWORK, **RATIOS_OF_320, "sampling_rate": 24_000, "n_codebooks": 32},
)

D3 = replace(F07, id="D3", name="dac-44khz", title="Descript Audio Codec 44.1 kHz, of the fifteen")


@register(F07, D1, D2, D3)
class Dac(NetworkAdapter):
    """Non-causal convolutions that see their padding: only equal frame counts may share a batch."""

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """See the base class."""
        from transformers import DacConfig, DacModel

        return DacModel(DacConfig(**sizes))

    def read_official(self, checkpoint: Path) -> Official:
        """See the base class; the layout of `transformers` is read, too."""
        weights = self.card.checkpoint.files[0].path
        in_folder = [name for name in (weights, TRANSFORMERS_FILE) if (checkpoint / name).is_file()]
        path = official_file(checkpoint, in_folder[0] if in_folder else weights)
        read = read_safetensors if path.suffix == ".safetensors" else self._read_authors_file
        return Official(read(path), self.card.network)

    def _read_authors_file(self, path: Path) -> Tensors:
        """Read a file that says how its network was built; what only training needed is not compared."""
        from codecfake.codec_adapters.official_settings import refuse_other_settings

        arguments = read_pickle(path, "metadata", "kwargs")
        supported = _arguments(self.card.network)
        refuse_other_settings(
            {name: _as_list(arguments[name]) for name in supported if arguments.get(name) is not None},
            supported,
            path,
        )
        return fold_weight_norm(rename(read_tensors(path, "state_dict"), OFFICIAL_NAMES))

    def padded_length(self, samples: int) -> int:
        """See the base class; the decoder gives less than whole frames where a stride is odd."""
        return super().padded_length(samples + _lost_samples(self.card.network["upsampling_ratios"]))

    def codes(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class."""
        return self.network.encode(waves[:, None, :]).audio_codes

    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """See the base class; what the decoder does not give at the end of the padding is zero."""
        quantised = self.network.encode(waves[:, None, :]).quantized_representation
        return filled_up(self.network.decode(quantised).audio_values, waves.shape[1])

    def lay_out_for_cpu(self) -> None:
        """See the base class."""
        from transformers.models.dac.modeling_dac import Snake1d

        from codecfake.codec_adapters.cpu_layout import lay_out_for_cpu
        from codecfake.codec_adapters.nn.tiled import TiledSnake

        lay_out_for_cpu(self.network, {Snake1d: TiledSnake})

    def _spread_codebooks(
        self, network: "nn.Module", waves: "torch.Tensor", generator: "torch.Generator"
    ) -> None:
        """Random codewords are spread already, because only their directions count."""


def filled_up(waves: "torch.Tensor", samples: int) -> "torch.Tensor":
    """Append zeros to waves of shape (B, T) up to ``samples``."""
    from torch.nn import functional

    return functional.pad(waves, (0, samples - waves.shape[1]))


def _lost_samples(upsampling_ratios: Sequence[int]) -> int:
    """Samples that the decoder gives less than whole frames: every layer of an odd ratio loses one step."""
    lost = 0
    for ratio in upsampling_ratios:
        lost = lost * ratio + ratio % 2
    return lost


def _arguments(network: Mapping[str, Any]) -> dict[str, Any]:
    """How the published code builds the network."""
    return {
        "sample_rate": network["sampling_rate"],
        "encoder_dim": network["encoder_hidden_size"],
        "encoder_rates": network["downsampling_ratios"],
        "latent_dim": network["encoder_hidden_size"] * 2**BLOCKS,
        "decoder_dim": network["decoder_hidden_size"],
        "decoder_rates": network["upsampling_ratios"],
        "n_codebooks": network["n_codebooks"],
        "codebook_size": network["codebook_size"],
        "codebook_dim": network["codebook_dim"],
    }


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
