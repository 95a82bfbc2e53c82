"""SEANet with a residual quantiser: the network of EnCodec, FunCodec (time domain) and SpeechTokenizer.

Défossez et al. 2022, "High Fidelity Neural Audio Compression" (arXiv 2210.13438), section 3.1.
Shapes: B batch, T samples, C channels, L length of a feature map, D latent channels, F frames, K codebooks.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from codecfake.codec_adapters.nn.padding import pad
from codecfake.codec_adapters.nn.quantization import Encoded, ResidualVectorQuantizer

OUTER_KERNEL_SIZE = 7
"""Of the first and the last convolution of both halves."""


class SeanetCodec(nn.Module):
    """Encoder, residual quantiser and decoder; by its options EnCodec, FunCodec or SpeechTokenizer.

    Args:
        filters: Channels of the first convolution; every stage doubles them.
        ratios: How much each stage of the decoder lengthens; the encoder shortens by them in reverse order.
        dimension: Latent channels.
        codebooks: Codebooks that the network holds.
        codebook_size: Codewords of each.
        causal: Pad on the left alone, so that no output depends on later input; else on both sides.
        group_norm: Normalise after every convolution over channels and time together (one group).
        lstm_layers: LSTM layers between the strided convolutions and the latents, in both halves.
        bidirectional_encoder: Let the encoder's LSTM run in both directions.
        residual_kernel_size: Of the first convolution of a residual unit.
        compress: How much narrower a residual unit is inside.
        level_normalised: Divide every wave by its root mean square first, and multiply the decoded one with it.
    """

    def __init__(
        self,
        *,
        filters: int,
        ratios: Sequence[int],
        dimension: int,
        codebooks: int,
        codebook_size: int,
        causal: bool,
        group_norm: bool = False,
        lstm_layers: int = 2,
        bidirectional_encoder: bool = False,
        residual_kernel_size: int = 3,
        compress: int = 2,
        level_normalised: bool = False,
    ) -> None:
        super().__init__()
        self.level_normalised = level_normalised
        self.hop_length = math.prod(ratios)
        convolution = partial(PaddedConvolution, causal=causal, group_norm=group_norm)
        upsampling = partial(TrimmedUpsampling, causal=causal, group_norm=group_norm)
        widths = [filters * 2**stage for stage in range(len(ratios) + 1)]

        def residual_unit(width: int) -> ResidualUnit:
            inner = width // compress
            return ResidualUnit(
                block=nn.Sequential(
                    nn.ELU(),
                    convolution(width, inner, residual_kernel_size),
                    nn.ELU(inplace=True),
                    convolution(inner, width, 1),
                ),
                shortcut=convolution(width, width, 1),
            )

        encoder = [convolution(1, filters, OUTER_KERNEL_SIZE)]
        for width, ratio in zip(widths[:-1], reversed(ratios), strict=True):
            encoder += [
                residual_unit(width),
                nn.ELU(inplace=True),
                convolution(width, 2 * width, 2 * ratio, stride=ratio),
            ]
        lstm = SkipLstm(widths[-1], lstm_layers, bidirectional=bidirectional_encoder)
        encoder += [
            lstm,
            nn.ELU(inplace=True),
            convolution(lstm.output_channels, dimension, OUTER_KERNEL_SIZE),
        ]
        decoder = [convolution(dimension, widths[-1], OUTER_KERNEL_SIZE), SkipLstm(widths[-1], lstm_layers)]
        for width, ratio in zip(reversed(widths[:-1]), ratios, strict=True):
            decoder += [
                nn.ELU(inplace=True),
                upsampling(2 * width, width, 2 * ratio, stride=ratio),
                residual_unit(width),
            ]
        decoder += [nn.ELU(inplace=True), convolution(filters, 1, OUTER_KERNEL_SIZE)]
        self.encoder = nn.Sequential(*encoder)
        self.quantizer = ResidualVectorQuantizer(codebooks, codebook_size, dimension)
        self.decoder = nn.Sequential(*decoder)

    def latents(self, waves: torch.Tensor) -> torch.Tensor:
        """Encode waves, shape (B, T), into latents, shape (B, D, F), F = T / hop length, rounded up."""
        return self._encode(waves, self._level(waves))

    def encode(self, waves: torch.Tensor, codebooks: int | None = None) -> Encoded:
        """Encode and quantise waves, shape (B, T), with the first ``codebooks`` codebooks, or all."""
        level = self._level(waves)
        return Encoded(self.quantizer.encode(self._encode(waves, level), codebooks), level)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        """Decode into waves of F x hop length samples, shape (B, T)."""
        waves = self.decoder(self.quantizer.decode(encoded.codes))[:, 0]
        return waves if encoded.scale is None else waves * encoded.scale

    def _level(self, waves: torch.Tensor) -> torch.Tensor | None:
        if not self.level_normalised:
            return None
        return 1e-8 + waves.square().mean(dim=1, keepdim=True).sqrt()

    def _encode(self, waves: torch.Tensor, level: torch.Tensor | None) -> torch.Tensor:
        return self.encoder((waves if level is None else waves / level)[:, None])


class PaddedConvolution(nn.Module):
    """A convolution that reflects its input at the edges, so that stride s makes ceil(L / s) of L."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        *,
        causal: bool,
        group_norm: bool,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel_size, stride)
        self.norm = _norm(outputs, group_norm)
        self._stride = stride
        padding = kernel_size - stride
        self._right = 0 if causal else padding // 2
        self._left = padding - self._right

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Convolve features, shape (B, C, L)."""
        missing = -features.shape[-1] % self._stride
        return self.norm(self.conv(_reflect(features, self._left, self._right + missing)))


class TrimmedUpsampling(nn.Module):
    """A transposed convolution that makes exactly s x L of L: what its kernel adds is cut off."""

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, *, causal: bool, group_norm: bool, stride: int
    ) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(inputs, outputs, kernel_size, stride)
        self.norm = _norm(outputs, group_norm)
        surplus = kernel_size - stride
        self._right = surplus if causal else surplus // 2
        self._left = surplus - self._right

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Upsample features, shape (B, C, L)."""
        whole = self.norm(self.conv(features))
        return whole[..., self._left : whole.shape[-1] - self._right]


class ResidualUnit(nn.Module):
    """The sum of two branches."""

    def __init__(self, block: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.shortcut = shortcut

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Add both branches of features, shape (B, C, L)."""
        return self.shortcut(features) + self.block(features)


class SkipLstm(nn.Module):
    """An LSTM over time that is added to its input; one in both directions to its input twice over."""

    def __init__(self, channels: int, layers: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers, bidirectional=bidirectional)
        self.output_channels = channels * (2 if bidirectional else 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Run over features, shape (B, C, L)."""
        steps = features.permute(2, 0, 1)
        outputs, _ = self.lstm(steps)
        skipped = steps.repeat(1, 1, 2) if self.lstm.bidirectional else steps
        return (outputs + skipped).permute(1, 2, 0)


def _norm(channels: int, group_norm: bool) -> nn.Module:
    return nn.GroupNorm(1, channels) if group_norm else nn.Identity()


def _reflect(features: torch.Tensor, left: int, right: int) -> torch.Tensor:
    """Pad by reflection, as the EnCodec reference does.

    Features no longer than the padding are first filled up with zeros on the right, which are taken off again.
    """
    if left == right == 0:
        return features
    missing = max(left, right) + 1 - features.shape[-1]
    if missing <= 0:
        return pad(features, left, right, "reflect")
    padded = pad(pad(features, 0, missing), left, right, "reflect")
    return padded[..., :-missing]
