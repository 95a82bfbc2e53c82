"""The audio of one codec in two runs: what has equal digests is equal, the rest is read and measured."""

import heapq
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.pipeline.comparing.rows import EXAMPLES, Aligned
from codecfake.pipeline.comparing.waves import WaveDifference, file_below, frames_of, measure_difference
from codecfake.pipeline.devices import cpu_count
from codecfake.pipeline.monitor import Monitor

if TYPE_CHECKING:
    import pyarrow as pa

FILES_PER_TASK = 64
TASKS_AHEAD = 4
"""Per thread; what is measured and not yet summed up stays that little."""


@dataclass(frozen=True)
class Tolerance:
    """What still counts as the same audio, where the bytes differ."""

    steps: float
    """Difference of two samples, in steps of 16 bits."""
    frames: float
    """Percentage of the 20 ms frames of a codec in which samples may differ by more."""


@dataclass(frozen=True)
class AudioDifferences:
    """How the audio of one codec differs; differences are in steps of 16 bits, ratios in dB."""

    codec: str
    files: int
    """In both runs."""
    identical: int
    """Of equal sha256."""
    within: int
    """Others in which no sample differs by more than the tolerance; without one, at all."""
    beyond: int
    unlike: int
    """Of another length or sampling rate, or unreadable."""
    frames_beyond: float
    """Percentage of all 20 ms frames, those of identical files among them, that differ by more."""
    largest: float
    lowest_snr: float | None
    lowest_si_sdr: float | None
    largest_mel_distance: float
    worst: tuple[WaveDifference, ...]
    problems: tuple[str, ...]
    """Some of what is unlike, with the reason."""

    def is_same(self, tolerance: Tolerance | None) -> bool:
        """Whether the audio is identical, or within a tolerance."""
        if self.identical == self.files or tolerance is None:
            return self.identical == self.files
        return not self.unlike and self.frames_beyond <= tolerance.frames


def compare_audio(
    codec: str,
    runs: tuple[Path, Path],
    tables: "tuple[pa.Table, pa.Table]",
    rows: Aligned,
    steps: float,
    monitor: Monitor,
) -> AudioDifferences:
    """Compare the files that both runs have of a codec.

    Args:
        codec: Codec id, or "real".
        runs: The run folders.
        tables: Their item tables of this codec.
        rows: Which rows belong together.
        steps: Difference of two samples, in steps of 16 bits, up to which they count as equal.
        monitor: Told about the progress.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ["file", "path", "sha256", "samples", "sample_rate"]
    first, second = (
        table.select(columns).take(pa.array(positions))
        for table, positions in zip(tables, (rows.first, rows.second), strict=True)
    )
    has_both = pc.and_(first["sha256"].is_valid(), second["sha256"].is_valid())
    first, second = first.filter(has_both), second.filter(has_both)
    differs = np.flatnonzero(pc.not_equal(first["sha256"], second["sha256"]))
    pairs = zip(
        *(table[name].take(pa.array(differs)).to_pylist() for table, name in
          ((first, "file"), (first, "path"), (second, "path"))),
        strict=True,
    )  # fmt: skip
    found = _Summary()
    if len(differs):
        monitor.begin(f"Comparing {codec}", len(differs), "files")
        for result in _measured(list(pairs), runs, steps, monitor):
            found.add(result, steps)
            monitor.advance(1)
        monitor.end()
    lengths = zip(first["samples"].to_pylist(), first["sample_rate"].to_pylist(), strict=True)
    frames = sum(frames_of(samples, rate) for samples, rate in lengths)
    return AudioDifferences(
        codec=codec,
        files=len(first),
        identical=len(first) - len(differs),
        within=found.within,
        beyond=found.beyond,
        unlike=found.unlike,
        frames_beyond=100 * found.frames_beyond / max(1, frames),
        largest=found.largest,
        lowest_snr=found.lowest_snr,
        lowest_si_sdr=found.lowest_si_sdr,
        largest_mel_distance=found.largest_mel_distance,
        worst=found.worst(),
        problems=tuple(found.problems),
    )


class _Summary:
    """Adds up the files of a codec, and keeps the worst."""

    def __init__(self) -> None:
        self.within = self.beyond = self.unlike = self.frames_beyond = 0
        self.largest = self.largest_mel_distance = 0.0
        self.lowest_snr: float | None = None
        self.lowest_si_sdr: float | None = None
        self.problems: list[str] = []
        self._worst: list[tuple[tuple[float, float, str], WaveDifference]] = []

    def add(self, result: WaveDifference | str, steps: float) -> None:
        if isinstance(result, str):
            self._add_problem(result)
            return
        if result.length_differs:
            self._add_problem(f"{result.file}: of another length")
        elif result.largest > steps:
            self.beyond += 1
        else:
            self.within += 1
        self.frames_beyond += result.frames_beyond
        self.largest = max(self.largest, result.largest)
        self.largest_mel_distance = max(self.largest_mel_distance, result.mel_distance)
        self.lowest_snr = _lower(self.lowest_snr, result.snr)
        self.lowest_si_sdr = _lower(self.lowest_si_sdr, result.si_sdr)
        rank = (result.mel_distance, result.largest, result.file)
        (heapq.heappush if len(self._worst) < EXAMPLES else heapq.heappushpop)(self._worst, (rank, result))

    def _add_problem(self, problem: str) -> None:
        self.unlike += 1
        if len(self.problems) < EXAMPLES:
            self.problems.append(problem)

    def worst(self) -> tuple[WaveDifference, ...]:
        return tuple(result for _, result in sorted(self._worst, key=lambda entry: entry[0], reverse=True))


def _measured(
    pairs: Sequence[tuple[str, str, str]], runs: tuple[Path, Path], steps: float, monitor: Monitor
) -> Iterator[WaveDifference | str]:
    """Measure all pairs of files in threads, in their order."""
    parts = [pairs[start : start + FILES_PER_TASK] for start in range(0, len(pairs), FILES_PER_TASK)]
    measure = partial(_measure_part, runs, steps, monitor)
    threads = cpu_count()
    # Decoding and transforms release the interpreter lock.
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(parts), TASKS_AHEAD * threads):
            for results in pool.map(measure, parts[start : start + TASKS_AHEAD * threads]):
                yield from results


def _measure_part(
    runs: tuple[Path, Path], steps: float, monitor: Monitor, pairs: Sequence[tuple[str, str, str]]
) -> list[WaveDifference | str]:
    results: list[WaveDifference | str] = []
    for file, *paths in pairs:
        monitor.raise_if_stopped()
        try:
            places = [file_below(run, path) for run, path in zip(runs, paths, strict=True)]
            results.append(measure_difference(file, *places, steps))
        except (OSError, RuntimeError, ValueError) as error:  # soundfile's errors are RuntimeErrors
            results.append(f"{file}: {error}")
    return results


def _lower(lowest: float | None, value: float | None) -> float | None:
    return value if lowest is None else lowest if value is None else min(lowest, value)
