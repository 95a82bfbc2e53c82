"""Audio files in and out: any format libsndfile reads in, WAV PCM_16 out."""

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codecfake.codec_adapters.resampling import Wave
from codecfake.manifests.recording_limits import format_problem

if TYPE_CHECKING:
    from pathlib import Path

    import soundfile

AUDIO_FORMAT = "WAV PCM_16"


def decode(content: "bytes | Path") -> tuple[NDArray[np.float32], int]:
    """Decode a whole audio file.

    Args:
        content: The file's bytes, or its path.

    Returns:
        Samples in [-1, 1] of shape (T, channels), and the sample rate in Hz.

    Raises:
        soundfile.SoundFileRuntimeError: If libsndfile cannot read it, or it is too long for the memory.
    """
    import soundfile

    with soundfile.SoundFile(io.BytesIO(content) if isinstance(content, bytes) else content) as sound:
        refuse_oversized(sound)
        # All of them by number: not every format can be sought in.
        return sound.read(sound.frames, dtype="float32", always_2d=True), sound.samplerate


def refuse_oversized(sound: "soundfile.SoundFile") -> None:
    """Refuse from its header what is no recording of speech: a small file can hold more than the memory.

    Raises:
        soundfile.SoundFileRuntimeError: With what is beyond the limits.
    """
    import soundfile

    if problem := format_problem(sound.samplerate, sound.channels, sound.frames):
        raise soundfile.SoundFileRuntimeError(problem)


def to_pcm16(wave: Wave) -> tuple[NDArray[np.int16], int]:
    """Round to 16 bits, without dither, so that the same wave always gives the same file.

    Returns:
        The samples, and how many of them lay beyond full scale and were clipped.
    """
    scaled = np.rint(wave * 32768.0)
    clipped = int(np.count_nonzero((scaled > 32767) | (scaled < -32768)))
    return np.clip(scaled, -32768, 32767).astype(np.int16), clipped


def encode_wav(pcm: NDArray[np.int16], sample_rate: int) -> bytes:
    """The bytes of a mono WAV PCM_16 file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
