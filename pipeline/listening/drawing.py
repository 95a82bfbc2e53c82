"""Mel spectrograms and their differences, as small PNG files without axes.

Shape legend: M mel bands, F frames.
"""

from functools import cache
from pathlib import Path

import numpy as np

from codecfake.codec_adapters.resampling import Wave, fit_length
from codecfake.pipeline.codec_training.validation import SAMPLE_RATE

BANDS = 80
FFT_SIZE = 1024
WINDOW_SAMPLES = 512
SHORTEST_HOP = 160
MOST_FRAMES = 640
"""Wider pictures show no more, and files grow."""
RANGE_DB = 80.0
"""From the loudest band of the source down."""
DIFFERENCE_DB = 30.0
"""Beyond which a difference is as strong as it can be drawn."""
LOUDER, QUIETER = (0xF2, 0x7D, 0x0C), (0x2F, 0x7D, 0xE1)
"""Orange where the fake has more energy, blue where less: apart for every kind of colour vision, on white and black."""


def hop_samples(samples: int) -> int:
    """Hop length at 16 kHz for the spectrograms of waves of at most ``samples`` samples."""
    return max(SHORTEST_HOP, -(-samples // MOST_FRAMES))


def mel_decibels(wave: Wave, samples: int) -> np.ndarray:
    """The log-mel spectrogram of a wave, 0 to 8 kHz.

    Args:
        wave: At 16 kHz, shape (T,).
        samples: The length that it is brought to, at its end, so that waves of one row share their time axis.

    Returns:
        Shape (M, F), in dB, the lowest band first.
    """
    padded = np.pad(fit_length(wave, samples), WINDOW_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[:: hop_samples(samples)]
    window = np.hanning(WINDOW_SAMPLES).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, FFT_SIZE, axis=1)) ** 2
    return 10 * np.log10(np.maximum(power @ _filters(), 1e-10)).T


def draw_spectrogram(path: Path, mel: np.ndarray, top: float) -> None:
    """Write a spectrogram, dark where it is quiet.

    Args:
        path: The PNG file.
        mel: Shape (M, F), in dB.
        top: What the brightest colour stands for, in dB; the darkest is 80 dB below.
    """
    shade = (mel - top + RANGE_DB) / RANGE_DB
    _write(path, shade, _sequential(), None)


def draw_difference(path: Path, source: np.ndarray, fake: np.ndarray, top: float) -> None:
    """Write where a fake has more or less energy than its source; clear where they agree, on any background.

    Args:
        path: The PNG file.
        source: Shape (M, F), in dB.
        fake: Likewise.
        top: As for the spectrogram; what lies 80 dB below it is silence in both.
    """
    floor = top - RANGE_DB
    difference = np.maximum(fake, floor) - np.maximum(source, floor)
    palette = bytes(QUIETER) * 128 + bytes(LOUDER) * 128
    strength = np.abs(np.arange(256) - 127.5) / 127.5
    _write(path, (difference / DIFFERENCE_DB + 1) / 2, palette, (255 * strength).astype(np.uint8).tobytes())


def _write(path: Path, shade: np.ndarray, palette: bytes, opacity: bytes | None) -> None:
    """Write shades of shape (M, F), 0 to 1, as an image with one colour per shade, the lowest band at the bottom."""
    from PIL import Image

    pixels = np.rint(shade.clip(0, 1) * 255).astype(np.uint8)[::-1]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.putpalette(palette)
    image.save(path, "PNG", optimize=True, **({"transparency": opacity} if opacity else {}))


@cache
def _sequential() -> bytes:
    """Magma as a palette: even to the eye, readable in grey and for every kind of colour vision."""
    from matplotlib import colormaps

    return (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes()


@cache
def _filters() -> np.ndarray:
    """Shape (bins, M)."""
    from codecfake.codec_adapters.training.losses import mel_filters

    return mel_filters(SAMPLE_RATE, FFT_SIZE, BANDS).numpy()
