"""The commands that are killed: what each starts from, how it is typed, and what it has to end with."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.faults import workers
from chaos.processes import Attempt, Work, command

SHARDS = "shards/*/[0-9]*/shard.json"
DETECTOR = "mel-lcnn"
TREE = "splits/published-seed0/Codecfake"


@dataclass(frozen=True)
class Job:
    """One command on a folder.

    Every path below is relative to that folder.
    """

    name: str
    prepare: Callable[[Path], None]
    """Makes the folder ready for the first call."""
    work: Callable[[Path], Work]
    """What the command does, from the folder."""
    units: tuple[str, ...]
    """Patterns of what is published once and never redone."""
    passing: tuple[str, ...] = ()
    """Patterns of files that are there for a while, or that two calm runs have different."""
    changing: tuple[str, ...] = ()
    """Patterns of files that say more at every step."""
    wholes: tuple[str, ...] = ()
    """Patterns of folders that appear with everything in them."""
    also: Callable[[Path, Path], list[str]] = lambda before, after: []
    """Says what was redone, from a copy of ``kept`` before the last call, and the folder after it."""
    kept: str = ""
    """A file that ``also`` compares."""
    in_processes: bool = False
    """Whether it starts processes of its own, of which one may die and the others live on."""


class Workshop:
    """Makes once what the jobs start from: corpora, a finished run, a trained detector.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vctk, self.aishell3 = folder / "vctk", folder / "aishell3"
        self.site, self.weights = folder / "outside" / "site", folder / "outside" / "weights"
        self.run, self.small_run, self.scored_run = (
            folder / "run",
            folder / "small-run",
            folder / "scored-run",
        )

    def make(self) -> None:
        """Make everything, in processes of its own."""
        self._do("corpora", self._write_corpora)
        self._do("run", self.build(self.run))
        self._do("detector", command(*self._train(self.small_run)))
        _copy(self.small_run, self.scored_run)
        self._do("scores", command("score", self.scored_run, "--device", "cpu"))

    def build(self, out: Path, *more: object) -> Work:
        """``codecfake build`` of the ten utterances into 8 shards."""
        options = ("--vctk", self.vctk, "--aishell3", self.aishell3, "--codecs", "X1", "--device", "cpu")
        return command("build", *options, "--weights", self.weights, "--no-prefect", "--out", out, *more)

    def jobs(self) -> list[Job]:
        """All jobs."""
        return [
            Job(
                "build",
                lambda folder: None,
                lambda folder: self.build(folder / "run"),
                units=(f"run/{SHARDS}", "run/shards/*/[0-9]*/audio/*", "run/source.parquet", "run/run.json"),
                wholes=("run/shards/*/[0-9]*", "run/splits/*"),
            ),
            Job(
                "build, 4 processes",
                lambda folder: None,
                lambda folder: self._build_in_processes(folder / "run"),
                units=(f"run/{SHARDS}", "run/shards/*/[0-9]*/audio/*", "run/source.parquet"),
                wholes=("run/shards/*/[0-9]*", "run/splits/*"),
                in_processes=True,
            ),
            Job(
                "split",
                lambda folder: _copy(self.run, folder / "run"),
                lambda folder: command("splits", folder / "run", "--policy", "speaker-disjoint"),
                units=("run/splits/*/splits.json", f"run/{SHARDS}"),
                wholes=("run/splits/*",),
            ),
            *(self._export(form) for form in ("tree", "hf", "webdataset", "shar", "asvspoof")),
            Job(
                "train",
                lambda folder: _copy(self.small_run, folder / "run", "detectors"),
                lambda folder: command(*self._train(folder / "run")),
                units=(f"run/detectors/{DETECTOR}/model.*",),
                passing=("run/detectors/*/checkpoints/*", "run/detectors/*/tensorboard/*"),
                changing=(f"run/detectors/{DETECTOR}/state.json", f"run/detectors/{DETECTOR}/history.csv"),
                also=_epochs_redone,
                kept=f"run/detectors/{DETECTOR}/state.json",
            ),
            Job(
                "features",
                lambda folder: None,
                lambda folder: command(
                    "features", self.small_run, "--model", DETECTOR, "--out", folder / "cache"
                ),
                units=("cache/shards/*.npy",),
            ),
            Job(
                "score",
                lambda folder: _copy(self.small_run, folder / "run"),
                lambda folder: command("score", folder / "run", "--device", "cpu", "--batch-size", "2"),
                units=("run/detectors/*/scores/[!u]*.tsv",),
            ),
            Job(
                "evaluate",
                lambda folder: _copy(self.scored_run, folder / "run"),
                lambda folder: command("evaluate", folder / "run"),
                units=("run/detectors/*/scores/*",),
            ),
            Job(
                "report",
                lambda folder: _copy(self.run, folder / "run"),
                lambda folder: command("report", folder / "run"),
                units=(f"run/{SHARDS}",),
                wholes=("run/report",),
            ),
            Job(
                "conditions",
                lambda folder: _copy(self.run, folder / "run"),
                lambda folder: command("conditions", folder / "run", "--add", "noise-snr10,reverb"),
                units=("run/splits/*/conditions/*/shard.json", "run/splits/*/conditions/*/audio/*"),
                wholes=("run/splits/*/conditions/*/shards/*/[0-9]*",),
            ),
            Job(
                "import",
                lambda folder: _copy(self.run / TREE, folder / "published"),
                lambda folder: command("import", folder / "published", folder / "run"),
                units=(f"run/{SHARDS}",),
                wholes=("run/shards/*/[0-9]*", "run/splits/*"),
            ),
            Job(
                "retry",
                lambda folder: _lose_two_shards(self.run, folder / "run"),
                lambda folder: command("retry", folder / "run", "--no-prefect"),
                units=(f"run/{SHARDS}", "run/shards/*/[0-9]*/audio/*", "run/source.parquet"),
                changing=("run/splits/*",),
                wholes=("run/shards/*/[0-9]*",),
            ),
        ]

    def _export(self, form: str) -> Job:
        return Job(
            f"export {form}",
            lambda folder: None,
            lambda folder: command("export", form, self.run, folder / "out"),
            units=("out/*.tar", "out/*.parquet", "out/*.tar.gz", "out/*/*.parquet", "out/*/*.tar"),
            changing=("out/export.json",),
        )

    def _build_in_processes(self, out: Path) -> Work:
        def build() -> None:
            from chaos.many_processes import build_in_processes

            options = {"vctk": self.vctk, "aishell3": self.aishell3, "codecs": "X1", "device": "cpu"}
            build_in_processes(options | {"weights": str(self.weights), "out": out}, 4)

        return build

    def _train(self, run: Path) -> tuple[object, ...]:
        often = ("--epochs", 2, "--batch-size", 4, "--checkpoint-minutes", 0)
        return "train", run, "--model", DETECTOR, *often, "--device", "cpu", "--no-prefect"

    def _write_corpora(self) -> None:
        import detector_run
        import outside_codec
        import speech

        speech.write_vctk(self.vctk, 3, 2)
        speech.write_aishell3(self.aishell3, 2, 2)
        outside_codec.install(self.folder / "outside")
        detector_run.make_run(self.small_run, train=4, dev=2, evaluation=2)
        (self.small_run / "run.yaml").touch()
        (self.small_run / "splits" / detector_run.SPLIT / "splits.json").write_text("{}")

    def _do(self, name: str, work: Work) -> None:
        outcome = Attempt(work, self.folder / f"{name}.log", workers(2)).wait()
        if outcome.exit_code:
            raise RuntimeError(f"{name}: {outcome}")


def _copy(run: Path, place: Path, without: str = "") -> None:
    shutil.copytree(run, place, ignore=shutil.ignore_patterns(without) if without else None)


def _lose_two_shards(run: Path, place: Path) -> None:
    _copy(run, place)
    for shard in ("X1/00000", "real/00001"):
        shutil.rmtree(place / "shards" / shard)


def _epochs_redone(before: Path, after: Path) -> list[str]:
    """An epoch that was done has the seconds that it took; done again, it would have others."""
    done = json.loads(before.read_text(encoding="utf-8"))["history"]
    now = json.loads(after.read_text(encoding="utf-8"))["history"]
    return [] if now[: len(done)] == done else ["an epoch was trained again"]
