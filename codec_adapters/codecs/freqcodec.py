"""FreqCodec, FunCodec's network over magnitude and phase, 16 kHz: F1 and F2 of CodecFake's fifteen.

Paper: Du et al. 2024, "FunCodec: A Fundamental, Reproducible and Integrable Open-source Toolkit for Neural Speech
Codec" (arXiv 2309.07405).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.checkpoints import drop, official_file, read_tensors, rename
from codecfake.codec_adapters.codecs.funcodec import CODEBOOKS, DROPPED, SETTINGS, WEIGHTS
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official
from codecfake.codec_adapters.registry import register

if TYPE_CHECKING:
    from torch import nn

TRANSFORMS = ("enc_trans_func.", "dec_trans_func.")
"""The Hann windows of the transforms, dropped beside what FunCodec's reader drops."""

HALF = {
    "filters": 32,
    "residual_units": 1,
    "kernel_size": 3,
    "last_kernel_size": 3,
    "residual_kernel_size": 3,
    "dilation_base": 1,
    "compress": 2,
    "lstm_layers": 0,
    "group_ratio": None,
}

NETWORK = {
    "fft_length": 512,
    "fft_hop": 160,
    "ratios": [[4, 1], [4, 1], [4, 2], [4, 1]],
    "dimension": 128,
    "codebooks": 32,
    "codebook_size": 1024,
}

GROUPED_DECODER = NETWORK | {"encoder": HALF, "decoder": HALF | {"upsampling_group_ratio": 8}}

GROUPED_THROUGHOUT = NETWORK | {
    "encoder": HALF | {"residual_units": 3, "group_ratio": 1},
    "decoder": HALF | {"residual_units": 3, "group_ratio": 1, "upsampling_group_ratio": 1},
}

CONVENTIONS = (
    "every utterance is divided by its root mean square and the output multiplied with it (use_scale), so that the "
    "level stays; all 32 codebooks; beyond 30 s each stretch has a level and group norms of its own. The sizes are "
    "those of the checkpoint's config.yaml. Without that file they are inferred, and unconfirmed: among the settings "
    "of FunCodec's code, these give the {megaparameters} M parameters (group norms not counted) and {gigaflops} G "
    "operations that its paper and readme state, and {megabytes} MB of model.pth; the recipe that is published with "
    "the code would have 16.2 M parameters"
)


def _card(
    codec_id: str,
    groups: str,
    title: str,
    network: Mapping[str, Any],
    *,
    megabytes: float,
    megaparameters: str,
    gigaflops: str,
) -> CodecCard:
    model = f"freqcodec_magphase-en-libritts-16k-{groups}nq32ds320"
    return CodecCard(
        id=codec_id,
        name=model,
        title=title,
        paper="Du et al. 2024, arXiv 2309.07405",
        sample_rate=16_000,
        hop_length=320,
        codebooks=32,
        codebook_size=1024,
        padding=(
            "zeros to a multiple of 320 samples, which change the level and the group norms and with them every frame "
            "a little; F whole frames of samples become F + 1 frames of codes"
        ),
        delay=(
            "160 samples (10 ms) for inputs of whole frames, because the strided convolution is padded on its left; "
            "cut off the output's beginning. The original code leaves it there whenever its transform has an odd "
            "number of windows: of CodecFake's published samples p225_273 lags by 160 samples, p295_144 and p318_114 "
            "by none"
        ),
        context_seconds=2.0,
        conventions=CONVENTIONS.format(
            megaparameters=megaparameters, gigaflops=gigaflops, megabytes=megabytes
        ),
        code_licence="MIT",
        weights_licence="MIT",
        training_data="LibriTTS, 585 h of English",
        leakage="none known: neither VCTK nor AISHELL-3",
        checkpoint=OfficialCheckpoint(
            name=model,
            repository=f"alibaba-damo/audio_codec-{model}-pytorch",
            files=(
                WeightsFile(path=WEIGHTS, megabytes=megabytes),
                WeightsFile(path=SETTINGS, megabytes=0.004),
            ),
        ),
        network=network,
        parity="codes identical, waveforms equal, with LSTMs too (FunCodec 3435d87, torch 2.13 CPU)",
    )


F1 = _card(
    "F1",
    "gr1",
    "FreqCodec LibriTTS 16 kHz, depthwise in both halves",
    GROUPED_THROUGHOUT,
    megabytes=38.0,
    megaparameters="0.52",
    gigaflops="0.34",
)

F2 = _card(
    "F2",
    "gr8",
    "FreqCodec LibriTTS 16 kHz, grouped in the decoder",
    GROUPED_DECODER,
    megabytes=53.8,
    megaparameters="4.50",
    gigaflops="2.18",
)


@register(F1, F2)
class FreqCodec(NetworkAdapter):
    """Group norms over frequency and time: only utterances of equal length may share a batch."""

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """See the base class."""
        from codecfake.codec_adapters.nn.freqcodec import FreqCodec as Network

        return Network(**sizes)

    def read_official(self, checkpoint: Path) -> Official:
        """See the base class; ``config.yaml`` beside the weights gives the sizes, where it is there."""
        from codecfake.codec_adapters.nn.freqcodec_settings import network_of
        from codecfake.codec_adapters.nn.seanet_checkpoint import NAMES
        from codecfake.codec_adapters.official_settings import read_settings

        weights = official_file(checkpoint, WEIGHTS)
        settings = weights.with_name(SETTINGS)
        network = self.card.network
        if settings.is_file():
            network = network_of(read_settings(settings), self.card, settings)
        tensors = drop(read_tensors(weights), (*DROPPED, *TRANSFORMS))
        return Official(rename(tensors, (*CODEBOOKS, *NAMES)), network)
