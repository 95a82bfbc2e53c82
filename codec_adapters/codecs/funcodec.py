"""FunCodec in the time domain, 16 kHz: F03, its variants C3-1 to C3-4, and F3 to F6 of the fifteen.

Paper: Du et al. 2024, "FunCodec: A Fundamental, Reproducible and Integrable Open-source Toolkit for Neural Speech
Codec" (arXiv 2309.07405).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.checkpoints import drop, official_file, read_tensors, rename
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official
from codecfake.codec_adapters.registry import register

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "model.pth"
SETTINGS = "config.yaml"
"""Beside the weights."""

DROPPED = (
    "discriminator.",
    "mel_spec_transforms.",
    "quantizer.rq.model.inited",
    "quantizer.rq.model.cluster_size",
    "quantizer.rq.model.embed_avg",
)
"""The discriminator, the mel loss and the running means of the codebooks: only training needs them."""

CODEBOOKS = ((r"^quantizer\.rq\.model\.embed$", "quantizer.codebooks"),)

CONVENTIONS = (
    "every utterance is divided by its root mean square and the output multiplied with it (use_scale), so that the "
    "level stays; the recipe's encoding in two steps drops the scale and brings the peak to 0.99 at most; beyond "
    "30 s each stretch has a level and group norms of its own"
)


def _checkpoint(model: str, megabytes: float) -> OfficialCheckpoint:
    return OfficialCheckpoint(
        name=f"funcodec-{model}",
        repository=f"alibaba-damo/audio_codec-encodec-{model}-pytorch",
        files=(WeightsFile(path=WEIGHTS, megabytes=megabytes), WeightsFile(path=SETTINGS, megabytes=0.004)),
    )


F3 = CodecCard(
    id="F3",
    name="funcodec-en-libritts-16k-nq32ds320",
    title="FunCodec LibriTTS 16 kHz, hop 320",
    paper="Du et al. 2024, arXiv 2309.07405",
    sample_rate=16_000,
    hop_length=320,
    codebooks=32,
    codebook_size=1024,
    padding=(
        "zeros to whole frames; where a frame is not full, they change the level and the group norms, and with them "
        "every frame a little, against the original code, which reflects the end"
    ),
    context_seconds=2.0,
    conventions=CONVENTIONS,
    code_licence="MIT",
    weights_licence="MIT",
    training_data="LibriTTS",
    leakage="none known: neither VCTK nor AISHELL-3",
    checkpoint=_checkpoint("en-libritts-16k-nq32ds320", 95),
    network={
        "filters": 32,
        "ratios": [8, 5, 4, 2],
        "dimension": 128,
        "codebooks": 32,
        "codebook_size": 1024,
        "causal": False,
        "group_norm": True,
        "level_normalised": True,
    },
    parity=(
        "codes identical, waveforms equal to the bit at hop 320 and 640, with 12 and 32 codebooks, aligned and not "
        "(FunCodec 3435d87, torch 2.13 CPU, random weights of full size)"
    ),
)

F4 = replace(
    F3,
    id="F4",
    name="funcodec-en-libritts-16k-nq32ds640",
    title="FunCodec LibriTTS 16 kHz, hop 640",
    hop_length=640,
    checkpoint=_checkpoint("en-libritts-16k-nq32ds640", 266),
    network={**F3.network, "ratios": [8, 5, 4, 2, 2]},
)

GENERAL_DATA = {
    "training_data": "in-house, 25,000 h of English and Chinese; the model's page names LibriTTS, AISHELL, 3D-Speaker",
    "leakage": "AISHELL is named without its number, so AISHELL-3 may be in it; VCTK unknown",
}

F5 = replace(
    F3,
    id="F5",
    name="funcodec-zh_en-general-16k-nq32ds320",
    title="FunCodec general Chinese and English 16 kHz, hop 320",
    checkpoint=_checkpoint("zh_en-general-16k-nq32ds320", 95),
    **GENERAL_DATA,
)

F6 = replace(
    F4,
    id="F6",
    name="funcodec-zh_en-general-16k-nq32ds640",
    title="FunCodec general Chinese and English 16 kHz, hop 640",
    checkpoint=_checkpoint("zh_en-general-16k-nq32ds640", 266),
    conventions=(
        f"{CONVENTIONS}; CodecFake's published samples of F6 (p225_273, p295_144, p318_114) are byte for byte those "
        "of F5, so they do not show what this codec sounds like"
    ),
    **GENERAL_DATA,
)

UNNAMED_CHECKPOINT = (
    "the paper on Codecfake names no checkpoint: its 32 codebooks and 250 bit/s for each fit the two of hop 640, of "
    "which the one trained on LibriTTS is taken, as the paper says of its codecs"
)

F03 = replace(
    F4,
    id="F03",
    name="funcodec-16khz-nq32ds640",
    title="FunCodec 16 kHz, 32 codebooks",
    stated_kbps=16.0,
    conventions=f"{CONVENTIONS}; {UNNAMED_CHECKPOINT}; the codes carry 8 kbps, not the 16 of the paper's table",
)

FEWER_CODEBOOKS = tuple(
    replace(
        F03,
        id=codec_id,
        name=f"funcodec-16khz-ds640-{kbps}kbps",
        title=f"FunCodec 16 kHz, {codebooks} codebooks",
        codebooks=codebooks,
        stated_kbps=None,
        conventions=f"{CONVENTIONS}; {UNNAMED_CHECKPOINT}",
    )
    for codec_id, codebooks, kbps in (("C3-1", 12, 3), ("C3-2", 24, 6))
)

STATED_RATES = tuple(
    replace(
        F03,
        id=codec_id,
        name=f"funcodec-16khz-ds640-stated-{kbps}kbps",
        title=f"FunCodec 16 kHz, 32 codebooks, stated as {kbps} kbps",
        stated_kbps=float(kbps),
        conventions=(
            f"{CONVENTIONS}; {UNNAMED_CHECKPOINT}; the codes carry 8 kbps, not the {kbps} of the paper's table, so "
            "the audio is that of F03, which the equal scores of C3, C3-3 and C3-4 in the paper's files confirm"
        ),
    )
    for codec_id, kbps in (("C3-3", 12), ("C3-4", 24))
)


@register(F03, *FEWER_CODEBOOKS, *STATED_RATES, F3, F4, F5, F6)
class FunCodec(NetworkAdapter):
    """Symmetrically padded SEANet with group norm, over utterances of unit level."""

    cpu_batch = 8

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """See the base class."""
        from codecfake.codec_adapters.nn.seanet import SeanetCodec

        return SeanetCodec(**sizes)

    def read_official(self, checkpoint: Path) -> Official:
        """See the base class; ``config.yaml`` beside the weights is compared with the card, where it is there."""
        from codecfake.codec_adapters.nn.funcodec_settings import audible_settings, supported_settings
        from codecfake.codec_adapters.nn.seanet_checkpoint import to_seanet
        from codecfake.codec_adapters.official_settings import read_settings, refuse_other_settings

        weights = official_file(checkpoint, WEIGHTS)
        settings = weights.with_name(SETTINGS)
        if settings.is_file():
            supported = supported_settings(self.card.network, self.card.sample_rate)
            refuse_other_settings(audible_settings(read_settings(settings)), supported, settings)
        tensors = rename(drop(read_tensors(weights), DROPPED), CODEBOOKS)
        return Official(to_seanet(tensors), self.card.network)
