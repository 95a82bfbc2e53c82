"""What can be told of an audio file without listening: its form, length, level, silence and bandwidth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecfake.codec_adapters.resampling import Wave, to_mono
from codecfake.pipeline.audio import refuse_oversized

SILENCE_DB = -30.0
"""A frame this far below the loudest frame of its file is silent: the level of the file does not matter, and the noise
that a codec adds to pauses, often 35 to 40 dB below the speech, is not taken for another trim."""
SILENCE_FRAME_SECONDS = 0.01
BANDWIDTH_DB = -60.0
"""Where the spectrum of the file falls this far below its peak and stays there, its band ends."""
SPECTRUM_SECONDS = 0.032
SPECTRUM_PERCENTILE = 90
"""Of the frames, per frequency: fricatives count, a click at an edge does not."""
FLOOR = 1e-5
"""Amplitude below one step of 16 bits; a logarithm has to end somewhere."""
FULL_SCALE = 32767 / 32768


@dataclass(frozen=True)
class FileFeatures:
    """One file, as a classifier could see it that understands no speech."""

    form: str
    """Container, subtype, channels, and for WAV the bytes that are no samples."""
    file_bytes: int
    sample_rate: int
    """In Hz."""
    samples: int
    seconds: float
    peak_db: float
    """Highest amplitude, in dB of full scale."""
    rms_db: float
    """Root mean square, in dB of full scale."""
    dc_db: float
    """Absolute mean of the samples, in dB of full scale."""
    leading_silence: float
    """Seconds before the first frame that is not silent."""
    trailing_silence: float
    """Seconds after the last frame that is not silent."""
    bandwidth: float
    """In Hz."""
    clipped: int
    """Samples at full scale."""


def read_features(path: Path) -> tuple[FileFeatures, Wave]:
    """Measure one file.

    Args:
        path: Any audio file libsndfile decodes.

    Returns:
        Its features, and its samples mixed down, shape (T,), at its own rate.

    Raises:
        OSError: If it cannot be opened.
        soundfile.SoundFileError: If it cannot be decoded, or is too long for the memory.
        ValueError: If it is no file, holds no samples, or some that are not finite.
    """
    import soundfile

    if not path.is_file():  # opening a pipe would wait for its other end
        raise ValueError("no such file")
    with soundfile.SoundFile(path) as audio:
        refuse_oversized(audio)
        rate = audio.samplerate
        form = f"{audio.format} {audio.subtype}, {audio.channels} ch"
        wave = to_mono(audio.read(dtype="float32", always_2d=True))
        sample_bytes = len(wave) * audio.channels * {"PCM_16": 2, "PCM_24": 3}.get(audio.subtype, 4)
    if not wave.size:
        raise ValueError("holds no samples")
    if not np.isfinite(wave).all():
        raise ValueError("holds NaN or infinite samples")
    size = path.stat().st_size
    if form.startswith("WAV"):
        form += f", {size - sample_bytes} header bytes"
    leading, trailing = silence(wave, rate)
    features = FileFeatures(
        form=form,
        file_bytes=size,
        sample_rate=rate,
        samples=len(wave),
        seconds=len(wave) / rate,
        peak_db=decibels(float(np.abs(wave).max())),
        rms_db=decibels(root_mean_square(wave)),
        dc_db=decibels(abs(float(wave.mean(dtype=np.float64)))),
        leading_silence=leading,
        trailing_silence=trailing,
        bandwidth=bandwidth(wave, rate),
        clipped=int(np.count_nonzero(np.abs(wave) >= FULL_SCALE)),
    )
    return features, wave


def decibels(amplitude: float) -> float:
    """An amplitude in dB of full scale, -100 at the least."""
    return float(20 * np.log10(max(amplitude, FLOOR)))


def root_mean_square(wave: Wave) -> float:
    """Of a wave of shape (T,)."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def silence(wave: Wave, rate: int) -> tuple[float, float]:
    """Seconds of silence before and after the sound, in steps of 10 ms; all of it twice where there is no sound.

    Args:
        wave: Shape (T,).
        rate: In Hz.
    """
    length = max(1, round(SILENCE_FRAME_SECONDS * rate))
    frames = np.pad(wave, (0, -len(wave) % length)).reshape(-1, length)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    if not power.any():
        return len(wave) / rate, len(wave) / rate
    loud = np.flatnonzero(power > power.max() * 10 ** (SILENCE_DB / 10))
    return float(loud[0] * length / rate), float((len(frames) - 1 - loud[-1]) * length / rate)


def bandwidth(wave: Wave, rate: int) -> float:
    """Highest frequency in Hz at which the spectrum of the file is within 60 dB of its peak.

    Args:
        wave: Shape (T,).
        rate: In Hz.
    """
    length = max(16, round(SPECTRUM_SECONDS * rate))
    padded = np.pad(wave, (0, max(0, length - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[:: length // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(length).astype(np.float32), axis=1)))
    spectrum = np.percentile(power, SPECTRUM_PERCENTILE, axis=0)
    within = np.flatnonzero(spectrum >= spectrum.max() * 10 ** (BANDWIDTH_DB / 10))
    return float(within[-1] * rate / length)
