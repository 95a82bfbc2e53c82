"""How well speech survives a codec: SI-SDR, log-mel distance, STOI and PESQ, per clip and in the mean."""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from codecfake.codec_adapters.resampling import Wave, fit_length, resample, to_mono
from codecfake.pipeline.audio import decode

if TYPE_CHECKING:
    from codecfake.codec_adapters import CodecAdapter

Item = TypeVar("Item")

SAMPLE_RATE = 16_000
"""At which waves are compared, whatever the codec's own rate: that of the dataset, and the one wideband PESQ has."""
SHORTEST_SECONDS, LONGEST_SECONDS = 0.8, 10.0
"""STOI needs more than a word; more than a sentence tells nothing new."""
MEL_BANDS = 80
MEL_FFT_SIZE = 1024
MEL_RANGE_DB = 80.0


@dataclass(frozen=True)
class Clip:
    """Speech to validate with."""

    name: str
    wave: Wave
    """Shape (T,)."""
    sample_rate: int


@dataclass(frozen=True)
class Scores:
    """How near a wave is to the original; ``None`` where a measure's package is not installed, or cannot tell."""

    stoi: float | None
    """Intelligibility, 0 to 1 (Taal et al. 2011)."""
    pesq: float | None
    """Quality, 1.0 to 4.64 (ITU-T P.862.2, wideband)."""
    si_sdr: float | None
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    mel_distance: float | None
    """Mean absolute difference of log-mel spectra in dB."""


@dataclass(frozen=True)
class ClipScores:
    """The scores of one clip, and what was compared, at ``SAMPLE_RATE``."""

    clip: str
    scores: Scores
    original: Wave
    decoded: Wave


def read_clips(paths: Sequence[Path], limit: int) -> list[Clip]:
    """Read at most ``limit`` clips, spread evenly over ``paths``; short and unreadable ones are left out."""
    clips = []
    for path in spread(paths, limit):
        try:
            samples, sample_rate = decode(path)
        except (OSError, RuntimeError):
            continue
        wave = to_mono(samples)[: round(LONGEST_SECONDS * sample_rate)]
        if wave.size > SHORTEST_SECONDS * sample_rate and np.isfinite(wave).all():
            clips.append(Clip(path.stem, wave, sample_rate))
    return clips


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """Take at most ``limit`` of ``items``, evenly spread, the first among them."""
    count = min(limit, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def validate(codec: "CodecAdapter", clips: Sequence[Clip]) -> list[ClipScores]:
    """Send every clip through a codec and compare."""
    results = []
    for clip in clips:
        (decoded,) = codec.resynthesize([clip.wave], clip.sample_rate, SAMPLE_RATE)
        original = fit_length(resample(clip.wave, clip.sample_rate, SAMPLE_RATE), decoded.size)
        results.append(ClipScores(clip.name, compare(original, decoded), original, decoded))
    return results


def compare(original: Wave, decoded: Wave) -> Scores:
    """Measure how near ``decoded`` is to ``original``, both of shape (T,) at ``SAMPLE_RATE``."""
    return Scores(
        stoi=stoi(original, decoded),
        pesq=pesq(original, decoded),
        si_sdr=si_sdr(original, decoded),
        mel_distance=mel_distance(original, decoded),
    )


def mean_scores(results: Sequence[ClipScores]) -> Scores:
    """Mean of every measure over the clips that have it."""
    columns = zip(*(astuple(result.scores) for result in results), strict=True)
    means = [_mean([value for value in column if value is not None]) for column in columns]
    return Scores(*(means or [None] * len(fields(Scores))))


def missing_measures() -> list[str]:
    """Packages whose measures are left out because they are not installed."""
    return [name for name in ("pystoi", "pesq") if importlib.util.find_spec(name) is None]


def si_sdr(original: Wave, decoded: Wave) -> float | None:
    """Ratio of the part of ``decoded`` that is a multiple of ``original`` to the rest, in dB."""
    original, decoded = (wave.astype(np.float64) - wave.mean() for wave in (original, decoded))
    energy = original @ original
    if not energy or not decoded.any():
        return None
    target = (decoded @ original / energy) * original
    rest = decoded - target
    return 10 * math.log10((target @ target + 1e-20) / (rest @ rest + 1e-20))


def mel_distance(original: Wave, decoded: Wave) -> float:
    """Mean absolute difference of mel spectra in dB, no lower than 80 dB below the original's loudest band."""
    first, second = _mel_power(original), _mel_power(decoded)
    floor = max(float(first.max()), 1e-10) * 10 ** (-MEL_RANGE_DB / 10)
    return float(np.abs(10 * np.log10(first.clip(floor)) - 10 * np.log10(second.clip(floor))).mean())


def stoi(original: Wave, decoded: Wave) -> float | None:
    """Short-time objective intelligibility, by ``pystoi``."""
    try:
        from pystoi import stoi as measure
    except ImportError:
        return None
    return float(measure(original, decoded, SAMPLE_RATE))


def pesq(original: Wave, decoded: Wave) -> float | None:
    """Perceptual evaluation of speech quality, wideband, by ``pesq``; ``None`` where it hears no speech."""
    try:
        from pesq import PesqError
        from pesq import pesq as measure
    except ImportError:
        return None
    score = measure(SAMPLE_RATE, original, decoded, "wb", on_error=PesqError.RETURN_VALUES)
    return float(score) if score > 0 else None


def _mel_power(wave: Wave) -> np.ndarray:
    """Power of mel bands, shape (F, bands)."""
    padded = np.pad(wave, MEL_FFT_SIZE // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, MEL_FFT_SIZE)[:: MEL_FFT_SIZE // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(MEL_FFT_SIZE), axis=1)) ** 2
    return power @ _mel_filters()


@cache
def _mel_filters() -> np.ndarray:
    """Shape (bins, bands); the same for every wave."""
    from codecfake.codec_adapters.training.losses import mel_filters

    return mel_filters(SAMPLE_RATE, MEL_FFT_SIZE, MEL_BANDS).numpy()


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
