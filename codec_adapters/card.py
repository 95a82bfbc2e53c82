"""The card of a codec: the facts that a user, a manifest and a licence check need."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HubWeights:
    """An official checkpoint on the Hugging Face hub."""

    repository: str
    revision: str
    """Branch, tag or commit."""
    filename: str
    sha256: str | None = None
    """Pinned digest; ``None`` where none is published: the hub's own digest is checked instead."""


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
    codebook_size: int
    minimum_samples: int = 1
    """Shortest input of the network; shorter ones are zero-padded and trimmed again."""
    padding: str
    """Why zero-padding to the hop keeps batch and single run equal."""
    code_licence: str
    weights_licence: str
    training_data: str
    weights: HubWeights | None = None

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def kilobits_per_second(self) -> float:
        """Bit rate: codebooks x bits per code x frames per second."""
        return self.codebooks * (self.codebook_size - 1).bit_length() * self.frame_rate / 1000
