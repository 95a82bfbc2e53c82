"""AudioDec: a causal convolutional encoder, a residual quantiser, and a causal HiFi-GAN vocoder in place of a decoder.

Wu et al. 2023, "AudioDec" (arXiv 2305.16608): the encoder and quantiser are those of an autoencoder, the vocoder is
trained on its latents afterwards.
Shapes: B batch, C channels, T samples, S steps of whatever rate a layer works at, D latent channels, F frames.

Every layer sees the past alone, with zeros or the first value before the beginning, and nothing is kept from one wave
to the next: the published code's offline mode.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from codecfake.codec_adapters.nn.hifigan import CausalConv1d, MultiReceptiveField, ResBlock
from codecfake.codec_adapters.nn.padding import pad
from codecfake.codec_adapters.nn.quantization import Encoded, ResidualVectorQuantizer

KERNEL_SIZE = 7
LATENT_KERNEL_SIZE = 3
ENCODER_DILATIONS = (1, 3, 9)
SLOPE = 0.1
OUTPUT_SLOPE = 0.01


class CausalUpsampling(nn.ConvTranspose1d):
    """``stride`` times more steps, each of which sees one step of the input and the one before it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, 2 * stride, stride=stride)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in, (B, C', S * stride) out; the first step of the input stands before itself."""
        (stride,) = self.stride
        repeated = pad(signal, 1, 0, "replicate")
        return super().forward(repeated)[:, :, stride:-stride]


class ResidualUnit(nn.Module):
    """A dilated and a pointwise convolution beside what they see; shape (B, C, S) in and out."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated = CausalConv1d(channels, channels, KERNEL_SIZE, dilation=dilation, bias=False)
        self.pointwise = nn.Conv1d(channels, channels, 1, bias=False)
        self.elu = nn.ELU()

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """See the class."""
        step = self.dilated(self.elu(signal))
        return signal + self.pointwise(self.elu(step))


class EncoderBlock(nn.Module):
    """Residual units, then ``stride`` times fewer steps."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.units = nn.Sequential(*(ResidualUnit(in_channels, dilation) for dilation in ENCODER_DILATIONS))
        self.down = CausalConv1d(in_channels, out_channels, 2 * stride, stride=stride)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in, (B, C', S / stride) out, rounded up."""
        return self.down(self.units(signal))


class Encoder(nn.Module):
    """Waves of shape (B, 1, T) to latents of shape (B, D, F); sizes as for ``AudioDec``."""

    def __init__(
        self, channels: int, channel_ratios: Sequence[int], strides: Sequence[int], latent_channels: int
    ) -> None:
        super().__init__()
        widths = [channels, *(channels * ratio for ratio in channel_ratios)]
        self.input = CausalConv1d(1, channels, KERNEL_SIZE, bias=False)
        self.blocks = nn.Sequential(
            *(EncoderBlock(*sizes) for sizes in zip(widths[:-1], widths[1:], strides, strict=True))
        )
        self.output = CausalConv1d(widths[-1], latent_channels, LATENT_KERNEL_SIZE, bias=False)

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.output(self.blocks(self.input(waves)))


class GroupedField(nn.Module):
    """Copies of the signal, one residual block in separate groups for all of them, and their mixture."""

    def __init__(self, channels: int, kernel_size: int, copies: int) -> None:
        super().__init__()
        self.copies = copies
        self.block = ResBlock(copies * channels, kernel_size, groups=copies, causal=True, slope=SLOPE)
        self.mixture = nn.Conv1d(copies * channels, channels, 1, bias=False)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in and out."""
        return self.mixture(self.block(signal.repeat(1, self.copies, 1)))


class VocoderStage(nn.Module):
    """``stride`` times more steps of half as many channels, then residual blocks.

    Several kernel sizes give the mean of one block each (version 0), one of them ``groups`` copies (1 and 2).
    """

    def __init__(self, channels: int, stride: int, kernel_sizes: Sequence[int], groups: int) -> None:
        super().__init__()
        self.up = CausalUpsampling(channels, channels // 2, stride)
        self.field: nn.Module
        if groups > 1:
            (kernel_size,) = kernel_sizes
            self.field = GroupedField(channels // 2, kernel_size, groups)
        else:
            self.field = MultiReceptiveField(
                ResBlock(channels // 2, size, causal=True, slope=SLOPE) for size in kernel_sizes
            )

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in, (B, C / 2, S * stride) out."""
        return self.field(self.up(functional.leaky_relu(signal, SLOPE)))


class Vocoder(nn.Module):
    """Latents of shape (B, D, F) to waves of shape (B, 1, T); sizes as for ``AudioDec``."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        latent_channels: int,
        channels: int,
        strides: Sequence[int],
        kernel_sizes: Sequence[int],
        groups: int,
    ) -> None:
        super().__init__()
        # Of the latents of the training set, so that the network sees them normalised.
        self.register_buffer("mean", torch.zeros(latent_channels))
        self.register_buffer("scale", torch.ones(latent_channels))
        self.input = CausalConv1d(latent_channels, channels, KERNEL_SIZE)
        self.stages = nn.Sequential(
            *(
                VocoderStage(channels // 2**depth, stride, kernel_sizes, groups)
                for depth, stride in enumerate(strides)
            )
        )
        self.output = CausalConv1d(channels // 2 ** len(strides), 1, KERNEL_SIZE)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """See the class."""
        normalised = (latents - self.mean[:, None]) / self.scale[:, None]
        signal = self.stages(self.input(normalised))
        return torch.tanh(self.output(functional.leaky_relu(signal, OUTPUT_SLOPE)))


class AudioDec(nn.Module):
    """The codec, from waves of whole hops to waves of the same length.

    Args:
        channels: Of the encoder's first layer.
        channel_ratios: Channels after each block of the encoder, in multiples of ``channels``.
        strides: Of the encoder's blocks; their product is the hop length.
        latent_channels: What the quantiser sees.
        codebooks: Codes per frame.
        codebook_size: Codewords per codebook.
        vocoder_channels: Of the vocoder's first layer; every stage halves them.
        vocoder_strides: Of the vocoder's stages; their product is the hop length, too.
        vocoder_kernel_sizes: Of the residual blocks of every stage; one size where there are groups.
        vocoder_groups: Copies of the signal that a stage works on.
    """

    def __init__(
        self,
        channels: int,
        channel_ratios: Sequence[int],
        strides: Sequence[int],
        latent_channels: int,
        codebooks: int,
        codebook_size: int,
        vocoder_channels: int,
        vocoder_strides: Sequence[int],
        vocoder_kernel_sizes: Sequence[int],
        vocoder_groups: int,
    ) -> None:
        super().__init__()
        if math.prod(strides) != math.prod(vocoder_strides):
            raise ValueError(
                f"encoder strides {strides} and vocoder strides {vocoder_strides} differ in product"
            )
        self.encoder = Encoder(channels, channel_ratios, strides, latent_channels)
        self.quantizer = ResidualVectorQuantizer(codebooks, codebook_size, latent_channels)
        self.decoder = Vocoder(
            latent_channels, vocoder_channels, vocoder_strides, vocoder_kernel_sizes, vocoder_groups
        )

    def latents(self, waves: torch.Tensor) -> torch.Tensor:
        """Encode waves of shape (B, T), T whole hops, without quantising: shape (B, D, F)."""
        return self.encoder(waves[:, None, :])

    def encode(self, waves: torch.Tensor, codebooks: int) -> Encoded:
        """Encode waves of shape (B, T) with the first ``codebooks`` codebooks."""
        return Encoded(self.quantizer.encode(self.latents(waves), codebooks))

    def decode(self, encoded: Encoded) -> torch.Tensor:
        """Give waves of shape (B, T), aligned with those encoded."""
        return self.decoder(self.quantizer.decode(encoded.codes))[:, 0, :]
