"""Each codec in the pipeline, alone, and in a loop over files: three ways that take turns.

The loop gets utterances of all different lengths in file order, as a script would find them; the pipeline gets the
same mean length sorted, as the shards of the full corpora are. Reading, both resamplings and writing WAV PCM_16 at
16 kHz are in the time of both, loading the network in neither.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from codecfake.codec_adapters import find_codec
from codecfake.manifests.fresh_process import elsewhere
from codecfake.pipeline.bench.corpus import make_corpus, mixed_lengths, sorted_lengths
from codecfake.pipeline.bench.loop_side import LoopSide
from codecfake.pipeline.bench.pipeline_side import PipelineSide
from codecfake.pipeline.bench.rounds import STAGES, Round
from codecfake.pipeline.monitor import Monitor

MIXED_FILES = 256
SORTED_FILES = 64


@dataclass(frozen=True)
class Effort:
    """How much to measure of each codec."""

    rounds: int
    seconds: float
    """Of the pipeline and of the bare network, per round."""
    loop_seconds: float

    @classmethod
    def for_device(cls, device: str) -> "Effort":
        """What lets seven codecs finish within ten minutes; a GPU needs longer rounds to fill its batches."""
        return cls(3, 6.0, 6.0) if device == "cpu" else cls(2, 10.0, 5.0)


def bench_resynthesis(
    codecs: Sequence[str],
    device: str,
    weights: str,
    monitor: Monitor,
    *,
    effort: Effort | None = None,
    files: tuple[int, int] = (MIXED_FILES, SORTED_FILES),
) -> Iterator[dict[str, Any]]:
    """Measure codecs one after the other.

    Args:
        codecs: Codec ids.
        device: As torch names it.
        weights: "random", "mini", "official", or a folder.
        monitor: Carries the stop signal.
        effort: How much to measure; by default what suits the device.
        files: Distinct utterances in file order, and sorted.

    Yields:
        One row per codec, flat but for the figures of the rounds.

    Raises:
        CodecfakeError: If a codec failed, or has no such weights.
        Stopped: If the user asked to stop.
    """
    effort = effort or Effort.for_device(device)
    mixed, in_order = files
    with tempfile.TemporaryDirectory() as name:
        loop_corpus = make_corpus(Path(name) / "mixed", mixed_lengths(mixed))
        shard_corpus = make_corpus(Path(name) / "sorted", sorted_lengths(in_order))
        for codec in codecs:
            monitor.raise_if_stopped()
            with (
                elsewhere(LoopSide, codec, weights, device, loop_corpus) as loop,
                elsewhere(PipelineSide, codec, weights, device, shard_corpus) as pipeline,
            ):
                loop.wait()
                pipeline.wait()
                loop_count = loop.call("settle", effort.loop_seconds)
                count = pipeline.call("settle", effort.seconds)
                loops, runs, bare = [], [], []
                for _ in range(effort.rounds):
                    monitor.raise_if_stopped()
                    loops.append(loop.call("measure", loop_count))
                    runs.append(pipeline.call("measure", count))
                    bare.append(pipeline.call("measure_bare"))
                facts = pipeline.call("facts")
            yield (
                {"codec": codec, "title": find_codec(codec).card.title, "weights": weights}
                | facts
                | _row(loops, runs, bare, facts["slots"])
            )


def _row(loops: list[Round], runs: list[Round], bare: list[Round], slots: int) -> dict[str, Any]:
    """What the rounds come to: medians, and ratios of what ran one after the other."""
    stages = {stage: sum(run.stage_seconds.get(stage, 0.0) for run in runs) for stage in STAGES}
    busy = sum(stages.values())
    wall = sum(run.wall_seconds for run in runs)
    speed = median(run.speed for run in runs)
    return {
        "utterances": runs[0].utterances,
        "audio_seconds_per_second": round(speed, 2),
        "utterances_per_second": round(median(run.utterances / run.wall_seconds for run in runs), 2),
        **{f"{stage}_percent": round(100 * seconds / busy, 1) for stage, seconds in stages.items()},
        "wait_percent": round(100 * max(0.0, 1 - stages["network"] / (wall * slots)), 1),
        "bare_audio_seconds_per_second": round(median(run.speed for run in bare), 2),
        "ratio_to_bare": _ratio(runs, bare),
        "loop_audio_seconds_per_second": round(median(run.speed for run in loops), 2),
        "ratio_to_loop": _ratio(runs, loops),
        "cpu_ratio_to_loop": round(
            median(
                (run.audio_seconds / run.cpu_seconds) / (loop.audio_seconds / loop.cpu_seconds)
                for run, loop in zip(runs, loops, strict=True)
            ),
            3,
        ),
        "halved_batches": sum(run.halved_batches for run in runs),
        "rounds": {
            "pipeline": [round(run.speed, 3) for run in runs],
            "bare": [round(run.speed, 3) for run in bare],
            "loop": [round(run.speed, 3) for run in loops],
        },
    }


def _ratio(runs: list[Round], others: list[Round]) -> float:
    return round(median(run.speed / other.speed for run, other in zip(runs, others, strict=True)), 3)
