"""What every codec adapter shares: mono, resampling, length, level, grouping and inference mode."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from codecfake.codec_adapters.card import CodecCard
from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.resampling import Wave, fit_length, resample, resampled_length, to_mono

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SourceWave:
    """A bona fide utterance, mixed down, at the rate that a codec wants."""

    wave: Wave
    """Shape (T,)."""
    samples: int
    """Samples of the recording it was made of."""
    sample_rate: int
    """Rate of that recording in Hz."""

    @classmethod
    def at_rate(cls, wave: NDArray, sample_rate: int, wanted_rate: int) -> "SourceWave":
        """Mix down a recording of shape (T,) or (T, channels), and resample it."""
        mono = to_mono(wave)
        return cls(resample(mono, sample_rate, wanted_rate), len(mono), sample_rate)


@dataclass(frozen=True)
class PreparedWave:
    """One utterance, ready for the network."""

    wave: Wave
    """Shape (T,), at the codec's rate, zero-padded at its end to whole frames."""
    samples: int
    """Samples at the codec's rate before padding."""
    source_samples: int
    source_rate: int
    gain: float = 1.0
    """By which the wave was brought to the network's working level; ``finish`` takes it back."""


class CodecAdapter(ABC):
    """A neural codec as a function from waves to waves of the same length.

    A subclass holds what differs: its ``card``, how its network is built and loaded, and ``reconstruct``. The
    level of what leaves is never touched, so that what a detector sees of it is what the codec did to it.

    Args:
        device: As torch names it.
        input_peak: Bring every utterance to this peak before the network, and leave it there, as CodecFake did
            with 0.95 for HiFi-Codec; absent, the level stays.
    """

    card: ClassVar[CodecCard]
    chunk_seconds = 30.0
    """Longest stretch that the network is given at once; no utterance of the corpora is longer."""
    delay_samples = 0
    """By how many samples the loaded weights answer late, or early if negative; ``run`` puts that right."""
    working_level: float | None = None
    """Root mean square that the loaded weights want every utterance at, and that is taken back after them."""
    cpu_batch: int = 1
    """Utterances of equal frame count that a CPU core runs at once; more than one pays where recurrent layers take
    much of the time."""
    precision: str = "float32"
    """"tf32" where convolutions on a GPU may round to it."""

    def __init__(self, device: str = "cpu", *, input_peak: float | None = None) -> None:
        self.device = device
        self.input_peak = input_peak

    @abstractmethod
    def load(self, checkpoint: Path, network: Mapping[str, Any] | None = None) -> None:
        """Build the network and read its weights, strictly: every key must fit.

        Args:
            checkpoint: The weights file.
            network: Sizes of the network where they differ from the published ones.

        Raises:
            CodecError: If the checkpoint does not hold exactly the network's tensors.
        """

    @abstractmethod
    def reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        """Encode, quantise and decode.

        Args:
            waves: Shape (B, T) on the adapter's device, T a whole number of frames.

        Returns:
            Shape (B, T') with T' >= T, aligned to the input sample by sample.
        """

    def codes(self, waves: "torch.Tensor") -> "torch.Tensor":
        """Encode and quantise only.

        Args:
            waves: As for ``reconstruct``.

        Returns:
            Shape (B, K, F), int64.

        Raises:
            NotImplementedError: If the adapter does not show its codes.
        """
        raise NotImplementedError(f"{self.card.id} does not show its codes")

    def load_random(self, seed: int = 0) -> None:
        """Build the published network with random weights, for ``codecfake codecs check --random-weights``.

        Raises:
            CodecError: If the adapter cannot.
        """
        raise CodecError(f"{self.card.id} cannot make random weights; check it with --weights FOLDER")

    def padded_length(self, samples: int) -> int:
        """Samples that the network is given for an utterance of ``samples`` samples at the codec's rate."""
        hop = self.card.hop_length
        return -(-max(samples, self.card.minimum_samples) // hop) * hop

    def frames(self, samples: int, sample_rate: int) -> int:
        """Frames of an utterance; utterances of equal frames may share a batch without further padding."""
        at_codec_rate = resampled_length(samples, sample_rate, self.card.sample_rate)
        return self.padded_length(at_codec_rate + max(0, self.delay_samples)) // self.card.hop_length

    def prepare(self, wave: NDArray, sample_rate: int) -> PreparedWave:
        """Mix down, resample to the codec's rate, and pad with zeros to whole frames.

        Args:
            wave: Shape (T,) or (T, channels).
            sample_rate: Its rate in Hz.

        Raises:
            CodecError: If ``wave`` is empty, has another shape, or holds anything but finite floats.
        """
        if wave.ndim not in (1, 2) or not wave.size:
            raise CodecError(
                f"{self.card.id}: a wave of shape {wave.shape}; expected (T,) or (T, channels), T > 0"
            )
        if not np.issubdtype(wave.dtype, np.floating) or not np.isfinite(wave).all():
            raise CodecError(
                f"{self.card.id}: a wave with integers, NaN or infinities; expected finite floats in [-1, 1]"
            )
        return self.prepare_source(SourceWave.at_rate(wave, sample_rate, self.card.sample_rate))

    def prepare_source(self, source: SourceWave) -> PreparedWave:
        """Bring an utterance at the codec's rate to its level, and pad it with zeros to whole frames."""
        wave = source.wave
        peak = np.abs(wave).max()
        if self.input_peak is not None and peak > 0:
            wave = wave * (self.input_peak / peak)
        level = np.sqrt(np.mean(np.square(wave)))
        gain = self.working_level / level if self.working_level is not None and level > 0 else 1.0
        samples = len(wave)
        padded = fit_length(wave * np.float32(gain), self.padded_length(samples + max(0, self.delay_samples)))
        return PreparedWave(padded, samples, source.samples, source.sample_rate, gain)

    def run(self, batch: Sequence[PreparedWave]) -> list[Wave]:
        """Run the network on utterances of equal padded length, or of others where the card allows to pad.

        Returns:
            One wave per utterance at the codec's rate, cut to the utterance's own samples.
        """
        import torch

        with torch.inference_mode():
            output = self.reconstruct_aligned(stacked(batch).to(self.device)).cpu().numpy()
        return [wave[: item.samples] for wave, item in zip(output, batch, strict=True)]

    def reconstruct_aligned(self, waves: "torch.Tensor") -> "torch.Tensor":
        """Encode, quantise and decode, with the delay of the weights put right.

        Beyond ``chunk_seconds`` the network runs on overlapping chunks, and the overlap is thrown away.

        Args:
            waves: As for ``reconstruct``.

        Returns:
            Shape (B, T'), float32, on the same device.
        """
        from torch.nn.functional import pad

        output = self._reconstruct_in_chunks(waves).float()
        return pad(output[:, max(0, self.delay_samples) :], (max(0, -self.delay_samples), 0))

    def _reconstruct_in_chunks(self, waves: "torch.Tensor") -> "torch.Tensor":
        import torch

        hop, rate, total = self.card.hop_length, self.card.sample_rate, waves.shape[1]
        chunk, context = (int(s * rate) // hop * hop for s in (self.chunk_seconds, self.card.context_seconds))
        if total <= chunk + 2 * context:
            return self._checked_reconstruct(waves)
        pieces = []
        for start in range(0, total, chunk):
            first, end = max(0, start - context), min(start + chunk, total)
            output = self._checked_reconstruct(waves[:, first : end + context])
            pieces.append(output[:, start - first : end - first])
        return torch.cat(pieces, dim=1)

    def _checked_reconstruct(self, waves: "torch.Tensor") -> "torch.Tensor":
        output = self.reconstruct(waves)
        if output.shape[0] != waves.shape[0] or output.shape[1] < waves.shape[1]:
            raise CodecError(
                f"{self.card.id}: the network gave shape {tuple(output.shape)} for input {tuple(waves.shape)}; "
                "reconstruct() must return at least as many samples as it is given"
            )
        return output

    def finish(self, wave: Wave, prepared: PreparedWave, output_rate: int) -> Wave:
        """Resample a reconstructed wave to ``output_rate``, as long as the bona fide one is there."""
        samples = resampled_length(prepared.source_samples, prepared.source_rate, output_rate)
        levelled = wave / np.float32(prepared.gain)
        return fit_length(resample(levelled, self.card.sample_rate, output_rate), samples)

    def resynthesize(
        self, waves: Sequence[NDArray], sample_rate: int, output_rate: int | None = None
    ) -> list[Wave]:
        """Send a batch of waves through the codec.

        Utterances are grouped by frame count, so no utterance is padded to another's length and a batch gives
        what single runs give.

        Args:
            waves: Each of shape (T,) or (T, channels), samples in [-1, 1].
            sample_rate: Rate of all of them in Hz.
            output_rate: Rate of the result; that of the input when absent.

        Returns:
            Waves in the order given, mono, each exactly as long as its input.
        """
        prepared = [self.prepare(wave, sample_rate) for wave in waves]
        groups = defaultdict(list)
        for index, item in enumerate(prepared):
            groups[len(item.wave)].append(index)
        results: list[Wave] = [np.empty(0, np.float32)] * len(prepared)
        for indices in groups.values():
            outputs = self.run([prepared[index] for index in indices])
            for index, output in zip(indices, outputs, strict=True):
                results[index] = self.finish(output, prepared[index], output_rate or sample_rate)
        return results


def stacked(batch: Sequence[PreparedWave]) -> "torch.Tensor":
    """Utterances as one tensor (B, T) on the host, the shorter ones with zeros at their ends."""
    import torch

    longest = max(len(item.wave) for item in batch)
    waves = torch.zeros(len(batch), longest)
    for row, item in zip(waves.numpy(), batch, strict=True):
        row[: len(item.wave)] = item.wave
    return waves
