"""What TensorBoard shows of a training: curves, and speech to listen to and to look at."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from codecfake.codec_adapters.resampling import Wave
from codecfake.pipeline.codec_training.validation import SAMPLE_RATE, ClipScores

SHOWN_CLIPS = 3
"""Per set of clips."""
FFT_SIZE = 512
RANGE_DB = 70.0


class Board:
    """Writes TensorBoard's event files; without the package ``tensorboard`` it does nothing.

    Args:
        folder: Where to; nowhere when absent.
        step: The step that the training goes on from; what was written of later ones is void.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        self._writer = None
        if folder and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(folder, purge_step=step)

    def scalars(self, group: str, values: Mapping[str, float | None], step: int) -> None:
        """Add a point to each curve of a group."""
        for name, value in values.items():
            if self._writer and value is not None:
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def clips(self, group: str, results: Sequence[ClipScores], step: int) -> None:
        """Show the spectrograms of a few clips, and let hear them before and after the codec."""
        if self._writer is None:
            return
        for result in results[:SHOWN_CLIPS]:
            both = np.concatenate([spectrogram(result.original), spectrogram(result.decoded)])
            tag = f"{group}/{result.clip}"
            self._writer.add_image(f"{tag} (above: original)", both, step, dataformats="HW")
            for what, wave in (("original", result.original), ("decoded", result.decoded)):
                peak = max(1.0, float(np.abs(wave).max()))
                self._writer.add_audio(f"{tag} {what}", wave[None] / peak, step, SAMPLE_RATE)

    def close(self) -> None:
        """Write what is left."""
        if self._writer:
            self._writer.close()


def spectrogram(wave: Wave) -> np.ndarray:
    """A grey image, shape (frequencies, frames), uint8: low frequencies at the bottom, white 70 dB above black."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, FFT_SIZE // 2), FFT_SIZE)[:: FFT_SIZE // 4]
    decibels = 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(FFT_SIZE), axis=1)) + 1e-6)
    shade = (decibels - decibels.max() + RANGE_DB).clip(0) / RANGE_DB
    return np.rint(255 * shade).astype(np.uint8).T[::-1]
