"""Speech-like corpora to measure with: VCTK's layout and format, made from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.pipeline.shards import SourceRow

if TYPE_CHECKING:
    import numpy as np

SAMPLE_RATE = 48_000
MEAN_SECONDS = 3.25
MIXED_SPAN = 2.5
"""Seconds between the shortest and the longest utterance in file order."""
SORTED_SPAN = 0.04
"""The same within one shard of the full corpora: 512 utterances out of 132,277, sorted by length."""
UTTERANCES_PER_SPEAKER = 400
FIRST_SPEAKER = 225
GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True)
class BenchCorpus:
    """Utterances on disk, to be taken again and again."""

    roots: dict[str, Path]
    rows: tuple[SourceRow, ...]

    def take(self, count: int, first: int = 0) -> list[SourceRow]:
        """Take ``count`` utterances from the ``first`` on; what comes round again gets an id of its own."""
        taken = []
        for index in range(first, first + count):
            cycle, position = divmod(index, len(self.rows))
            row = self.rows[position]
            taken.append(row | {"utterance_id": f"{row['utterance_id']}-{cycle}"} if cycle else row)
        return taken


def mixed_lengths(count: int) -> list[float]:
    """Lengths in seconds as in file order: all different, and each pair in a row with the same mean."""
    places = [(index // 2) * GOLDEN_RATIO % 1.0 for index in range(count)]
    spread = [place if index % 2 == 0 else 1.0 - place for index, place in enumerate(places)]
    return [MEAN_SECONDS + MIXED_SPAN * (place - 0.5) for place in spread]


def sorted_lengths(count: int) -> list[float]:
    """Lengths in seconds as in a shard of the full corpora, with the same mean."""
    return [MEAN_SECONDS + SORTED_SPAN * ((index + 0.5) / count - 0.5) for index in range(count)]


def make_corpus(root: Path, lengths: Sequence[float]) -> BenchCorpus:
    """Write a corpus and read it in as a build does.

    Args:
        root: Folder that becomes a VCTK 0.92.
        lengths: Seconds of each utterance, in file order.
    """
    import soundfile

    from codecfake.pipeline.config import make_config
    from codecfake.pipeline.monitor import Monitor
    from codecfake.pipeline.source import corpus_roots, inspect, list_sources

    for index, seconds in enumerate(lengths):
        speaker, number = divmod(index, UTTERANCES_PER_SPEAKER)
        name = f"p{FIRST_SPEAKER + speaker}"
        path = root / "wav48_silence_trimmed" / name / f"{name}_{number + 1:03d}_mic1.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speak(seconds, index), SAMPLE_RATE, subtype="PCM_16")
    listings = list_sources(make_config({"vctk": root, "out": root}))
    rows = sorted(inspect(listings, Monitor()).to_pylist(), key=lambda row: row["path"])
    return BenchCorpus(corpus_roots(listings), tuple(rows))


def speak(seconds: float, seed: int) -> "np.ndarray":
    """Make a voice: harmonics of a wandering pitch under a syllable envelope, above a noise floor.

    Returns:
        Shape (T,), float32, at 48 kHz; its FLAC file is as large as one of VCTK.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    voiced = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 9))
    syllables = np.abs(np.sin(2 * np.pi * 2.5 * time + rng.uniform(0, 3)))
    wave = 0.1 * voiced * syllables + 4e-3 * (0.2 + syllables) * rng.standard_normal(len(time))
    return wave.astype(np.float32)
