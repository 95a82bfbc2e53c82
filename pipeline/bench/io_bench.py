"""The limits around the network: reading, resampling, writing, and a whole pipeline whose codec does nothing."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.base import SourceWave
from codecfake.codec_adapters.resampling import Wave
from codecfake.pipeline.bench.corpus import BenchCorpus, make_corpus, sorted_lengths
from codecfake.pipeline.bench.null_codec import NullCodec
from codecfake.pipeline.bench.null_sink import NullSink
from codecfake.pipeline.bench.pipeline_run import OUTPUT_RATE, PipelineRun, refuse_losses
from codecfake.pipeline.bench.shard_writing import write_shard
from codecfake.pipeline.block_sources import read_source
from codecfake.pipeline.devices import find_device
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shards import SourceRow

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

FILES = 256
ROUNDS = 3
WORKERS = (1, 2, 4, 8)
START_SECONDS = 60.0
"""After which a process that has not started will not."""

Measured = Callable[[], float]
"""Does a work on all files of the corpus and gives the wall seconds."""


def bench_io(
    monitor: Monitor, *, files: int = FILES, rounds: int = ROUNDS, workers: Sequence[int] = WORKERS
) -> list[dict[str, Any]]:
    """Measure every work with every number of workers; the works take turns.

    Args:
        monitor: Carries the stop signal.
        files: Utterances of 3.25 s, 48 kHz FLAC as in VCTK, read from the system's cache of files.
        rounds: Rounds to take medians of.
        workers: Numbers of threads and processes.

    Returns:
        A row per work, kind and number of workers.

    Raises:
        Stopped: If the user asked to stop.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = make_corpus(folder / "corpus", sorted_lengths(files))
        audio_seconds = sum(row["seconds"] for row in corpus.rows)
        cells = list(_cells(corpus, folder, workers))
        walls: list[list[float]] = [[] for _ in cells]
        for _ in range(rounds):
            for (_, measured), wall in zip(cells, walls, strict=True):
                monitor.raise_if_stopped()
                wall.append(measured())
    return [
        what
        | {
            "files_per_second": round(files / median(wall), 1),
            "audio_seconds_per_second": round(audio_seconds / median(wall), 1),
            "rounds": [round(seconds, 3) for seconds in wall],
        }
        for (what, _), wall in zip(cells, walls, strict=True)
    ]


def _cells(
    corpus: BenchCorpus, folder: Path, workers: Sequence[int]
) -> Iterator[tuple[dict[str, Any], Measured]]:
    """Every work with what it is called."""
    for work, function in (("read", _read), ("read, resample", _read_and_resample)):
        for kind, make_pool in (("threads", ThreadPoolExecutor), ("processes", _fresh_processes)):
            for count in workers:
                what = {"work": work, "kind": kind, "workers": count}
                yield what, partial(_time_reading, function, corpus, make_pool, count)
    waves = [_at_output_rate(corpus, row) for row in corpus.rows]
    for count in workers:
        what = {"work": "write, flush, publish", "kind": "threads", "workers": count}
        yield what, partial(_time_writing, corpus, waves, folder, count)
    for work, keeps in (("null codec, to disk", True), ("null codec, null sink", False)):
        yield (
            {"work": work, "kind": "pipeline", "workers": None},
            partial(_time_pipeline, corpus, folder, keeps),
        )


def _read(corpus: BenchCorpus, row: SourceRow) -> int:
    """Open, hash and decode; gives the samples."""
    wave, _ = read_source(corpus.roots[row["corpus"]], row)
    return len(wave)


def _read_and_resample(corpus: BenchCorpus, row: SourceRow) -> Wave:
    """Read for a codec of 24 kHz; the wave goes back to who asked, as it must from another process."""
    wave, rate = read_source(corpus.roots[row["corpus"]], row)
    return SourceWave.at_rate(wave, rate, NullCodec.card.sample_rate).wave


def _at_output_rate(corpus: BenchCorpus, row: SourceRow) -> Wave:
    wave, rate = read_source(corpus.roots[row["corpus"]], row)
    return SourceWave.at_rate(wave, rate, OUTPUT_RATE).wave


def _fresh_processes(count: int) -> ProcessPoolExecutor:
    """Processes that have all started: it takes longer than what is measured."""
    context = get_context("spawn")
    started = context.Barrier(count + 1)
    pool = ProcessPoolExecutor(count, context, initializer=_arrive, initargs=(started,))
    for _ in range(count):  # each submission starts one
        pool.submit(len, ())
    _arrive(started)
    return pool


def _arrive(started: "Barrier") -> None:
    started.wait(START_SECONDS)


def _time_reading(
    function: Callable[[BenchCorpus, SourceRow], object],
    corpus: BenchCorpus,
    make_pool: Callable[[int], Executor],
    count: int,
) -> float:
    with make_pool(count) as pool:
        list(pool.map(partial(function, corpus), corpus.rows[: 2 * count]))  # warms up
        began = time.perf_counter()
        for _ in pool.map(partial(function, corpus), corpus.rows):
            pass
        return time.perf_counter() - began


def _time_writing(corpus: BenchCorpus, waves: Sequence[Wave], folder: Path, count: int) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as out:
        began = time.perf_counter()
        write_shard(Path(out), corpus.rows, waves, OUTPUT_RATE, count)
        return time.perf_counter() - began


def _time_pipeline(corpus: BenchCorpus, folder: Path, keeps: bool) -> float:
    codec = NullCodec("cpu")
    run = PipelineRun(codec, find_device("cpu"), corpus)
    nothing = NullSink()
    with tempfile.TemporaryDirectory(dir=folder) as out:
        wall_seconds = run.measure(len(corpus.rows), Path(out), None if keeps else nothing).wall_seconds
        written = sum(1 for _ in Path(out).rglob("*.wav"))
    refuse_losses(codec, len(corpus.rows), written if keeps else len(nothing.bytes_of))
    return wall_seconds
