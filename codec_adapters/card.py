"""The card of a codec: the facts that a user, a manifest and a licence check need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """One file of an official checkpoint."""

    path: str
    """Where it lies below the checkpoint's folder, named as its publisher names it."""
    megabytes: float
    """Size as its publisher shows it, for the user's patience; not verified."""
    sha256: str | None = None
    """Published digest, or its published beginning; ``None`` where nobody published one."""
    urls: tuple[str, ...] = ()
    """Addresses outside the hub, the publisher's first, then mirrors."""


@dataclass(frozen=True, kw_only=True)
class OfficialCheckpoint:
    """Weights as their authors publish them: files of one hub repository, or of addresses of their own."""

    name: str
    """Folder that the files lie in below a folder of weights; codecs that share weights share it."""
    files: tuple[WeightsFile, ...]
    repository: str | None = None
    """Repository on the Hugging Face hub, ``owner/name``, where the files are there."""
    revision: str = "main"
    """Branch, tag or commit of the repository, or the release that the addresses belong to."""
    delay_samples: int = 0
    """By how many samples these weights answer late, or early if negative; put right after decoding."""


@dataclass(frozen=True, kw_only=True)
class CodecCard:
    """What is known of one codec configuration before any weight is loaded."""

    id: str
    """Name in file names and conditions, e.g. ``F04``."""
    name: str
    """Readable configuration name, e.g. ``encodec-24khz-6kbps``."""
    title: str
    paper: str
    """Authors, year and arXiv number."""
    sample_rate: int
    """Rate of the network in Hz."""
    hop_length: int
    """Samples per frame at ``sample_rate``."""
    codebooks: int
    """Codes per frame that are used; the network may hold more."""
    codebook_size: int
    stated_kbps: float | None = None
    """Bit rate as the paper's table has it, where that is not what the codes carry."""
    minimum_samples: int = 1
    """Shortest input of the network; shorter ones are zero-padded and trimmed again."""
    padding: str
    """How inputs are brought to whole frames, and what a padded end changes."""
    batches: Literal["equal length only", "right padding exact"] = "equal length only"
    """Whether zeros after an utterance leave the frames before them as they are."""
    delay: str = "none"
    """Delay of the network, and how it is compensated."""
    context_seconds: float = 1.0
    """Overlap of chunks of an utterance that is too long for one network run."""
    conventions: str = ""
    """Choices that change the audio and that other tools make differently."""
    code_licence: str
    weights_licence: str
    training_data: str
    leakage: str = "unknown"
    """What of VCTK and AISHELL-3 the weights were trained on."""
    checkpoint: OfficialCheckpoint | None = None
    network: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Sizes of the published network, as the adapter's ``build`` takes them."""
    parity: str = ""
    """Measured difference from the reference implementation."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def kilobits_per_second(self) -> float:
        """Bit rate: codebooks x bits per code x frames per second."""
        return self.codebooks * (self.codebook_size - 1).bit_length() * self.frame_rate / 1000
