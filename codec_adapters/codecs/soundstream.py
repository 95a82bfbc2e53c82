"""SoundStream 16 kHz at 4 kbps (F01): the one public network with the paper's figures.

Paper: Zeghidour et al., 2021, "SoundStream: An End-to-End Neural Audio Codec" (arXiv 2107.03312).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.checkpoints import drop, official_file, read_tensors, rename
from codecfake.codec_adapters.network_adapter import NetworkAdapter, Official
from codecfake.codec_adapters.registry import register

if TYPE_CHECKING:
    from torch import nn

RELEASES = "https://github.com/kaiidams/soundstream-pytorch/releases/download"
CHECKPOINT_FILE = "soundstream_16khz-20260209.ckpt"

CARD = CodecCard(
    id="F01",
    name="soundstream-16khz-4kbps",
    title="SoundStream 16 kHz, 4 kbps",
    paper="Zeghidour et al. 2021, arXiv 2107.03312",
    sample_rate=16_000,
    hop_length=320,
    codebooks=8,
    codebook_size=1024,
    padding=(
        "zeros to whole frames, and 5,440 before (17 hops) and 5,314 after, because no convolution pads; the codes "
        "hold 18 frames more than the utterance has hops, and those inside it are those of the unpadded wave"
    ),
    batches="right padding exact",
    delay="none: the network is symmetric in time, not causal; the output is cropped to the input's samples",
    context_seconds=0.5,
    conventions=(
        "The codebooks stay as they are published. The reference moves them towards every utterance that it "
        "encodes, also in evaluation, so that there the same utterance decodes differently the next time; ours "
        "gives the codes of the reference's first encoding. The reference does not pad: its output is 10,528 "
        "samples shorter than its input and begins at the input's sample 5,264. The weights are those of the "
        "release v1.1 of 2026, which the reference loads now. Those of v1.0 (soundstream_16khz-20230425.ckpt), "
        "the only ones when the paper was written, are read too; their eighth codebook was never trained "
        "(issue 7 of the reference)."
    ),
    code_licence="MIT",
    weights_licence="MIT: released with the code, without terms of their own",
    training_data="LibriSpeech train-clean-100",
    leakage="none",
    checkpoint=OfficialCheckpoint(
        name="soundstream-16khz",
        revision="v1.1",
        files=(
            # Computed for a Lightning checkpoint with its optimisers' states; nobody states the size.
            WeightsFile(path=CHECKPOINT_FILE, megabytes=433, urls=(f"{RELEASES}/v1.1/{CHECKPOINT_FILE}",)),
        ),
    ),
    network={"channels": 32, "strides": (2, 4, 5, 8), "codebooks": 8, "codebook_size": 1024},
    parity=(
        "codes identical, waveforms equal to the bit (soundstream-pytorch 3c574fc, torch 2.13 CPU, random weights, "
        "4 s; the reference given the padded wave, with the moving of its codebooks switched off)"
    ),
)

TRAINING_ONLY = (
    "wave_discriminators.",
    "stft_discriminator.",
    "rec_loss.",
    "quantizer.running_mean",
    "quantizer.code_relative_frequency",
    "quantizer.code_count",  # as code_relative_frequency was called in v1.0
)

BLOCKS = 4
OFFICIAL_NAMES = (
    (r"^(encoder|decoder)\.layers\.0\.", r"\1.input."),
    *((rf"^(encoder|decoder)\.layers\.{block + 2}\.", rf"\1.blocks.{block}.") for block in range(BLOCKS)),
    (rf"^(encoder|decoder)\.layers\.{BLOCKS + 2}\.", r"\1.output."),
    *((rf"^(encoder\.blocks\.\d)\.layers\.{unit}\.", rf"\1.units.{unit}.") for unit in range(3)),
    (r"^(encoder\.blocks\.\d)\.layers\.3\.", r"\1.down."),
    (r"^(decoder\.blocks\.\d)\.layers\.0\.", r"\1.up."),
    *((rf"^(decoder\.blocks\.\d)\.layers\.{unit + 2}\.", rf"\1.units.{unit}.") for unit in range(3)),
    (r"\.conv0\.", ".dilated."),
    (r"\.conv1\.", ".pointwise."),
    (r"^quantizer\.weight$", "quantizer.codebooks"),
)


@register(CARD)
class SoundStream(NetworkAdapter):
    """Symmetric convolutions over a wave between zeros, so that zeros after an utterance change nothing."""

    def build(self, sizes: Mapping[str, Any]) -> "nn.Module":
        """See the base class."""
        from codecfake.codec_adapters.nn.soundstream import SoundStream as Network

        return Network(**sizes)

    def read_official(self, checkpoint: Path) -> Official:
        """See the base class."""
        tensors = read_tensors(official_file(checkpoint, CHECKPOINT_FILE), "state_dict")
        return Official(rename(drop(tensors, TRAINING_ONLY), OFFICIAL_NAMES), self.card.network)
