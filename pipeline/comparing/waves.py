"""Two audio files that should hold the same: by how much they differ."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecfake.codec_adapters.resampling import Wave, resample, to_mono
from codecfake.pipeline.audio import decode
from codecfake.pipeline.codec_training.validation import SAMPLE_RATE, mel_distance, si_sdr
from codecfake.pipeline.object_store import is_plain

FRAME_SECONDS = 0.02
"""About what one code of a codec decides: where a code differs, a frame or a few do."""
STEPS_OF_FULL_SCALE = 32768


@dataclass(frozen=True)
class WaveDifference:
    """How one file of two runs differs; both at the same rate, cut to the shorter one."""

    file: str
    length_differs: bool
    """Whether the two have another length or sampling rate."""
    largest: float
    """Largest difference of two samples, in steps of 16 bits."""
    frames: int
    """Frames of 20 ms."""
    frames_beyond: int
    """Frames in which a sample differs by more than was tolerated."""
    snr: float | None
    """Signal to difference, in dB; None where the samples agree or the first run has silence, as the next."""
    si_sdr: float | None
    """In dB."""
    mel_distance: float
    """Mean absolute difference of log-mel spectra at 16 kHz, in dB."""


def frames_of(samples: int, rate: int) -> int:
    """Frames of 20 ms, the last one begun."""
    return -(-samples // _frame_length(rate))


def measure_difference(file: str, first: Path, second: Path, steps: float) -> WaveDifference:
    """Compare two audio files.

    Args:
        file: Name to report.
        first: A file.
        second: Another one.
        steps: Difference of two samples, in steps of 16 bits, up to which a frame counts as equal.

    Raises:
        OSError: If one of them cannot be opened.
        RuntimeError: If one of them cannot be decoded.
        ValueError: If one of them holds no samples, or their sampling rates differ.
    """
    (one, rate), (other, other_rate) = _read(first), _read(second)
    if rate != other_rate:
        raise ValueError(f"{rate} Hz in the first run, {other_rate} Hz in the second")
    length_differs = len(one) != len(other)
    samples = min(len(one), len(other))
    one, other = one[:samples], other[:samples]
    difference = np.abs(one - other) * STEPS_OF_FULL_SCALE
    length = _frame_length(rate)
    per_frame = np.pad(difference, (0, -samples % length)).reshape(-1, length).max(axis=1)
    compared = [resample(wave, rate, SAMPLE_RATE) for wave in (one, other)]
    differs = bool(difference.any())
    return WaveDifference(
        file=file,
        length_differs=length_differs,
        largest=float(difference.max()),
        frames=len(per_frame),
        frames_beyond=int(np.count_nonzero(per_frame > steps)),
        snr=_snr(one, other) if differs else None,
        si_sdr=si_sdr(*compared) if differs else None,
        mel_distance=mel_distance(*compared) if differs else 0.0,
    )


def file_below(run_dir: Path, path: str) -> Path:
    """The place of a file of a run, as its manifest names it.

    Raises:
        ValueError: If the name leaves the run folder.
    """
    if not is_plain(path) or not (run_dir / path).resolve().is_relative_to(run_dir.resolve()):
        raise ValueError(f"its place {path!r} is not inside the run folder")
    return run_dir / path


def _read(path: Path) -> tuple[Wave, int]:
    if not path.is_file():  # opening a pipe would wait for its other end
        raise FileNotFoundError("it is gone, or no file")
    samples, rate = decode(path)
    if not len(samples):
        raise ValueError("it holds no samples")
    return to_mono(samples), rate


def _snr(one: Wave, other: Wave) -> float | None:
    signal, noise = (
        float(np.square(wave, dtype=np.float64).sum()) for wave in (one, one.astype(np.float64) - other)
    )
    return 10 * math.log10(signal / noise) if signal else None


def _frame_length(rate: int) -> int:
    return max(1, round(FRAME_SECONDS * rate))
