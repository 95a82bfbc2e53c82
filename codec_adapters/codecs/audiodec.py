"""AudioDec 24 kHz at 6.4 kbps: F05, and C of the fifteen, which are the same network and weights.

Paper: Wu et al. 2023, "AudioDec: An Open-source Streaming High-fidelity Neural Audio Codec" (arXiv 2305.16608).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.checkpoints import (
    Tensors,
    drop,
    fold_weight_norm,
    official_file,
    read_tensors,
    rename,
)
from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official
from codecfake.codec_adapters.registry import register

if TYPE_CHECKING:
    from torch import nn

AUTOENCODER = "autoencoder/symAD_libritts_24000_hop300"
VOCODER = "vocoder/AudioDec_v1_symAD_libritts_24000_hop300_clean"
WEIGHTS = "checkpoint-500000steps.pkl"
SETTINGS = "config.yml"
IN_CHECKPOINT = ("model", "generator")

UNUSED = ("decoder.",)
"""Of the autoencoder: its own decoder, in whose place the vocoder stands."""
STREAMING_STATE = ".pad_buffer"
"""At the end of a name: what the streaming mode carries from one block of samples to the next."""
TRAINING_STATISTICS = (".cluster_size", ".embed_avg")
"""At the end of a name: running means of the codebooks."""

CODEBOOK = "quantizer.codebook.layers.{}.embed"

AUTOENCODER_NAMES = (
    (r"^encoder\.conv\.conv\.", "encoder.input."),
    (r"^encoder\.conv_blocks\.(\d+)\.conv\.conv\.", r"encoder.blocks.\1.down."),
    (
        r"^encoder\.conv_blocks\.(\d+)\.res_units\.(\d+)\.conv1\.conv\.",
        r"encoder.blocks.\1.units.\2.dilated.",
    ),
    (r"^encoder\.conv_blocks\.(\d+)\.res_units\.(\d+)\.conv2\.", r"encoder.blocks.\1.units.\2.pointwise."),
    (r"^projector\.project\.conv\.", "encoder.output."),
)
VOCODER_NAMES = (
    (r"^(input|output)_conv\.conv\.", r"\1."),
    (r"^upsamples\.(\d+)\.deconv\.", r"stages.\1.up."),
    (r"^blocks\.(\d+)\.conv_out\.", r"stages.\1.field.mixture."),
    (r"^blocks\.(\d+)\.blocks\.(\d+)\.", r"stages.\1.field.\2."),
    (r"^blocks\.(\d+)\.convs", r"stages.\1.field.block.convs"),
    (r"\.convs1\.(\d+)\.conv\.", r".dilated.\1."),
    (r"\.convs2\.(\d+)\.conv\.", r".undilated.\1."),
    (r"^", "decoder."),
)

F05 = CodecCard(
    id="F05",
    name="audiodec-24khz-6.4kbps",
    title="AudioDec 24 kHz, 6.4 kbps",
    paper="Wu et al. 2023, arXiv 2305.16608",
    sample_rate=24_000,
    hop_length=300,
    codebooks=8,
    codebook_size=1024,
    padding="zeros to whole frames, which change no frame before them: the network is causal",
    batches="right padding exact",
    delay=(
        "none in the network; but the published weights answer 7.75 ms late, with phases of their own, as the "
        "envelopes of CodecFake's published files show in every band up to 7 kHz: 186 samples, taken off here"
    ),
    context_seconds=1.0,
    conventions=(
        "the published code's offline mode, without state from file to file; its streaming mode, which made "
        "CodecFake's published files, differs in the first half second. Those files have whole frames (346 x 300 "
        "samples for 103,503) where ours are cut to the input's length, and a level of 0.82 to 0.86 of their "
        "source's, with no normalisation on either side. The authors' exp.zip (release pretrain_models_v02 on GitHub) "
        "holds the same weights, and is read where it is unpacked into the checkpoint's folder"
    ),
    code_licence="CC-BY-NC-4.0 (the published code; the network here is our own)",
    weights_licence="not stated; published with code that is CC-BY-NC-4.0",
    training_data="LibriTTS train-clean, 24 kHz",
    leakage="none known: neither VCTK nor AISHELL-3",
    checkpoint=OfficialCheckpoint(
        name="audiodec-libritts",
        repository="Codec-SUPERB/AudioDec",
        delay_samples=186,
        files=(
            WeightsFile(path=f"{AUTOENCODER}/{WEIGHTS}", megabytes=36.4),
            WeightsFile(path=f"{AUTOENCODER}/{SETTINGS}", megabytes=0.004),
            WeightsFile(path=f"{VOCODER}/{WEIGHTS}", megabytes=78.6),
            WeightsFile(path=f"{VOCODER}/{SETTINGS}", megabytes=0.004),
        ),
    ),
    network={
        "channels": 32,
        "channel_ratios": [2, 4, 8, 16],
        "strides": [3, 4, 5, 5],
        "latent_channels": 64,
        "codebooks": 8,
        "codebook_size": 1024,
        "vocoder_channels": 512,
        "vocoder_strides": [5, 5, 4, 3],
        "vocoder_kernel_sizes": [11],
        "vocoder_groups": 3,
    },
    parity=(
        "codes identical, waveforms within 2.7e-6 of the peak of codecTest.py's, which rounds its sums of codewords "
        "differently; equal where the published code decodes from codes (AudioDec e451e62, random weights, torch 2.13)"
    ),
)

C_OF_THE_FIFTEEN = replace(F05, id="C", name="audiodec-libritts-v1", title="AudioDec LibriTTS, vocoder v1")


@register(F05, C_OF_THE_FIFTEEN)
class AudioDec(NetworkAdapter):
    """Causal autoencoder of which a vocoder, trained on its latents, has replaced the decoder."""

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """See the base class."""
        from codecfake.codec_adapters.nn.audiodec import AudioDec as Network

        return Network(**sizes)

    def read_official(self, checkpoint: Path) -> Official:
        """See the base class; the folder of the hub, or the one that the authors' ``exp.zip`` unpacks into.

        ``config.yml`` beside the weights is compared with the card, where it is there.
        """
        folder = checkpoint / "exp" if (checkpoint / "exp").is_dir() else checkpoint
        if not folder.is_dir():
            raise CodecError(
                f"{self.card.id}: {checkpoint} is no folder; AudioDec's weights are two files, "
                f"{AUTOENCODER}/{WEIGHTS} and {VOCODER}/{WEIGHTS}: give the folder that they are below"
            )
        network = self.card.network
        _compare_settings(folder / AUTOENCODER, _autoencoder_settings(network))
        _compare_settings(folder / VOCODER, _vocoder_settings(network))
        autoencoder = drop(_read(folder / AUTOENCODER, *TRAINING_STATISTICS), UNUSED)
        vocoder = _read(folder / VOCODER)
        tensors = {
            **rename(_stack_codebooks(autoencoder, network["codebooks"]), AUTOENCODER_NAMES),
            **rename(vocoder, VOCODER_NAMES),
        }
        return Official(tensors, network)


def _read(folder: Path, *dropped: str) -> Tensors:
    tensors = read_tensors(official_file(folder, WEIGHTS), *IN_CHECKPOINT)
    endings = (STREAMING_STATE, *dropped)
    return fold_weight_norm({name: tensor for name, tensor in tensors.items() if not name.endswith(endings)})


def _stack_codebooks(tensors: Tensors, codebooks: int) -> Tensors:
    """Stack the codebooks, which are published one by one and with a codeword in every column."""
    import torch

    names = [CODEBOOK.format(index) for index in range(codebooks)]
    absent = [name for name in names if name not in tensors]
    shapes = {tuple(tensors[name].shape) for name in names if name in tensors}
    if absent or len(shapes) > 1:
        problem = f"{absent[0]} is missing" if absent else f"codebooks of several shapes: {shapes}"
        raise CodecError(f"the checkpoint's quantizer does not fit: {problem}; fetch the official file again")
    others = {name: tensor for name, tensor in tensors.items() if name not in names}
    return {**others, "quantizer.codebooks": torch.stack([tensors[name].T for name in names])}


def _compare_settings(folder: Path, supported: Mapping[str, Any]) -> None:
    from codecfake.codec_adapters.official_settings import read_settings, refuse_other_settings

    path = folder / SETTINGS
    if not path.is_file():
        return
    settings = read_settings(path)
    generator = settings.get("generator_params") or {}
    found = {
        "model_type": settings.get("model_type"),
        "sampling_rate": settings.get("sampling_rate"),
        **{name: value for name, value in generator.items() if name not in IGNORED_SETTINGS},
    }
    refuse_other_settings(found, supported, path)


IGNORED_SETTINGS = ("decode_channels", "dec_ratios", "dec_strides", "stats")
"""The decoder that is not used, and a file of what the vocoder's buffers hold as well."""


def _autoencoder_settings(network: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "symAudioDec",
        "sampling_rate": F05.sample_rate,
        "encode_channels": network["channels"],
        "enc_ratios": network["channel_ratios"],
        "enc_strides": network["strides"],
        "code_dim": network["latent_channels"],
        "codebook_num": network["codebooks"],
        "codebook_size": network["codebook_size"],
        "input_channels": 1,
        "output_channels": 1,
        "mode": "causal",
        "codec": "audiodec",
        "projector": "conv1d",
        "quantier": "residual_vq",  # as it is spelt there
        "bias": True,
        "nonlinear_activation": "ELU",
        "nonlinear_activation_params": {},
        "use_weight_norm": False,
    }


def _vocoder_settings(network: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "HiFiGAN",
        "sampling_rate": F05.sample_rate,
        "in_channels": network["latent_channels"],
        "out_channels": 1,
        "channels": network["vocoder_channels"],
        "kernel_size": 7,
        "upsample_scales": network["vocoder_strides"],
        "upsample_kernel_sizes": [2 * stride for stride in network["vocoder_strides"]],
        "resblock_kernel_sizes": network["vocoder_kernel_sizes"],
        "resblock_dilations": [[1, 3, 5] for _ in network["vocoder_kernel_sizes"]],
        "groups": network["vocoder_groups"],
        "bias": True,
        "use_additional_convs": True,
        "nonlinear_activation": "LeakyReLU",
        "nonlinear_activation_params": {"negative_slope": 0.1},
        "use_weight_norm": True,
    }
