"""The sides of a comparison, each in a process of its own, so that none changes the other's memory or threads."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from codecfake.detector.bench.material import MEAN_SECONDS
from codecfake.manifests.fresh_process import elsewhere
from codecfake.manifests.measurements import peak_mebibytes

ROUNDS = 3
STAGES = ("read", "resample", "network", "write")


@dataclass(frozen=True)
class Round:
    """One measured stretch of work."""

    utterances: int
    seconds: float
    """Of wall clock."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, over all threads, and ``wait``: of wall clock, for data."""

    @property
    def speed(self) -> float:
        """Utterances per second."""
        return self.utterances / self.seconds


class Side(Protocol):
    """What is measured: made in its process, then run again and again."""

    def warm_up(self) -> float:
        """Run a little; gives seconds per utterance."""

    def run(self, utterances: int) -> Round:
        """Run so many utterances."""


def compare(
    sides: Mapping[str, Callable[[], Side]], unit: int, seconds: float
) -> tuple[dict[str, list[Round]], int]:
    """Measure all sides in turns.

    Args:
        sides: How each is made, by name; picklable. The first one decides how many utterances a round has.
        unit: Utterances per round are a multiple of it.
        seconds: What all rounds of a side should take.

    Returns:
        The rounds by side, and the peak memory of the first side in MiB: of the GPU where there is one in use.
    """
    with ExitStack() as stack:
        there = {name: stack.enter_context(elsewhere(_Measured, make)) for name, make in sides.items()}
        costs = [side.call("warm_up") for side in there.values()]
        count = unit * max(1, round(seconds / ROUNDS / costs[0] / unit))
        rounds: dict[str, list[Round]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, side in there.items():
                rounds[name].append(side.call("run", count))
        return rounds, next(iter(there.values())).call("peak_mebibytes")


def summary(rounds: Mapping[str, Sequence[Round]], peak_mebibytes: int) -> dict[str, Any]:
    """The figures that every comparison reports; the sides are ``pipeline``, ``bare`` and ``loop``."""
    speeds = {name: statistics.median(r.speed for r in side) for name, side in rounds.items()}
    total = {stage: sum(r.stages.get(stage, 0.0) for r in rounds["pipeline"]) for stage in (*STAGES, "wait")}
    worked = sum(total[stage] for stage in STAGES)
    return {
        "utterances": rounds["pipeline"][0].utterances,
        "rounds": ROUNDS,
        "utterances_per_second": round(speeds["pipeline"], 3),
        "audio_seconds_per_second": round(speeds["pipeline"] * MEAN_SECONDS, 2),
        "bare_utterances_per_second": round(speeds["bare"], 3),
        "ratio_to_bare": round(_ratio(rounds["pipeline"], rounds["bare"]), 3),
        "loop_utterances_per_second": round(speeds["loop"], 3),
        "ratio_to_loop": round(_ratio(rounds["pipeline"], rounds["loop"]), 2),
        **{f"{stage}_percent": round(100 * total[stage] / worked, 1) for stage in STAGES},
        "wait_percent": round(100 * total["wait"] / sum(r.seconds for r in rounds["pipeline"]), 1),
        "peak_mebibytes": peak_mebibytes,
    }


def _ratio(ours: Sequence[Round], others: Sequence[Round]) -> float:
    return statistics.median(a.speed / b.speed for a, b in zip(ours, others, strict=True))


class _Measured:
    """A side in its process."""

    def __init__(self, make: Callable[[], Side]) -> None:
        side = make()
        self.warm_up, self.run = side.warm_up, side.run

    def peak_mebibytes(self) -> int:
        if torch.cuda.is_initialized():
            return round(torch.cuda.max_memory_allocated() / 2**20)
        return peak_mebibytes()
