"""Batches of speech to train on: a pure function of seed, step and rank, so that a resumed training needs no reader."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from codecfake.codec_adapters.resampling import Wave, resample, to_mono
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.audio import decode
from codecfake.pipeline.codec_training.augmentation import samples_needed, vary
from codecfake.pipeline.codec_training.speech_files import SpeechFiles

MEMORY_BYTES = 2**30
"""Speech that fits in this is held in memory; of more, every crop is read from its file."""
QUIETEST = 0.005
"""Root mean square below which a crop is a pause: quiet corpora speak at 0.01 to 0.02."""
TRIES_FOR_SPEECH = 4
"""A pause is drawn again, but not for ever: codecs must do silence, too."""
TRIES_FOR_AUDIO = 40
RESAMPLER_MARGIN_SECONDS = 0.02
AHEAD = 4
"""Batches that threads prepare beyond the one in use."""


class TrainingSpeech:
    """Crops of random files at random places, each file as likely as it is long.

    Synthetic speech is varied towards recordings (see ``augmentation``); recordings stay as they are.

    Args:
        speech: The files.
        sample_rate: Of the network, in Hz.
        crop_samples: Length of a crop at that rate.
        batch_size: Crops per batch.
        seed: Of everything drawn.
        rank: Of this process among those that train together.
    """

    def __init__(
        self,
        speech: SpeechFiles,
        *,
        sample_rate: int,
        crop_samples: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
    ) -> None:
        self._files = speech.files
        self._varied = speech.is_synthetic
        self._sample_rate = sample_rate
        self._crop = crop_samples
        self._taken = samples_needed(crop_samples, sample_rate) if self._varied else crop_samples
        self._batch_size = batch_size
        self._key = (seed, rank)
        self._ends = np.cumsum([max(file.seconds, crop_samples / sample_rate) for file in speech.files])
        self._held: dict[int, Wave] = {}
        self._holds = speech.seconds * sample_rate * np.dtype(np.float32).itemsize <= MEMORY_BYTES
        self.files = len(speech.files)
        self.unreadable: dict[str, str] = {}
        """Name to problem, of files whose header is sound and whose audio is not; they are passed over."""

    def batch(self, step: int) -> np.ndarray:
        """Give the batch of a step.

        Args:
            step: Counted from 0.

        Returns:
            Shape (B, T), float32.

        Raises:
            CodecfakeError: If file after file cannot be read.
        """
        seed, rank = self._key
        items = (np.random.default_rng([seed, rank, step, item]) for item in range(self._batch_size))
        return np.stack([self._draw(rng) for rng in items])

    def batches(self, first: int, last: int, threads: int) -> Iterator[np.ndarray]:
        """Give the batches of steps ``first`` to ``last`` - 1; ``threads`` prepare them ahead, none if 0."""
        if not threads:
            yield from map(self.batch, range(first, last))
            return
        with ThreadPoolExecutor(threads) as pool:
            ahead: deque[Future[np.ndarray]] = deque()
            try:
                for step in range(first, last):
                    ahead.append(pool.submit(self.batch, step))
                    if len(ahead) > AHEAD:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _draw(self, rng: np.random.Generator) -> Wave:
        for _ in range(TRIES_FOR_SPEECH):
            wave = self._stretch(rng)
            if np.sqrt(np.mean(np.square(wave[-self._crop :]))) > QUIETEST:
                break
        return vary(wave, self._sample_rate, self._crop, rng) if self._varied else wave

    def _stretch(self, rng: np.random.Generator) -> Wave:
        """Draw a stretch, shape (T',), of a file that can be read; a short file is set among zeros."""
        for _ in range(TRIES_FOR_AUDIO):
            index = int(np.searchsorted(self._ends, rng.random() * self._ends[-1], side="right"))
            place = rng.random()
            try:
                wave = self._read(index, place)
            except (OSError, RuntimeError, ValueError) as error:
                self.unreadable[self._files[index].name] = str(error)
                continue
            before = int(place * (self._taken - wave.size + 1))
            return np.pad(wave, (before, self._taken - wave.size - before))
        raise CodecfakeError(
            f"{TRIES_FOR_AUDIO} files drawn one after the other cannot be read, the last of them "
            f"{self._files[index].path}: {self.unreadable[self._files[index].name]}",
            cause="the disk was taken away, or the files are damaged",
            next_step="repeat the command once they can be read; the training goes on from its checkpoint",
        )

    def _read(self, index: int, place: float) -> Wave:
        """Read at most ``_taken`` samples of a file, from ``place``, 0 to 1, within what it has more."""
        if not self._holds:
            return self._read_part(index, place)
        if index not in self._held:
            samples, sample_rate = decode(self._files[index].path)
            self._held[index] = _checked(resample(to_mono(samples), sample_rate, self._sample_rate))
        wave = self._held[index]
        start = int(place * max(0, wave.size - self._taken + 1))
        return wave[start : start + self._taken]

    def _read_part(self, index: int, place: float) -> Wave:
        file = self._files[index]
        taken = -(-self._taken * file.sample_rate // self._sample_rate)
        start = int(place * max(0, file.samples - taken + 1))
        margin = round(RESAMPLER_MARGIN_SECONDS * file.sample_rate)
        first = max(0, start - margin)
        samples = _read_samples(file.path, first, start + taken + margin - first)
        wave = _checked(resample(to_mono(samples), file.sample_rate, self._sample_rate))
        skipped = round((start - first) * self._sample_rate / file.sample_rate)
        return wave[skipped : skipped + self._taken]


def _read_samples(path: Path, start: int, frames: int) -> np.ndarray:
    import soundfile

    samples, _ = soundfile.read(path, frames, start, dtype="float32", always_2d=True)
    return samples


def _checked(wave: Wave) -> Wave:
    if not wave.size:
        raise ValueError("no samples where the header promises some")
    if not np.isfinite(wave).all():
        raise ValueError("samples that are no finite numbers")
    return wave
