"""EnCodec 24 kHz at five bit rates: F04, its variants C4-1 to C4-3, and E of the fifteen.

Paper: Défossez et al. 2022, "High Fidelity Neural Audio Compression" (arXiv 2210.13438).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.checkpoints import official_file, read_safetensors, read_tensors
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official
from codecfake.codec_adapters.registry import register

if TYPE_CHECKING:
    from torch import nn

OFFICIAL_FILE = "encodec_24khz-d7cc33bc.th"
TRANSFORMERS_FILE = "model.safetensors"
"""Of ``facebook/encodec_24khz`` on the hub: the same weights in the layout of `transformers`."""

F04 = CodecCard(
    id="F04",
    name="encodec-24khz-6kbps",
    title="EnCodec 24 kHz, 6 kbps",
    paper="Défossez et al. 2022, arXiv 2210.13438",
    sample_rate=24_000,
    hop_length=320,
    codebooks=8,
    codebook_size=1024,
    padding="zeros to whole frames; only a partly filled last frame differs from the original code, which reflects",
    batches="right padding exact",
    context_seconds=2.0,
    conventions=(
        "the number of codebooks is given explicitly, because the defaults differ: encodec uses all 32 (24 kbps), "
        "transformers 2 (1.5 kbps)"
    ),
    code_licence="MIT (GitHub; the package encodec 0.1.1 on PyPI says CC-BY-NC-4.0)",
    weights_licence="not stated; published with code that is MIT",
    training_data="DNS Challenge 4, Common Voice, AudioSet, FSD50K, Jamendo: speech, sound and music",
    leakage="VCTK is part of DNS Challenge 4's clean speech; AISHELL-3 is not known to be",
    checkpoint=OfficialCheckpoint(
        name="encodec_24khz",
        files=(
            WeightsFile(
                path=OFFICIAL_FILE,
                megabytes=93,
                sha256="d7cc33bcf1aad7f2dad9836f36431530744abeace3ca033005e3290ed4fa47bf",
                urls=(f"https://dl.fbaipublicfiles.com/encodec/v0/{OFFICIAL_FILE}",),
            ),
        ),
        revision="v0",
    ),
    network={
        "filters": 32,
        "ratios": [8, 5, 4, 2],
        "dimension": 128,
        "codebooks": 32,
        "codebook_size": 1024,
        "causal": True,
    },
    parity=(
        "codes identical, waveforms equal to the bit with 2, 8 and 32 codebooks, aligned and not (encodec 0e2d0ae, "
        "torch 2.13 CPU, random weights of full size); reduced networks within 1e-6 of transformers 5.23"
    ),
)

E_OF_THE_FIFTEEN = replace(
    F04,
    id="E",
    name="encodec-24khz-1.5kbps",
    title="EnCodec 24 kHz, 1.5 kbps",
    codebooks=2,
    conventions=(
        "2 codebooks: the code of CodecFake (arXiv 2406.07237) ran transformers' default bandwidth of 1.5 kbps, "
        "which its table states, too; the 8 quantizers of the same table do not go with it"
    ),
)

BIT_RATE_VARIANTS = tuple(
    replace(
        F04,
        id=codec_id,
        name=f"encodec-24khz-{kbps}kbps",
        title=f"EnCodec 24 kHz, {kbps} kbps",
        codebooks=codebooks,
    )
    for codec_id, kbps, codebooks in (("C4-1", 3, 4), ("C4-2", 12, 16), ("C4-3", 24, 32))
)


@register(F04, E_OF_THE_FIFTEEN, *BIT_RATE_VARIANTS)
class EnCodec(NetworkAdapter):
    """Causal SEANet with a residual quantiser."""

    cpu_batch = 8

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """See the base class."""
        from codecfake.codec_adapters.nn.seanet import SeanetCodec

        return SeanetCodec(**sizes)

    def read_official(self, checkpoint: Path) -> Official:
        """See the base class; the layout of `transformers` is read, too."""
        from codecfake.codec_adapters.nn.seanet_checkpoint import to_seanet

        in_folder = [name for name in (OFFICIAL_FILE, TRANSFORMERS_FILE) if (checkpoint / name).is_file()]
        path = official_file(checkpoint, in_folder[0] if in_folder else OFFICIAL_FILE)
        read = read_safetensors if path.suffix == ".safetensors" else read_tensors
        return Official(to_seanet(read(path)), self.card.network)
