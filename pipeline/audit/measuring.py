"""Measuring all files of an audit in threads: every file by itself, every fake beside its bona fide source."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from codecfake.codec_adapters.resampling import Wave, resample
from codecfake.manifests.schema import REAL
from codecfake.pipeline.audit.file_features import FileFeatures, read_features
from codecfake.pipeline.audit.pair_quality import PairQuality, compare_waves
from codecfake.pipeline.codec_training.validation import SAMPLE_RATE
from codecfake.pipeline.monitor import Monitor


@dataclass(frozen=True, slots=True)
class AuditedFile:
    """A file of a dataset."""

    name: str
    path: Path
    codec: str
    """Codec id, or "real"."""
    utterance_id: str
    """Of the source, shared by a bona fide file and its fakes."""


@dataclass(frozen=True)
class MeasuredFile:
    """What one file turned out to be."""

    file: AuditedFile
    features: FileFeatures | None
    """None for a file that could not be read."""
    quality: PairQuality | None
    """None for bona fide files, and for fakes whose source is not there."""
    problem: str
    """Why it could not be read."""


def measure_files(files: Sequence[AuditedFile], monitor: Monitor) -> list[MeasuredFile]:
    """Measure every file; one that cannot be read is told, and stops nothing.

    Args:
        files: Bona fide files and fakes, in any order.
        monitor: Receives the progress, and may stop the work.

    Returns:
        One entry per file, ordered by codec and name.
    """
    utterances: dict[str, list[AuditedFile]] = {}
    for file in files:
        utterances.setdefault(file.utterance_id, []).append(file)
    monitor.begin("Measuring", len(files), "files")
    measured: list[MeasuredFile] = []
    # Threads: decoding, resampling and transforms release the interpreter lock.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        tasks = [pool.submit(_measure_utterance, group, monitor) for group in utterances.values()]
        try:
            for task in as_completed(tasks):
                measured += task.result()
                monitor.advance(len(task.result()))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    monitor.end()
    return sorted(measured, key=lambda entry: (entry.file.codec, entry.file.name))


def _measure_utterance(files: Iterable[AuditedFile], monitor: Monitor) -> list[MeasuredFile]:
    """Measure the files of one utterance, bona fide first, so that the fakes meet it in memory."""
    source: Wave | None = None
    measured = []
    for file in sorted(files, key=lambda file: (file.codec != REAL, file.name)):
        monitor.raise_if_stopped()
        try:
            features, wave = read_features(file.path)
        except (OSError, RuntimeError, ValueError) as error:  # soundfile's errors are RuntimeErrors
            measured.append(MeasuredFile(file, None, None, getattr(error, "strerror", None) or str(error)))
            continue
        wave = resample(wave, features.sample_rate, SAMPLE_RATE)
        quality = None
        if file.codec == REAL:
            source = wave if source is None else source
        elif source is not None:
            quality = compare_waves(source, wave)
        measured.append(MeasuredFile(file, features, quality, ""))
    return measured
