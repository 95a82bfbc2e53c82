"""What is measured on: noise in files, and front ends of the published size with random weights."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from codecfake.codec_adapters.host_memory import keep_freed_memory
from codecfake.detector.crops import SAMPLE_RATE
from codecfake.detector.descriptions import describe
from codecfake.detector.front_ends import MEL
from codecfake.detector.front_ends.cpu_kernels import use_cpu_kernels
from codecfake.detector.front_ends.encoders import ENCODERS, TINY
from codecfake.detector.front_ends.mel import MelFrontEnd
from codecfake.detector.front_ends.self_supervised import SelfSupervisedFrontEnd, fold_weight_norm
from codecfake.detector.front_ends.tiny import build_tiny
from codecfake.detector.trials import TrialList

LENGTHS = (2.0, 4.8)
"""Seconds of the shortest and the longest utterance."""

MEAN_SECONDS = sum(LENGTHS) / 2
"""About that of VCTK and AISHELL-3."""


def write_trials(folder: Path, name: str, count: int) -> TrialList:
    """Write utterances of all different lengths, every other one bona fide; what is heard does not change the speed."""
    import soundfile

    rng = np.random.default_rng(0)
    lengths = rng.permutation(np.linspace(*LENGTHS, count) * SAMPLE_RATE).astype(int)
    files = [f"{number:06d}.wav" for number in range(count)]
    (folder / name).mkdir()
    for file, length in zip(files, lengths, strict=True):
        wave = 0.1 * rng.standard_normal(length).astype(np.float32)
        soundfile.write(folder / name / file, wave, SAMPLE_RATE, subtype="PCM_16")
    return TrialList(name, folder / name, files, files, np.arange(count) % 2)


def front_end_of(model: str, device: str, weights: str, *, as_published: bool = False) -> nn.Module:
    """Build the front end of a detector.

    Args:
        model: Name of the detector.
        device: Where it computes.
        weights: "random" (of the published size) or "tiny".
        as_published: As a script would have it: transformers' own kernels, float32, torch's own memory settings.
    """
    name = describe(model, front_end_weights=TINY)["front_end"]["name"]
    if not as_published:
        keep_freed_memory()
    if name == MEL:
        return MelFrontEnd().to(device)
    torch.manual_seed(0)
    if weights == TINY:
        encoder, projection, _ = build_tiny(ENCODERS[name])
    else:
        encoder, projection = ENCODERS[name].build(), None
    fold_weight_norm(encoder)
    if torch.device(device).type == "cpu" and weights != TINY and not as_published:
        use_cpu_kernels(encoder)
    front_end = SelfSupervisedFrontEnd(encoder, "", projection).to(device)
    front_end.mixed_precision = not as_published
    return front_end


class Timed(nn.Module):
    """A front end, and how long it was at work.

    Args:
        front_end: Whose time is taken.
    """

    def __init__(self, front_end: nn.Module) -> None:
        super().__init__()
        self.front_end, self.output_shape = front_end, front_end.output_shape
        self._runs: list[tuple[Moment, Moment]] = []

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """Compute features."""
        began = Moment(waves.device)
        features = self.front_end(waves)
        self._runs.append((began, Moment(waves.device)))
        return features

    def busy_seconds(self) -> float:
        """Seconds of all runs since this was asked last."""
        runs, self._runs = self._runs, []
        return sum(began.until(ended) for began, ended in runs)


class Moment:
    """A point in the work of a device: of the current stream of a GPU, or of the clock."""

    def __init__(self, device: torch.device) -> None:
        self._clock, self._event = time.perf_counter(), None
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record(torch.cuda.current_stream(device))

    def until(self, later: "Moment") -> float:
        """Seconds to a later moment, which has passed."""
        if self._event is None:
            return later._clock - self._clock
        later._event.synchronize()
        return self._event.elapsed_time(later._event) / 1000
