"""FreqCodec: a two-dimensional SEANet over magnitude and phase, with a residual quantiser.

Du et al. 2024, "FunCodec: A Fundamental, Reproducible and Integrable Open-source Toolkit for Neural Speech Codec"
(arXiv 2309.07405), section 3.1 and table 2.
Shapes: B batch, T samples, C channels, R frequency rows, S steps in time, D latent channels, F frames, K codebooks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from codecfake.codec_adapters.nn.quantization import Encoded, ResidualVectorQuantizer
from codecfake.codec_adapters.nn.seanet import PaddedConvolution, ResidualUnit, SkipLstm

SPECTRAL_CHANNELS = 3
"""Log magnitude, and real and imaginary part of the phase."""

SMALLEST_MAGNITUDE = 1e-6


@dataclass(frozen=True, kw_only=True)
class HalfSizes:
    """Sizes of the encoder, or of the decoder, whose stages have them in reverse."""

    filters: int
    """Channels next to the spectrum; every stage doubles them."""
    residual_units: int
    """Per stage."""
    kernel_size: int
    """Of the first convolution."""
    last_kernel_size: int
    """Of the last one."""
    residual_kernel_size: int
    dilation_base: int
    """The n-th residual unit of a stage is dilated in time by the n-th power, from the zeroth on."""
    compress: int
    """How much narrower a residual unit is inside."""
    lstm_layers: int
    """Next to the latents; 0 for none."""
    group_ratio: int | None
    """Convolutions of C channels, the fewer of in and out, have C / 2 / ratio groups; one where it is ``None``."""
    upsampling_group_ratio: int | None = None
    """Likewise for the decoder's transposed convolutions, by the channels that come in."""


class FreqCodec(nn.Module):
    """Short-time Fourier transform, encoder, residual quantiser, decoder and inverse transform.

    Args:
        fft_length: Samples of a window, a Hann window.
        fft_hop: Samples from one window to the next.
        ratios: How much each stage of the decoder lengthens in frequency and in time; the encoder shortens by them
            in reverse order. Those in frequency must bring ``fft_length / 2 + 1`` rows to one.
        dimension: Latent channels.
        codebooks: Codebooks that the network holds.
        codebook_size: Codewords of each.
        encoder: The encoder's ``HalfSizes``.
        decoder: The decoder's ``HalfSizes``.
    """

    def __init__(
        self,
        *,
        fft_length: int,
        fft_hop: int,
        ratios: Sequence[tuple[int, int]],
        dimension: int,
        codebooks: int,
        codebook_size: int,
        encoder: Mapping[str, Any],
        decoder: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.fft_length = fft_length
        self.fft_hop = fft_hop
        steps_per_frame = math.prod(time for _, time in ratios)
        self.hop_length = fft_hop * steps_per_frame
        # Whole frames of samples are one step more than whole frames of steps; what a frame then lacks is padded
        # on its left by every convolution with a stride in time, so that all of it arrives later by as much.
        self.delay = fft_hop * (steps_per_frame - 1)
        self.register_buffer("window", torch.hann_window(fft_length), persistent=False)
        self.encoder = nn.Sequential(*_encoder_layers(ratios, dimension, HalfSizes(**encoder)))
        self.quantizer = ResidualVectorQuantizer(codebooks, codebook_size, dimension)
        self.decoder = nn.Sequential(*_decoder_layers(ratios, dimension, HalfSizes(**decoder)))

    def latents(self, waves: torch.Tensor) -> torch.Tensor:
        """Encode waves, shape (B, T), into latents, shape (B, D, F), F = T / hop length + 1."""
        return self._encode(waves, _level(waves))

    def encode(self, waves: torch.Tensor, codebooks: int | None = None) -> Encoded:
        """Encode and quantise waves, shape (B, T), T a multiple of the hop length.

        Args:
            waves: The waves; each is divided by its root mean square first.
            codebooks: Use only so many, from the first on.

        Returns:
            Codes of F = T / hop length + 1 frames, and the root mean squares.
        """
        level = _level(waves)
        return Encoded(self.quantizer.encode(self._encode(waves, level), codebooks), level)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        """Decode into waves of (F - 1) x hop length samples, shape (B, T), without the network's delay."""
        loudness, real, imaginary = self.decoder(self.quantizer.decode(encoded.codes)).unbind(dim=1)
        spectrum = functional.softplus(loudness) * torch.complex(real, imaginary)
        waves = torch.istft(spectrum, self.fft_length, self.fft_hop, window=self.window)
        return waves[:, self.delay :] * encoded.scale

    def _encode(self, waves: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            waves / level, self.fft_length, self.fft_hop, window=self.window, return_complex=True
        )
        magnitude = spectrum.abs().clamp(min=SMALLEST_MAGNITUDE)
        phase = spectrum / magnitude
        return self.encoder(torch.stack([magnitude.log(), phase.real, phase.imag], dim=1))


def _level(waves: torch.Tensor) -> torch.Tensor:
    return 1e-8 + waves.square().mean(dim=1, keepdim=True).sqrt()


def _encoder_layers(
    ratios: Sequence[tuple[int, int]], dimension: int, sizes: HalfSizes
) -> Iterator[nn.Module]:
    width = sizes.filters
    yield PaddedConvolution2d(SPECTRAL_CHANNELS, width, (sizes.kernel_size, sizes.kernel_size))
    for frequency, time in reversed(ratios):
        yield from _residual_units(width, sizes)
        yield nn.ELU(inplace=True)
        yield PaddedConvolution2d(
            width,
            2 * width,
            (2 * frequency, 2 * time),
            stride=(frequency, time),
            groups=_groups(width, sizes.group_ratio),
        )
        width *= 2
    yield nn.Flatten(1, 2)
    if sizes.lstm_layers:
        yield SkipLstm(width, sizes.lstm_layers)
    yield nn.ELU(inplace=True)
    yield PaddedConvolution(width, dimension, sizes.last_kernel_size, causal=False, group_norm=True)


def _decoder_layers(
    ratios: Sequence[tuple[int, int]], dimension: int, sizes: HalfSizes
) -> Iterator[nn.Module]:
    width = sizes.filters * 2 ** len(ratios)
    yield PaddedConvolution(dimension, width, sizes.kernel_size, causal=False, group_norm=True)
    if sizes.lstm_layers:
        yield SkipLstm(width, sizes.lstm_layers)
    yield SingleRow()
    for stage, ratio in enumerate(ratios, start=1):
        yield nn.ELU(inplace=True)
        yield TrimmedUpsampling2d(
            width,
            width // 2,
            ratio,
            groups=_groups(width, sizes.upsampling_group_ratio),
            extra_rows=1 if stage == len(ratios) else 0,
        )
        width //= 2
        yield from _residual_units(width, sizes)
    yield nn.ELU(inplace=True)
    yield PaddedConvolution2d(width, SPECTRAL_CHANNELS, (sizes.last_kernel_size, sizes.last_kernel_size))


def _residual_units(width: int, sizes: HalfSizes) -> Iterator[ResidualUnit]:
    inner = width // sizes.compress
    inner_groups = _groups(inner, sizes.group_ratio)
    square = (sizes.residual_kernel_size, sizes.residual_kernel_size)
    for unit in range(sizes.residual_units):
        dilation = (1, sizes.dilation_base**unit)
        yield ResidualUnit(
            block=nn.Sequential(
                nn.ELU(),
                PaddedConvolution2d(width, inner, square, dilation=dilation, groups=inner_groups),
                nn.ELU(inplace=True),
                PaddedConvolution2d(inner, width, (1, 1), groups=inner_groups),
            ),
            shortcut=PaddedConvolution2d(width, width, (1, 1), groups=_groups(width, sizes.group_ratio)),
        )


def _groups(channels: int, ratio: int | None) -> int:
    return channels // 2 // ratio if ratio else 1


class PaddedConvolution2d(nn.Module):
    """A convolution and group norm that reflect the input at its edges.

    A stride s in time makes ceil(S / s) of S steps; the steps that S lacks come before the first.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, stride, dilation=dilation, groups=groups)
        self.norm = nn.GroupNorm(1, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Convolve features, shape (B, C, R, S)."""
        rows, steps = (
            (size - 1) * dilation - (stride - 1)
            for size, dilation, stride in zip(
                self.conv.kernel_size, self.conv.dilation, self.conv.stride, strict=True
            )
        )
        missing = -features.shape[-1] % self.conv.stride[1]
        before, after = steps - steps // 2 + missing, steps // 2
        return self.norm(self.conv(_reflect(features, (before, after), (rows - rows // 2, rows // 2))))


class TrimmedUpsampling2d(nn.Module):
    """A transposed convolution and group norm that multiply rows and steps by ``ratio``.

    What the kernel adds is cut off, after the norm; ``extra_rows`` of it stay, above the highest frequency.
    """

    def __init__(
        self, inputs: int, outputs: int, ratio: tuple[int, int], *, groups: int, extra_rows: int
    ) -> None:
        super().__init__()
        frequency, time = ratio
        self.conv = nn.ConvTranspose2d(
            inputs, outputs, (2 * frequency, 2 * time), (frequency, time), groups=groups
        )
        self.norm = nn.GroupNorm(1, outputs)
        self._rows = frequency - frequency // 2, max(frequency // 2 - extra_rows, 0)
        self._steps = time - time // 2, time // 2

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Upsample features, shape (B, C, R, S)."""
        whole = self.norm(self.conv(features))
        (first_row, surplus_rows), (first_step, surplus_steps) = self._rows, self._steps
        return whole[
            ..., first_row : whole.shape[-2] - surplus_rows, first_step : whole.shape[-1] - surplus_steps
        ]


class SingleRow(nn.Module):
    """Gives features of shape (B, C, S) one frequency row: shape (B, C, 1, S)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return features.unsqueeze(
            2
        )  # an unflattened view has other strides, and the next layer other roundings


def _reflect(features: torch.Tensor, steps: tuple[int, int], rows: tuple[int, int]) -> torch.Tensor:
    """Pad by reflection; features of too few steps are first filled up with zeros, which are taken off again."""
    missing = max(0, max(steps) + 1 - features.shape[-1])
    if missing:
        features = functional.pad(features, (0, missing))
    padded = functional.pad(features, (*steps, *rows), mode="reflect")
    return padded[..., : padded.shape[-1] - missing]
