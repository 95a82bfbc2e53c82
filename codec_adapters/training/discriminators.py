"""Networks that tell decoded waves from originals, and what a codec learns from them.

Shapes: B batch, T samples, C channels, F frames, N bins of a spectrum, P period.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from codecfake.codec_adapters.training.losses import spectra_of

SLOPE = 0.2
"""Of the LeakyReLU of the discriminators of spectra; the others have HiFi-GAN's."""
HIFIGAN_SLOPE = 0.1
CHANNELS = 32
"""Of the first layer in the papers; every other width follows from it."""

ENCODEC_WINDOWS = (2048, 1024, 512, 256, 128)
DAC_WINDOWS = (2048, 1024, 512)
DAC_BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
PERIODS = (2, 3, 5, 7, 11)
SCALES = 3


class Judgement(NamedTuple):
    """What one discriminator says of waves."""

    score: torch.Tensor
    """High for originals; the shape depends on the discriminator."""
    features: list[torch.Tensor]
    """Of its layers, without the score."""


class StftDiscriminator(nn.Module):
    """Two-dimensional convolutions over the complex spectrum at one resolution.

    Défossez et al. 2022, "High Fidelity Neural Audio Compression" (arXiv 2210.13438), section 3.4; with several
    bands, each with layers of its own, that of Kumar et al. 2023 (arXiv 2306.06546), section 3.4.

    Args:
        window_length: In samples; the hop is a quarter of it.
        channels: Of every layer.
        bands: Shares of the spectrum, each from and to.
        dilations: In time, of the layers that halve the frequency axis.
    """

    def __init__(
        self,
        window_length: int,
        channels: int = CHANNELS,
        bands: Sequence[tuple[float, float]] = ((0.0, 1.0),),
        dilations: Sequence[int] = (1, 2, 4),
    ) -> None:
        super().__init__()
        window = torch.hann_window(window_length)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        bins = window_length // 2 + 1
        self._bands = [slice(int(low * bins), int(high * bins)) for low, high in bands]

        def layer(inputs: int, kernel: tuple[int, int], stride: int = 1, dilation: int = 1) -> nn.Module:
            padding = ((kernel[0] - 1) * dilation // 2, (kernel[1] - 1) // 2)
            return weight_norm(
                nn.Conv2d(
                    inputs,
                    channels,
                    kernel,
                    (1, stride),
                    padding,
                    dilation=(dilation, 1),
                )
            )

        self.stacks = nn.ModuleList(
            nn.ModuleList(
                [
                    layer(2, (3, 9)),
                    *(layer(channels, (3, 9), stride=2, dilation=dilation) for dilation in dilations),
                    layer(channels, (3, 3)),
                ]
            )
            for _ in bands
        )
        self.output = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=1))

    def forward(self, waves: torch.Tensor) -> Judgement:
        """Judge waves, shape (B, T); the score has shape (B, 1, F, about N / 8)."""
        with torch.autocast(waves.device.type, enabled=False):
            spectra = spectra_of(waves.float(), self.window, len(self.window) // 4)
        parts = torch.view_as_real(spectra).permute(0, 3, 1, 2)  # (B, 2, F, N)
        features, ends = [], []
        for stack, band in zip(self.stacks, self._bands, strict=True):
            signal = parts[..., band]
            for layer in stack:
                signal = functional.leaky_relu(layer(signal), SLOPE)
                features.append(signal)
            ends.append(signal)
        return Judgement(self.output(torch.cat(ends, dim=-1)), features)


class PeriodDiscriminator(nn.Module):
    """Convolutions along every P-th sample.

    Kong et al. 2020, "HiFi-GAN" (arXiv 2010.05646), section 2.3.

    Args:
        period: P.
        channels: Of the first layer.
    """

    def __init__(self, period: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self._period = period
        widths = [1, *(channels * factor for factor in (1, 4, 16, 32, 32))]
        strides = (3, 3, 3, 3, 1)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, outputs, (5, 1), (stride, 1), (2, 0)))
            for inputs, outputs, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.output = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waves: torch.Tensor) -> Judgement:
        """Judge waves, shape (B, T); the score has shape (B, 1, about T / 81 P, P)."""
        padded = functional.pad(waves[:, None], (0, -waves.shape[1] % self._period), mode="reflect")
        return _judge(padded.unflatten(-1, (-1, self._period)), self.layers, self.output)


class ScaleDiscriminator(nn.Module):
    """Grouped convolutions over the wave, thinned out before.

    That of MelGAN in the form of HiFi-GAN (arXiv 2010.05646, section 2.3), weight norm throughout.

    Args:
        halvings: How often the wave is averaged down to half its rate.
        channels: A quarter of the width of the first layer.
    """

    def __init__(self, halvings: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self._halvings = halvings
        widths = [1, *(channels * factor for factor in (4, 4, 8, 16, 32, 32, 32))]
        kernels, strides, groups = (
            (15, *[41] * 5, 5),
            (1, 2, 2, 4, 4, 1, 1),
            (1, 4, *[16] * 4, 1),
        )
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, groups=group))
            for inputs, outputs, kernel, stride, group in zip(
                widths[:-1], widths[1:], kernels, strides, groups, strict=True
            )
        )
        self.output = weight_norm(nn.Conv1d(widths[-1], 1, 3, padding=1))

    def forward(self, waves: torch.Tensor) -> Judgement:
        """Judge waves, shape (B, T); the score has shape (B, 1, about T / (64 x 2^halvings))."""
        signal = waves[:, None]
        for _ in range(self._halvings):
            signal = functional.avg_pool1d(signal, 4, 2, padding=2)
        return _judge(signal, self.layers, self.output)


def _judge(signal: torch.Tensor, layers: nn.ModuleList, output: nn.Module) -> Judgement:
    features = []
    for layer in layers:
        signal = functional.leaky_relu(layer(signal), HIFIGAN_SLOPE)
        features.append(signal)
    return Judgement(output(signal), features)


class Discriminators(nn.ModuleList):
    """Several discriminators of the same waves."""

    def forward(self, waves: torch.Tensor) -> list[Judgement]:
        """Let each of them judge waves, shape (B, T)."""
        return [discriminator(waves) for discriminator in self]


DiscriminatorName = Literal["multi-scale STFT", "multi-band STFT", "multi-period", "multi-scale wave"]
FAMILIES: dict[str, Callable[[int], list[nn.Module]]] = {
    "multi-scale STFT": lambda channels: [StftDiscriminator(size, channels) for size in ENCODEC_WINDOWS],
    "multi-band STFT": lambda channels: [
        StftDiscriminator(size, channels, DAC_BANDS, dilations=(1, 1, 1)) for size in DAC_WINDOWS
    ],
    "multi-period": lambda channels: [PeriodDiscriminator(period, channels) for period in PERIODS],
    "multi-scale wave": lambda channels: [ScaleDiscriminator(scale, channels) for scale in range(SCALES)],
}


def build_discriminators(names: Sequence[DiscriminatorName], channels: int = CHANNELS) -> Discriminators:
    """Build the families of ``names``; ``channels`` makes all of them narrower than in the papers."""
    return Discriminators(member for name in names for member in FAMILIES[name](channels))


def discriminator_loss(
    originals: Sequence[Judgement],
    decoded: Sequence[Judgement],
    kind: Literal["hinge", "least squares"],
) -> torch.Tensor:
    """What discriminators minimise, as a mean over them."""
    losses = [
        functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
        if kind == "hinge"
        else (1 - real).square().mean() + fake.square().mean()
        for real, fake in zip(_scores(originals), _scores(decoded), strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial_loss(decoded: Sequence[Judgement], kind: Literal["hinge", "least squares"]) -> torch.Tensor:
    """What a codec minimises to be taken for an original, as a mean over discriminators."""
    missing = [1 - score for score in _scores(decoded)]
    losses = [(functional.relu(part) if kind == "hinge" else part.square()).mean() for part in missing]
    return torch.stack(losses).mean()


def feature_distance(
    originals: Sequence[Judgement], decoded: Sequence[Judgement], *, relative: bool
) -> torch.Tensor:
    """Mean absolute difference of the features, as a mean over layers and discriminators.

    Args:
        originals: Judgements of the originals.
        decoded: Of the decoded waves.
        relative: Divide every layer's by the mean magnitude of the original's features, as EnCodec does.
    """
    distances = []
    for real, fake in zip(originals, decoded, strict=True):
        layers = []
        for wanted, found in zip(real.features, fake.features, strict=True):
            wanted = wanted.detach()
            scale = wanted.abs().mean() if relative else 1.0
            layers.append((found - wanted).abs().mean() / scale)
        distances.append(torch.stack(layers).mean())
    return torch.stack(distances).mean()


def _scores(judgements: Sequence[Judgement]) -> list[torch.Tensor]:
    return [judgement.score.float() for judgement in judgements]
