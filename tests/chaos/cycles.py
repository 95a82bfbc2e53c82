"""One job from an empty folder to its end, disturbed on the way; what was lost is said in words."""

import random
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from chaos.comparing import differences, essences, matches, visible_files
from chaos.faults import Fault, Step, death_at, read_steps, recorded_steps, workers
from chaos.jobs import Job
from chaos.processes import Attempt, Outcome
from chaos.watching import Watcher

LOST_IN_CHAIN = 6
"""Kills after which a job is left alone, when they follow each other."""


@dataclass
class Tally:
    """What the runs of one row of the table came to."""

    runs: int = 0
    """Disturbed ones, not those that finished the job afterwards."""
    hits: int = 0
    """Runs that the fault ended or changed: that were not over before."""
    looks: int = 0
    slowest_seconds: float = 0.0
    """To end after a signal that asks for it."""
    losses: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.runs += other.runs
        self.hits += other.hits
        self.looks += other.looks
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.losses += other.losses


@dataclass(frozen=True)
class Calm:
    """What an undisturbed run of a job ends with."""

    essences: dict[str, str]
    steps: tuple[Step, ...]
    seconds: float


class Bench:
    """Runs a job again and again, each time in a new folder.

    Args:
        job: The command.
        folder: For its folders, and what is noted about them.
        count: Workers.
        disk: Where its folders are, if not in ``folder``.
    """

    def __init__(self, job: Job, folder: Path, count: int, disk: Path | None = None) -> None:
        self.job, self.folder, self.count, self.disk = job, folder, count, disk or folder
        self.rng = random.Random(f"{job.name} {count}")
        self._number = 0
        folder.mkdir(parents=True, exist_ok=True)

    def new_folder(self) -> Path:
        """A folder that the job can start in."""
        self._number += 1
        place = self.disk / f"cycle-{self._number:04d}"
        place.mkdir()
        self.job.prepare(place)
        return place

    def start(self, place: Path, *faults: Fault) -> Attempt:
        return Attempt(self.job.work(place), self.beside(place, "log"), workers(self.count), *faults)

    def beside(self, place: Path, what: str) -> Path:
        """Where something about a folder is noted."""
        return self.folder / f"{place.name}.{what}"

    def calm(self) -> Calm:
        """Run the job twice without any fault, and hold the results against each other.

        Raises:
            RuntimeError: If they differ: then nothing could be said of disturbed runs.
        """
        found: list[dict[str, str]] = []
        for _ in range(2):
            place = self.new_folder()
            log = self.beside(place, "steps")
            outcome = self.start(place, recorded_steps(log)).wait()
            if outcome.exit_code:
                raise RuntimeError(f"{self.job.name} fails undisturbed: {outcome}")
            found.append(self.essences(place))
            steps, seconds = tuple(read_steps(log)), outcome.seconds
            self.remove(place)
        if told := differences(*found):
            raise RuntimeError(f"{self.job.name}: two calm runs differ: {told[:5]}")
        return Calm(found[0], steps, seconds)

    def essences(self, place: Path) -> dict[str, str]:
        return essences(place, self.job.passing)

    def remove(self, place: Path) -> None:
        shutil.rmtree(place)
        for beside in self.folder.glob(f"{place.name}.*"):
            beside.unlink()


class Cycle:
    """One folder, watched from the first call to the comparison at the end.

    Args:
        bench: Gives the folder.
        calm: What it has to end with.
        place: A folder that is there already, in place of a new one.
    """

    def __init__(self, bench: Bench, calm: Calm, place: Path | None = None) -> None:
        self.bench, self.calm = bench, calm
        self.place = place or bench.new_folder()
        self.tally = Tally()
        self._units: dict[str, tuple[int, int]] = {}
        self._watcher = Watcher(
            self.place,
            calm.essences,
            (*bench.job.changing, *bench.job.passing),
            bench.job.wholes,
            bench.beside(self.place, "watch"),
        )

    def disturb(self, outcome: Outcome, *, hit: bool) -> None:
        """Count a disturbed call that is over, and hold what it left against what was there before."""
        self.tally.runs += 1
        self.tally.hits += hit
        self.note_units()

    def note_units(self) -> None:
        """Remember what is published; whatever of it is another file later was redone."""
        now = self._published_units()
        for name, identity in self._units.items():
            if now.get(name) != identity:
                self.lose(f"{name} was {'redone' if name in now else 'lost'}")
        self._units = now

    def lose(self, what: str) -> None:
        self.tally.losses.append(f"{self.bench.job.name}, {self.bench.count} workers: {what}")

    def finish(self) -> Tally:
        """Run the job to its end, undisturbed, and compare."""
        kept = self.place / self.bench.job.kept if self.bench.job.kept else None
        before = self.bench.beside(self.place, "kept")
        if kept and kept.is_file():
            shutil.copy(kept, before)
        outcome = self.bench.start(self.place).wait()
        if outcome.exit_code:
            self.lose(f"the command does not go on: exit code {outcome.exit_code}\n{outcome.output[-1500:]}")
        self.note_units()
        if before.is_file():
            for told in self.bench.job.also(before, kept):
                self.lose(told)
        try:
            for told in differences(self.calm.essences, self.bench.essences(self.place))[:5]:
                self.lose(f"at the end {told}")
        except ValueError as error:
            self.lose(f"at the end a file is not whole: {error}")
        self.tally.looks, wrong = self._watcher.stop()
        for told in wrong[:5]:
            self.lose(f"a reader saw: {told}")
        if not self.tally.losses:
            self.bench.remove(self.place)
        return self.tally

    def _published_units(self) -> dict[str, tuple[int, int]]:
        found = {}
        for name, path in visible_files(self.place).items():
            if matches(name, self.bench.job.units):
                status = path.stat()
                found[name] = status.st_ino, status.st_mtime_ns
        return found


def kill_at_step(bench: Bench, calm: Calm, number: int, *, after: bool, alone: bool) -> Tally:
    """Kill the job at a step, then let it finish."""
    cycle = Cycle(bench, calm)
    outcome = bench.start(cycle.place, death_at(number, after=after, alone=alone)).wait()
    cycle.disturb(outcome, hit=outcome.was_killed or (alone and outcome.exit_code == 1))
    if outcome.exit_code not in (0, 1, -signal.SIGKILL):
        cycle.lose(f"killed at step {number}, it ended with {outcome.exit_code}\n{outcome.output[-1500:]}")
    return cycle.finish()


def kill_at_random(bench: Bench, calm: Calm) -> Tally:
    """Kill the job, and what goes on after it, at random times; then let it finish."""
    cycle = Cycle(bench, calm)
    for _ in range(LOST_IN_CHAIN):
        outcome = _signalled(bench, cycle, calm, signal.SIGKILL)
        cycle.disturb(outcome, hit=outcome.was_killed)
        if not outcome.was_killed:
            if outcome.exit_code:
                cycle.lose(f"it ended with {outcome.exit_code}\n{outcome.output[-1500:]}")
            break
    return cycle.finish()


def ask_to_stop(bench: Bench, calm: Calm, number: signal.Signals, limit_seconds: float) -> Tally:
    """Send Ctrl-C or SIGTERM at a random time, then let it finish."""
    cycle = Cycle(bench, calm)
    attempt = bench.start(cycle.place)
    outcome = _after(attempt, bench.rng.uniform(0.05, 1.0) * calm.seconds)
    began = time.monotonic()
    if outcome is None:
        attempt.signal(number)
        outcome = attempt.wait()
    seconds = time.monotonic() - began
    hit = outcome.exit_code == 130
    cycle.disturb(outcome, hit=hit)
    cycle.tally.slowest_seconds = seconds if hit else 0.0
    told = outcome.output[-1500:]
    if outcome.exit_code not in (0, 130) or not outcome.is_clean:
        cycle.lose(f"{number.name} ended it with {outcome.exit_code}\n{told}")
    elif hit and "the same command goes on from there" not in outcome.output:
        cycle.lose(f"after {number.name} it does not say how to go on\n{told}")
    elif seconds > limit_seconds:
        cycle.lose(f"{number.name} took {seconds:.0f} s")
    return cycle.finish()


def go_on_under(
    bench: Bench,
    calm: Calm,
    fault: Fault = lambda: None,
    *,
    may_end: bool = False,
    place: Path | None = None,
    after: Fault = lambda: None,
) -> Tally:
    """Run the job under a fault that it has to outlive, or may end at in words; then let it finish.

    Args:
        bench: The job.
        calm: What it has to end with.
        fault: What goes wrong in its process.
        may_end: Whether it may end with exit code 1.
        place: Its folder, where it is the folder that something is wrong with.
        after: Puts the folder right again.
    """
    cycle = Cycle(bench, calm, place)
    outcome = bench.start(cycle.place, fault).wait()
    after()
    cycle.disturb(outcome, hit=outcome.exit_code == 1 or not may_end)
    if outcome.exit_code not in ((0, 1) if may_end else (0,)) or not outcome.is_clean:
        cycle.lose(f"it ended with {outcome.exit_code}\n{outcome.output[-1500:]}")
    return cycle.finish()


def _signalled(bench: Bench, cycle: Cycle, calm: Calm, number: signal.Signals) -> Outcome:
    attempt = bench.start(cycle.place)
    outcome = _after(attempt, bench.rng.uniform(0.02, 1.1) * calm.seconds)
    if outcome is None:
        attempt.signal(number)
        outcome = attempt.wait()
    return outcome


def _after(attempt: Attempt, seconds: float) -> Outcome | None:
    """Let time pass; the outcome, if the attempt is over by then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if outcome := attempt.poll():
            return outcome
        time.sleep(0.005)
    return None


def steps_to_die_at(steps: Sequence[Step]) -> tuple[list[int], list[int]]:
    """Numbers of the publications, and of other steps: of equal ones in a row the first, the middle and the last."""
    publications = [number for number, step in enumerate(steps) if step.is_publication]
    rows = [list(row) for _, row in groupby(range(len(steps)), key=lambda number: steps[number])]
    ends = {row[place] for row in rows for place in (0, len(row) // 2, -1)}
    return publications, sorted(ends - set(publications))


def spread(numbers: Sequence[int], most: int) -> list[int]:
    """So many of them at most, evenly, from the first to the last; of one, that in the middle."""
    if len(numbers) <= most:
        return list(numbers)
    if most == 1:
        return [numbers[len(numbers) // 2]]
    return [numbers[round(place * (len(numbers) - 1) / (most - 1))] for place in range(most)]
