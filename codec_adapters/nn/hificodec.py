"""HiFi-Codec: a HiFi-GAN generator, its mirror image as encoder, and residual quantisers of groups of channels.

Yang et al. 2023, "HiFi-Codec" (arXiv 2305.02765).
Shapes: B batch, C channels, T samples, S steps of whatever rate a stage works at, D latent channels, F frames,
K codes per frame.

The encoder normalises over time, so every frame depends on the whole utterance: a batch is exact for waves of equal
length only.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from codecfake.codec_adapters.nn.hifigan import MultiReceptiveField, ResBlock
from codecfake.codec_adapters.nn.quantization import Encoded, ResidualVectorQuantizer

SLOPE = 0.1
ENCODER_OUTPUT_SLOPE = 0.01
CHANNELS_PER_NORM_GROUP = 16


class NormalizedReceptiveField(nn.Module):
    """Residual blocks that are added up, with the sum so far normalised after each, and divided by their number."""

    def __init__(self, channels: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResBlock(channels, size, slope=SLOPE) for size in kernel_sizes)
        groups = channels // CHANNELS_PER_NORM_GROUP
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels, eps=1e-6) for _ in kernel_sizes)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in and out."""
        total = None
        for block, norm in zip(self.blocks, self.norms, strict=True):
            seen = block(signal)
            total = norm(seen if total is None else total + seen)
        return total / len(self.blocks)


class EncoderStage(nn.Module):
    """``stride`` times fewer steps of twice as many channels, seen through kernels of several sizes."""

    def __init__(
        self, channels: int, stride: int, kernel_size: int, block_kernel_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        padding = (kernel_size - stride) // 2
        self.down = nn.Conv1d(channels, 2 * channels, kernel_size, stride, padding)
        self.field = NormalizedReceptiveField(2 * channels, block_kernel_sizes)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in, (B, 2C, S / stride) out."""
        return self.field(self.down(functional.leaky_relu(signal, SLOPE)))


class DecoderStage(nn.Module):
    """``stride`` times more steps of half as many channels, seen through kernels of several sizes."""

    def __init__(
        self, channels: int, stride: int, kernel_size: int, block_kernel_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        padding = (kernel_size - stride) // 2
        self.up = nn.ConvTranspose1d(channels, channels // 2, kernel_size, stride, padding)
        self.field = MultiReceptiveField(
            ResBlock(channels // 2, size, slope=SLOPE) for size in block_kernel_sizes
        )

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Shape (B, C, S) in, (B, C / 2, S * stride) out."""
        return self.field(self.up(functional.leaky_relu(signal, SLOPE)))


class GroupedResidualVectorQuantizer(nn.Module):
    """Equal groups of channels, each with a residual quantiser of its own.

    The codes of a frame are ordered by layer, then by group: layer 0 of group 0, layer 0 of group 1, and so on.

    Args:
        groups: Groups of channels.
        layers: Codebooks of each group.
        codebook_size: Codewords per codebook.
        dimension: Latent channels of all groups together.
    """

    def __init__(self, groups: int, layers: int, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.groups = nn.ModuleList(
            ResidualVectorQuantizer(layers, codebook_size, dimension // groups) for _ in range(groups)
        )

    def encode(self, latents: torch.Tensor, codebooks: int | None = None) -> torch.Tensor:
        """Find the nearest codewords.

        Args:
            latents: Shape (B, D, F).
            codebooks: Codes per frame, a multiple of the groups; all when absent.

        Returns:
            Codes of shape (B, K, F).
        """
        layers = None if codebooks is None else codebooks // len(self.groups)
        parts = latents.chunk(len(self.groups), dim=1)
        codes = [group.encode(part, layers) for group, part in zip(self.groups, parts, strict=True)]
        return torch.stack(codes, dim=2).flatten(1, 2)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Look ``codes``, shape (B, K, F), up: latents of shape (B, D, F)."""
        parts = codes.unflatten(1, (-1, len(self.groups))).unbind(2)
        latents = [group.decode(part) for group, part in zip(self.groups, parts, strict=True)]
        return torch.cat(latents, dim=1)

    def draw_codebooks(self, latents: torch.Tensor, generator: torch.Generator) -> None:
        """Fill the codebooks at random, each spread like what reaches it; arguments as for a group."""
        for group, part in zip(self.groups, latents.chunk(len(self.groups), dim=1), strict=True):
            group.draw_codebooks(part, generator)


class Encoder(nn.Module):
    """Waves of shape (B, 1, T), T whole hops, to latents of shape (B, D, F); sizes as for ``HiFiCodec``."""

    def __init__(
        self,
        channels: int,
        strides: Sequence[int],
        kernel_sizes: Sequence[int],
        block_kernel_sizes: Sequence[int],
    ) -> None:
        super().__init__()
        latent_channels = channels * 2 ** len(strides)
        self.input = nn.Conv1d(1, channels, 7, padding=3)
        self.stages = nn.Sequential(
            *(
                EncoderStage(channels * 2**depth, stride, kernel_size, block_kernel_sizes)
                for depth, (stride, kernel_size) in enumerate(zip(strides, kernel_sizes, strict=True))
            )
        )
        self.output = nn.Conv1d(latent_channels, latent_channels, 3, padding=1)

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """See the class."""
        signal = self.stages(self.input(waves))
        return self.output(functional.leaky_relu(signal, ENCODER_OUTPUT_SLOPE))


class Decoder(nn.Module):
    """Latents of shape (B, D, F) to waves of shape (B, 1, T); sizes as for ``HiFiCodec``, reversed by the caller."""

    def __init__(
        self,
        latent_channels: int,
        channels: int,
        strides: Sequence[int],
        kernel_sizes: Sequence[int],
        block_kernel_sizes: Sequence[int],
    ) -> None:
        super().__init__()
        self.input = nn.Conv1d(latent_channels, channels, 7, padding=3)
        self.stages = nn.Sequential(
            *(
                DecoderStage(channels // 2**depth, stride, kernel_size, block_kernel_sizes)
                for depth, (stride, kernel_size) in enumerate(zip(strides, kernel_sizes, strict=True))
            )
        )
        self.output = nn.Conv1d(channels // 2 ** len(strides), 1, 7, padding=3)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return torch.tanh(self.output(functional.leaky_relu(self.stages(self.input(latents)), SLOPE)))


class HiFiCodec(nn.Module):
    """The codec, from waves of whole hops to waves of the same length.

    Sizes that belong to the stages are given in the decoder's order; the encoder has them reversed.

    Args:
        encoder_channels: Of the encoder's first layer; every stage doubles them.
        decoder_channels: Of the decoder's first layer; every stage halves them.
        strides: Of the stages; their product is the hop length.
        kernel_sizes: Of the convolutions with those strides.
        block_kernel_sizes: Of the residual blocks of every stage.
        groups: Groups of latent channels.
        layers: Codebooks per group.
        codebook_size: Codewords per codebook.
    """

    def __init__(
        self,
        encoder_channels: int,
        decoder_channels: int,
        strides: Sequence[int],
        kernel_sizes: Sequence[int],
        block_kernel_sizes: Sequence[int],
        groups: int,
        layers: int,
        codebook_size: int,
    ) -> None:
        super().__init__()
        latent_channels = encoder_channels * 2 ** len(strides)
        self.encoder = Encoder(encoder_channels, strides[::-1], kernel_sizes[::-1], block_kernel_sizes[::-1])
        self.decoder = Decoder(latent_channels, decoder_channels, strides, kernel_sizes, block_kernel_sizes)
        self.quantizer = GroupedResidualVectorQuantizer(groups, layers, codebook_size, latent_channels)

    def latents(self, waves: torch.Tensor) -> torch.Tensor:
        """Encode waves of shape (B, T), T whole hops, without quantising: shape (B, D, F)."""
        return self.encoder(waves[:, None, :])

    def encode(self, waves: torch.Tensor, codebooks: int) -> Encoded:
        """Encode waves of shape (B, T) with the first ``codebooks`` codebooks, a multiple of the groups."""
        return Encoded(self.quantizer.encode(self.latents(waves), codebooks))

    def decode(self, encoded: Encoded) -> torch.Tensor:
        """Give waves of shape (B, T), aligned with those encoded."""
        return self.decoder(self.quantizer.decode(encoded.codes))[:, 0, :]
