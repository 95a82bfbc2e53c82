"""HiFi-Codec of AcademiCodec: 24 kHz at 3 kbps (F06, B3) and 16 kHz at 2 kbps (B1, B2).

Paper: Yang et al., 2023, "HiFi-Codec: Group-residual Vector Quantization for High Fidelity Audio Codec"
(arXiv 2305.02765).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.checkpoints import (
    Tensors,
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

NETWORK = {
    "encoder_channels": 32,
    "decoder_channels": 512,
    "strides": (8, 5, 4, 2),
    "kernel_sizes": (16, 11, 8, 4),
    "block_kernel_sizes": (3, 7, 11),
    "groups": 2,
    "layers": 2,
    "codebook_size": 1024,
}

LEVEL = (
    "The level stays as it is, as in the authors' own tester; the encoder normalises over time, so another level "
    "gives other codes. CodecFake brought every utterance to a peak of 0.95 before the codec and left it there: "
    "--input-peak {id}=0.95 does the same. "
)
LENGTH = (
    "The published outputs of CodecFake's {folder} are floor(L / 320) * 320 samples long and as loud as that peak "
    "makes them; ours have all L samples and, without the option, the level of the input."
)


def _card(
    codec_id: str, name: str, title: str, sample_rate: int, file: WeightsFile, folder: str
) -> CodecCard:
    return CodecCard(
        id=codec_id,
        name=name,
        title=title,
        paper="Yang et al. 2023, arXiv 2305.02765",
        sample_rate=sample_rate,
        hop_length=320,
        codebooks=4,
        codebook_size=1024,
        padding="zeros to whole frames; they take part in the encoder's normalisation over time",
        context_seconds=2.0,
        conventions=(LEVEL + LENGTH).format(id=codec_id, folder=folder),
        code_licence='"MIT license" in the readme, without a licence file',
        weights_licence="not stated",
        training_data="LibriTTS, VCTK, AISHELL and more, over 1,000 hours",
        leakage="VCTK and AISHELL were trained on (issue 13 of AcademiCodec), no part set aside (issue 51)",
        checkpoint=OfficialCheckpoint(
            name=f"academicodec-{file.path.lower()}",
            repository="Dongchao/AcademiCodec",
            revision="827e793904fe43cac45157efc26d0b6920cfda14",
            files=(file,),
        ),
        network=NETWORK,
        parity=(
            "codes identical, waveforms equal to the bit "
            "(AcademiCodec b6ac134, torch 2.13 CPU, random weights, 4 s at 24 and at 16 kHz)"
        ),
    )


HIFI_24K_320D = WeightsFile(
    path="HiFi-Codec-24k-320d",
    megabytes=255,
    sha256="0b8fd01085946ecfa00a801a64a2e4c919c307265aceabe6a406b75cfbe77efa",
)
HIFI_16K_320D = WeightsFile(
    path="HiFi-Codec-16k-320d",
    megabytes=255,
    sha256="6026d5327ef76bd31a01e64e00ccab355b37cc7b434938f018b9ec2b69bd62e4",
)
HIFI_16K_320D_LARGE = WeightsFile(path="HiFi-Codec-16k-320d-large-universal", megabytes=255)

CARDS = (
    _card(
        "F06",
        "hificodec-24khz-3kbps",
        "HiFi-Codec 24 kHz, 3 kbps",
        24_000,
        HIFI_24K_320D,
        "academicodec_hifi_24k_320d",
    ),
    _card(
        "B1",
        "hificodec-16k-320d",
        "HiFi-Codec 16 kHz, 2 kbps",
        16_000,
        HIFI_16K_320D,
        "academicodec_hifi_16k_320d",
    ),
    _card(
        "B2",
        "hificodec-16k-320d-large-uni",
        "HiFi-Codec 16 kHz, 2 kbps, large universal",
        16_000,
        HIFI_16K_320D_LARGE,
        "academicodec_hifi_16k_320d_large_uni",
    ),
    _card(
        "B3",
        "hificodec-24k-320d",
        "HiFi-Codec 24 kHz, 3 kbps, as in CodecFake",
        24_000,
        HIFI_24K_320D,
        "academicodec_hifi_24k_320d",
    ),
)

PARTS = {"encoder": "encoder", "decoder": "generator"}
"""Our parts by the names that the official checkpoint has for them."""


@register(*CARDS)
class HiFiCodec(NetworkAdapter):
    """Convolutions with normalisation over the whole utterance, and a grouped residual quantiser."""

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """See the base class."""
        from codecfake.codec_adapters.nn.hificodec import HiFiCodec as Network

        return Network(**sizes)

    def read_official(self, checkpoint: Path) -> Official:
        """See the base class."""
        path = official_file(checkpoint, self.card.checkpoint.files[0].path)
        parts = {
            f"{ours}.{name}": tensor
            for ours, official in PARTS.items()
            for name, tensor in read_tensors(path, official).items()
        }
        network = self.card.network
        tensors = fold_weight_norm(rename(parts, _official_names(network)))
        tensors |= _codebooks(read_tensors(path, "quantizer"), network, path)
        return Official(tensors, network)


def _official_names(network: Mapping[str, Any]) -> list[tuple[str, str]]:
    kernels = len(network["block_kernel_sizes"])
    places = [(stage, kernel) for stage in range(len(network["strides"])) for kernel in range(kernels)]
    return [
        (r"\.conv_pre\.", ".input."),
        (r"\.conv_post\.", ".output."),
        (r"^encoder\.ups\.(\d+)\.", r"encoder.stages.\1.down."),
        (r"^decoder\.ups\.(\d+)\.", r"decoder.stages.\1.up."),
        *((rf"\.normalize\.{s * kernels + k}\.", f".stages.{s}.field.norms.{k}.") for s, k in places),
        *(
            (rf"^encoder\.resblocks\.{s * kernels + k}\.", f"encoder.stages.{s}.field.blocks.{k}.")
            for s, k in places
        ),
        *(
            (rf"^decoder\.resblocks\.{s * kernels + k}\.", f"decoder.stages.{s}.field.{k}.")
            for s, k in places
        ),
        (r"\.convs1\.", ".dilated."),
        (r"\.convs2\.", ".undilated."),
    ]


def _codebooks(quantizer: Tensors, network: Mapping[str, Any], path: Path) -> Tensors:
    """Stack the codebooks of each group: ``quantizer_modules`` holds layer 0, ``quantizer_modules2`` layer 1."""
    import torch

    left, stacked = dict(quantizer), {}
    for group in range(network["groups"]):
        names = [
            f"quantizer_modules{'' if layer == 0 else layer + 1}.{group}.embedding.weight"
            for layer in range(network["layers"])
        ]
        layers = [left.pop(name, None) for name in names]
        if any(layer is None for layer in layers) or len({layer.shape for layer in layers}) > 1:
            shapes = {name: tuple(quantizer[name].shape) if name in quantizer else "absent" for name in names}
            raise CodecError(
                f"{path}: the codebooks of group {group} are not a pair of equal shape: {shapes}"
            )
        stacked[f"quantizer.groups.{group}.codebooks"] = torch.stack(layers)
    return stacked | {f"quantizer.{name}": tensor for name, tensor in left.items()}
