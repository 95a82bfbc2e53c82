"""Reading the window of one file: open, decode what is needed of it, mono, 16 kHz, tile."""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.codec_adapters.resampling import resample, to_mono
from codecfake.detector.crops import CROP_SAMPLES, SAMPLE_RATE, tile
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.reasons import Reason
from codecfake.manifests.recording_limits import format_problem
from codecfake.manifests.stage_clock import StageClock

if TYPE_CHECKING:
    import soundfile

MARGIN_SECONDS = 0.25
"""Read beyond the window before resampling, so that the filter's edge lies outside of it."""


class UnreadableAudioError(Exception):
    """A file that gives no wave, with its reason code."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def read_crop(path: Path) -> np.ndarray:
    """Read the window of one file.

    Args:
        path: Any audio file libsndfile decodes, at any sampling rate, with any number of channels.

    Returns:
        Mono wave at 16 kHz, shape (64600,), float32.

    Raises:
        UnreadableAudioError: If the file is missing, undecodable, empty or not finite.
    """
    window = np.empty(CROP_SAMPLES, np.float32)
    read_crop_into(path, window)
    return window


def read_crop_into(path: Path, window: np.ndarray, clock: StageClock | None = None) -> None:
    """Read the window of one file into memory that is there already.

    Args:
        path: As of `read_crop`.
        window: Shape (64600,), float32, contiguous; what it holds after an error is void.
        clock: Takes the time of ``read`` (open, decode) and ``resample``.

    Raises:
        UnreadableAudioError: If the file is missing, undecodable, empty or not finite.
    """
    import soundfile

    clock = clock or StageClock()
    with clock.measure("read"):
        _require_file(path)
        try:
            # Opened here, for libsndfile does not say why it could not.
            with open_plain(path) as file, soundfile.SoundFile(file.fileno(), closefd=False) as audio:
                wave, rate = _decode(audio, window), audio.samplerate
        except (soundfile.SoundFileError, OSError) as error:
            refuse_exhaustion(error)
            raise UnreadableAudioError(Reason.UNREADABLE, str(error)) from error
        if not np.isfinite(wave).all():
            raise UnreadableAudioError(Reason.NON_FINITE, "holds NaN or infinite samples")
        if not wave.size:
            raise UnreadableAudioError(Reason.EMPTY, "holds no samples")
    if rate != SAMPLE_RATE:
        with clock.measure("resample"):
            wave = resample(wave, rate, SAMPLE_RATE)
    if not np.may_share_memory(wave, window):
        wave = wave[:CROP_SAMPLES]
        window[: len(wave)] = wave
    tile(window, len(wave))


def _require_file(path: Path) -> None:
    """Refuse what is no file, before opening it could wait for a pipe's other end."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116, a quarter of the time
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableAudioError(Reason.MISSING, "no such file") from error
    except OSError as error:
        raise UnreadableAudioError(Reason.UNREADABLE, str(error)) from error
    if not stat.S_ISREG(mode):
        raise UnreadableAudioError(Reason.NOT_A_FILE, "not a regular file")


def _decode(audio: "soundfile.SoundFile", window: np.ndarray) -> np.ndarray:
    """The samples that the window needs, mono, at the rate of the file: a view of the window where that suffices."""
    if audio.samplerate == SAMPLE_RATE and audio.channels == 1:
        return audio.read(out=window)
    frames = int((CROP_SAMPLES / SAMPLE_RATE + MARGIN_SECONDS) * audio.samplerate)
    if problem := format_problem(audio.samplerate, audio.channels, frames):
        raise UnreadableAudioError(Reason.UNREADABLE, problem)
    with np.errstate(over="ignore"):  # what becomes infinite is refused afterwards
        return to_mono(audio.read(frames, dtype="float32", always_2d=True))
