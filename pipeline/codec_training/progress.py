"""What is told of a training while it runs: lines, tables and curves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from codecfake.pipeline.codec_training.board import Board
from codecfake.pipeline.codec_training.validation import ClipScores, mean_scores
from codecfake.pipeline.monitor import Monitor

if TYPE_CHECKING:
    from codecfake.codec_adapters.training.session import StepReport

REPORT_STEPS = 100
HISTORY, VALIDATION = "history.csv", "validation.csv"
SHOWN_MEASURES = {"stoi": "STOI", "pesq": "PESQ", "si_sdr": "SI-SDR", "mel_distance": "mel distance"}


class TrainingProgress:
    """Averages the losses, and tells of them every ``REPORT_STEPS`` steps.

    Args:
        monitor: For the lines.
        board: For the curves.
        steps: Of the whole training.
        audio_seconds: Of speech in a step, over all processes.
        state: What ``state_dict`` of an earlier call gave, if there was one.
    """

    def __init__(
        self,
        monitor: Monitor,
        board: Board,
        steps: int,
        audio_seconds: float,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._monitor, self._board, self._steps, self._audio_seconds = monitor, board, steps, audio_seconds
        state = state or {"seconds": 0.0, "history": [], "validation": [], "sums": {}}
        self.seconds: float = state["seconds"]
        """Of training, over all calls, without validation."""
        self.tables: dict[str, list[dict[str, Any]]] = {
            HISTORY: list(state["history"]),
            VALIDATION: list(state["validation"]),
        }
        self._sums: dict[str, list[float]] = {name: list(pair) for name, pair in state["sums"].items()}
        self._steps_here = self._steps_told = 0
        self._seconds_here = self._seconds_told = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What the next call goes on from."""
        return {
            "seconds": self.seconds,
            "history": self.tables[HISTORY],
            "validation": self.tables[VALIDATION],
            "sums": self._sums,
        }

    def count(self, report: "StepReport", seconds: float) -> None:
        """Take in one step, and the time that it and its batch took."""
        self.seconds += seconds
        self._seconds_here += seconds
        self._steps_here += 1
        for name, loss in report.losses.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = [total + loss, count + 1]
        if report.step % REPORT_STEPS == 0 or report.step == self._steps:
            self._tell(report)

    def validated(self, step: int, results: Mapping[str, Sequence[ClipScores]]) -> None:
        """Tell of a validation, set by set."""
        for name, clips in results.items():
            scores = asdict(mean_scores(clips))
            self.tables[VALIDATION].append({"step": step, "clips": name, "count": len(clips), **scores})
            self._board.scalars(name, scores, step)
            self._board.clips(name, clips, step)
            told = [
                f"{title} {scores[measure]:.3f}"
                for measure, title in SHOWN_MEASURES.items()
                if scores[measure] is not None
            ]
            self._monitor.say(f"  {name} ({len(clips)} clips): {', '.join(told)}")

    def _tell(self, report: "StepReport") -> None:
        means = {name: total / count for name, (total, count) in self._sums.items()}
        row = {"step": report.step, "seconds": round(self.seconds, 1), "learning_rate": report.learning_rate}
        self.tables[HISTORY].append(row | means)
        self._board.scalars("loss", means, report.step)
        self._board.scalars("training", {"learning_rate": report.learning_rate}, report.step)
        steps, seconds = self._steps_here - self._steps_told, self._seconds_here - self._seconds_told
        left = (self._steps - report.step) * self._seconds_here / self._steps_here
        parts = "  ".join(f"{name} {mean:.4f}" for name, mean in means.items() if name != "total")
        self._monitor.say(
            f"step {report.step}/{self._steps}  loss {means['total']:.4f}  ({parts})  "
            f"lr {report.learning_rate:.1e}  {steps * self._audio_seconds / seconds:.1f} s of audio/s  "
            f"ETA {timedelta(seconds=round(left))}{'' if report.quantised else '  not quantised yet'}"
        )
        self._sums = {}
        self._steps_told, self._seconds_told = self._steps_here, self._seconds_here
