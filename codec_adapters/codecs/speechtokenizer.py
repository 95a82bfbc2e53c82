"""SpeechTokenizer 16 kHz at 4 kbps: F02, and A of the fifteen, which are the same network and weights.

Paper: Zhang et al. 2024, "SpeechTokenizer: Unified Speech Tokenizer for Speech Large Language Models"
(arXiv 2308.16692).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.checkpoints import drop, official_file, read_tensors
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official
from codecfake.codec_adapters.registry import register

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "speechtokenizer_hubert_avg/SpeechTokenizer.pt"
SETTINGS = "config.json"
"""Beside the weights."""

DROPPED = ("transform.",)
"""The projection to HuBERT's features, which only the distillation loss needs."""

F02 = CodecCard(
    id="F02",
    name="speechtokenizer-16khz-4kbps",
    title="SpeechTokenizer 16 kHz, 4 kbps",
    paper="Zhang et al. 2024, arXiv 2308.16692",
    sample_rate=16_000,
    hop_length=320,
    codebooks=8,
    codebook_size=1024,
    padding=(
        "zeros to whole frames; where a frame is not full, the end differs from the original code, which reflects, "
        "as far as the encoder's LSTM looks back from it"
    ),
    context_seconds=2.0,
    conventions=(
        "all 8 codebooks, no change of the level; the original code returns whole frames, as CodecFake's published "
        "files show (216 x 320 samples for 69,002), here the output is cut to the input's length"
    ),
    code_licence="Apache-2.0",
    weights_licence="not stated; published with code that is Apache-2.0",
    training_data="LibriSpeech (the paper on Codecfake says LibriTTS of all its codecs, and names no checkpoint)",
    leakage="none known: neither VCTK nor AISHELL-3",
    checkpoint=OfficialCheckpoint(
        name="speechtokenizer",
        repository="fnlp/SpeechTokenizer",
        revision="4d54939beef00572fa7bfe41ee35a335c3732f51",
        files=(
            WeightsFile(
                path=WEIGHTS,
                megabytes=482,
                sha256="d04593b6c9a4b475f91ca481141a6ef5b23e6ac112f347dd2b2717f193c1c728",
            ),
            WeightsFile(
                path=f"speechtokenizer_hubert_avg/{SETTINGS}",
                megabytes=0.001,
                sha256="ea343ad69ca7e70c8febf8fc4cda683b1c4b1c36709e5e577936ffb05d62e6eb",
            ),
        ),
    ),
    network={
        "filters": 64,
        "ratios": [8, 5, 4, 2],
        "dimension": 1024,
        "codebooks": 8,
        "codebook_size": 1024,
        "causal": False,
        "bidirectional_encoder": True,
    },
    parity=(
        "codes identical, waveforms equal to the bit, aligned and not (SpeechTokenizer 30c96fb, torch 2.13 CPU, random "
        "weights of full size)"
    ),
)

A_OF_THE_FIFTEEN = replace(F02, id="A", name="speechtokenizer-hubert-avg", title="SpeechTokenizer hubert_avg")


@register(F02, A_OF_THE_FIFTEEN)
class SpeechTokenizer(NetworkAdapter):
    """Symmetrically padded SEANet whose encoder has an LSTM in both directions."""

    cpu_batch = 8

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """See the base class."""
        from codecfake.codec_adapters.nn.seanet import SeanetCodec

        return SeanetCodec(**sizes)

    def read_official(self, checkpoint: Path) -> Official:
        """See the base class; ``config.json`` beside the weights is compared with the card, where it is there."""
        from codecfake.codec_adapters.nn.seanet_checkpoint import to_seanet
        from codecfake.codec_adapters.official_settings import read_settings, refuse_other_settings

        weights = official_file(checkpoint, WEIGHTS)
        settings = weights.with_name(SETTINGS)
        if settings.is_file():
            supported, found = _settings(self.card.network), read_settings(settings)
            refuse_other_settings({name: found.get(name) for name in supported}, supported, settings)
        return Official(to_seanet(drop(read_tensors(weights), DROPPED)), self.card.network)


def _settings(network: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``config.json`` that the audio depends on; the others are those of a training."""
    return {
        "n_filters": network["filters"],
        "strides": network["ratios"],
        "dimension": network["dimension"],
        "n_q": network["codebooks"],
        "codebook_size": network["codebook_size"],
        "bidirectional": network["bidirectional_encoder"],
        "lstm_layers": 2,
        "n_residual_layers": 1,
        "residual_kernel_size": 3,
        "activation": "ELU",
        "sample_rate": F02.sample_rate,
    }
