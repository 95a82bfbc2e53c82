"""SoundStream without padding inside: a convolutional encoder and decoder around a residual quantiser.

Zeghidour et al. 2021, "SoundStream" (arXiv 2107.03312), in the form of which weights at 16 kHz and 4 kbps are
published: symmetric instead of causal, ELU after every convolution, tanh at the end.
Shapes: B batch, C channels, T samples, S steps of whatever rate a layer works at, D latent channels, F frames.

No layer pads, so each shortens the signal, and the whole gives fewer samples than it takes. The wave is therefore
padded once, before the first layer, and cropped once, after the last. It is padded with zeros: recordings begin and
end in near silence, an utterance that is shorter than the receptive field has nothing to be reflected, and a wave that
goes on with zeros, in its last frame or in a longer batch, keeps its frames.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from codecfake.codec_adapters.nn.quantization import Encoded, ResidualVectorQuantizer

KERNEL_SIZE = 7
LATENT_KERNEL_SIZE = 3
DILATIONS = (1, 3, 9)
LOST_IN_UNITS = (KERNEL_SIZE - 1) * sum(DILATIONS)


class Edges(NamedTuple):
    """What the encoder is given beyond the wave, so that the decoder gives all of it."""

    frames: int
    """Frames beyond one per hop, for both ends together."""
    left: int
    """Zeros before the wave."""
    right: int
    """Zeros after the wave."""
    crop: int
    """Samples of the decoder's output before the first that belongs to the wave."""

    @classmethod
    def of(cls, strides: Sequence[int]) -> "Edges":
        """Work the edges out for the strides of an encoder.

        The zeros before the wave are whole hops, so that the frames inside it are those of the unpadded wave.
        """
        hop = math.prod(strides)
        # The layers are symmetric in time, so equally much is lost at both ends.
        lost = (samples_for(0, strides) - samples_from(0, strides)) // 2
        left = -(-lost // hop) * hop
        crop = left - lost
        frames = -((samples_from(0, strides) - crop) // hop)
        return cls(frames, left, samples_for(frames, strides) - left, crop)


def samples_for(frames: int, strides: Sequence[int]) -> int:
    """Samples that make exactly so many frames in an encoder with ``strides``."""
    steps = frames + LATENT_KERNEL_SIZE - 1
    for stride in reversed(strides):
        steps = (steps + 1) * stride + LOST_IN_UNITS
    return steps + KERNEL_SIZE - 1


def samples_from(frames: int, strides: Sequence[int]) -> int:
    """Samples that so many frames give, given the encoder's ``strides``; negative where they are too few."""
    steps = frames - (KERNEL_SIZE - 1)
    for stride in reversed(strides):
        steps = (steps + 1) * stride - LOST_IN_UNITS
    return steps - (KERNEL_SIZE - 1)


class ResidualUnit(nn.Module):
    """A dilated and a pointwise convolution beside the middle of what they see; (B, C, S) in, fewer steps out."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(channels, channels, KERNEL_SIZE, dilation=dilation)
        self.pointwise = nn.Conv1d(channels, channels, 1)
        self.lost = KERNEL_SIZE // 2 * dilation
        self.elu = nn.ELU(inplace=True)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """See the class."""
        step = self.pointwise(self.elu(self.dilated(signal)))
        step += signal[:, :, self.lost : -self.lost]
        return self.elu(step)


def _residual_units(channels: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualUnit(channels, dilation) for dilation in DILATIONS))


class EncoderBlock(nn.Module):
    """Residual units, then ``stride`` times fewer steps of twice as many channels."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.units = _residual_units(channels)
        self.down = nn.Conv1d(channels, 2 * channels, 2 * stride, stride=stride)
        self.elu = nn.ELU(inplace=True)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in, (B, 2C, about S / stride) out."""
        return self.elu(self.down(self.units(signal)))


class DecoderBlock(nn.Module):
    """``stride`` times more steps of half as many channels, then residual units."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose1d(channels, channels // 2, 2 * stride, stride=stride)
        self.elu = nn.ELU(inplace=True)
        self.units = _residual_units(channels // 2)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in, (B, C / 2, about S * stride) out."""
        return self.units(self.elu(self.up(signal)))


class Encoder(nn.Module):
    """Waves of shape (B, 1, T), T whole hops, to latents of shape (B, D, F).

    D is ``channels`` doubled by every block; F is the number of hops and the edges' frames.
    """

    def __init__(self, channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        latent_channels = channels * 2 ** len(strides)
        self.edges = Edges.of(strides)
        self.input = nn.Conv1d(1, channels, KERNEL_SIZE)
        self.elu = nn.ELU(inplace=True)
        self.blocks = nn.Sequential(
            *(EncoderBlock(channels * 2**depth, stride) for depth, stride in enumerate(strides))
        )
        self.output = nn.Conv1d(latent_channels, latent_channels, LATENT_KERNEL_SIZE)

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """See the class."""
        padded = functional.pad(waves, (self.edges.left, self.edges.right))
        return self.output(self.blocks(self.elu(self.input(padded))))


class Decoder(nn.Module):
    """Latents of shape (B, D, F) to waves of shape (B, 1, T'), aligned with what was encoded, T' >= T.

    ``channels`` and ``strides`` are the encoder's.
    """

    def __init__(self, channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        latent_channels = channels * 2 ** len(strides)
        self.edges = Edges.of(strides)
        self.input = nn.Conv1d(latent_channels, latent_channels, KERNEL_SIZE)
        self.elu = nn.ELU(inplace=True)
        self.blocks = nn.Sequential(
            *(
                DecoderBlock(latent_channels // 2**depth, stride)
                for depth, stride in enumerate(reversed(strides))
            )
        )
        self.output = nn.Conv1d(channels, 1, KERNEL_SIZE)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """See the class."""
        signal = self.blocks(self.elu(self.input(latents)))
        waves = torch.tanh(self.output(signal))
        return waves[:, :, self.edges.crop :]


class SoundStream(nn.Module):
    """The codec, from waves of whole hops to waves that are aligned with them sample by sample.

    Args:
        channels: Of the first layer; every block of the encoder doubles them.
        strides: Of the encoder's blocks; their product is the hop length.
        codebooks: Codes per frame.
        codebook_size: Codewords per codebook.
    """

    def __init__(self, channels: int, strides: Sequence[int], codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.encoder = Encoder(channels, strides)
        self.decoder = Decoder(channels, strides)
        self.quantizer = ResidualVectorQuantizer(codebooks, codebook_size, channels * 2 ** len(strides))

    def latents(self, waves: torch.Tensor) -> torch.Tensor:
        """Encode without quantising.

        Args:
            waves: Shape (B, T), T whole hops.

        Returns:
            Shape (B, D, F), F the number of hops and the frames of the edges.
        """
        return self.encoder(waves[:, None, :])

    def encode(self, waves: torch.Tensor, codebooks: int) -> Encoded:
        """Encode waves as for ``latents`` with the first ``codebooks`` codebooks."""
        return Encoded(self.quantizer.encode(self.latents(waves), codebooks))

    def decode(self, encoded: Encoded) -> torch.Tensor:
        """Give waves of shape (B, T'), T' >= T, the first sample belonging to the first of the input."""
        return self.decoder(self.quantizer.decode(encoded.codes))[:, 0, :]
