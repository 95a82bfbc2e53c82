"""The crash matrix: every job under every fault, shared out among processes; how often, and what was lost."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, default_int_handler, signal

from chaos import cycles, damages
from chaos.cycles import Bench, Calm, Tally
from chaos.disks import SmallDisk, small_disk
from chaos.faults import few_open_files, jumping_clock, slow_disk
from chaos.jobs import Job, Workshop
from chaos.processes import Attempt

DISK = "disk"
"""Where a small disk is mounted, in the folder of a job."""
ROWS = "rows.jsonl"
DAY_SECONDS = 86_400.0
OPEN_FILES = (7, 8, 9, 10, 12)


@dataclass(frozen=True)
class Scale:
    """How much of the matrix is done; 0 leaves a fault out."""

    steps: int
    """Publications of each job to die before and after, at most; with the smaller number of workers a quarter of it."""
    other_steps: int
    """Other steps to die before."""
    chains: int
    """Chains of kills at random times."""
    signals: int
    """Of each of the two."""
    faults: int
    """Runs with a slow disk, with a jumping clock, with a full disk."""
    signal_limit_seconds: float = 30.0
    damages: bool = True
    jobs: tuple[str, ...] = ()
    """Names of the jobs; all when empty."""
    worker_counts: tuple[int, ...] = (1, 4)


FULL = Scale(steps=60, other_steps=10, chains=4, signals=3, faults=2)
SHORT = Scale(
    steps=1,
    other_steps=0,
    chains=0,
    signals=0,
    faults=0,
    damages=False,
    jobs=("build", "split", "export webdataset", "train", "features", "score"),
    worker_counts=(4,),
)
"""What every run of the tests does."""

Run = Callable[[Bench, Calm], Tally]


def runs(job: Job, count: int, scale: Scale) -> Iterator[tuple[str, Run]]:
    """What is done to a job with so many workers: the fault, and the runs under it."""
    yield "killed at a step", partial(_kill_at_steps, scale=scale)
    yield "killed at random times", partial(_repeat, cycles.kill_at_random, scale.chains)
    if job.in_processes:
        return
    for number in (SIGINT, SIGTERM):
        stop = partial(cycles.ask_to_stop, number=number, limit_seconds=scale.signal_limit_seconds)
        yield "Ctrl-C" if number == SIGINT else "SIGTERM", partial(_repeat, stop, scale.signals)
    if scale.faults and count == scale.worker_counts[-1]:
        yield "full disk", partial(_fill_disk, scale=scale)
        yield "read-only folder", _refuse_writes
        yield "slow disk", partial(_repeat, _slow_disk, scale.faults)
        yield "clock jumps", partial(_repeat, _jump, scale.faults)
        yield "few open files", _few_files


def _repeat(run: Run, times: int, bench: Bench, calm: Calm) -> Tally:
    tally = Tally()
    for _ in range(times):
        tally.add(run(bench, calm))
    return tally


def _kill_at_steps(bench: Bench, calm: Calm, *, scale: Scale) -> Tally:
    """Die before the chosen steps, and after each publication among them."""
    tally = Tally()
    most = scale.steps if bench.count == scale.worker_counts[-1] else scale.steps // 4
    publications, others = cycles.steps_to_die_at(calm.steps)
    for number in cycles.spread(publications, most):
        alone = bench.job.in_processes and number % 2 == 0
        for after in (False, True):
            tally.add(cycles.kill_at_step(bench, calm, number, after=after, alone=alone))
    for number in cycles.spread(others, scale.other_steps):
        tally.add(cycles.kill_at_step(bench, calm, number, after=False, alone=False))
    return tally


def _slow_disk(bench: Bench, calm: Calm) -> Tally:
    return cycles.go_on_under(bench, calm, slow_disk(bench.rng.uniform(0.005, 0.03)))


def _jump(bench: Bench, calm: Calm) -> Tally:
    return cycles.go_on_under(bench, calm, jumping_clock(bench.rng.randrange(2**32)))


def _few_files(bench: Bench, calm: Calm) -> Tally:
    tally = Tally()
    for limit in OPEN_FILES:
        tally.add(cycles.go_on_under(bench, calm, few_open_files(limit), may_end=True))
    return tally


def _fill_disk(bench: Bench, calm: Calm, *, scale: Scale) -> Tally:
    tally = Tally()
    with small_disk(bench.folder / DISK) as disk:
        on_disk = Bench(bench.job, bench.folder, bench.count, disk.place)
        place = on_disk.new_folder()
        before = disk.used_bytes
        on_disk.start(place).wait()
        needed = disk.used_bytes - before
        on_disk.remove(place)
        for number in range(scale.faults):
            place = on_disk.new_folder()
            disk.leave(round(needed * (number + bench.rng.random()) / scale.faults))
            tally.add(_go_on(on_disk, calm, place, disk))
    return tally


def _refuse_writes(bench: Bench, calm: Calm) -> Tally:
    with small_disk(bench.folder / DISK) as disk:
        on_disk = Bench(bench.job, bench.folder, bench.count, disk.place)
        place = on_disk.new_folder()
        disk.refuse_writes()
        return _go_on(on_disk, calm, place, disk)


def _go_on(bench: Bench, calm: Calm, place: Path, disk: SmallDisk) -> Tally:
    return cycles.go_on_under(bench, calm, may_end=True, place=place, after=disk.put_right)


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    fault: str
    job: str
    workers: int
    tally: Tally


def run_matrix(folder: Path, scale: Scale, lanes: int) -> list[Row]:
    """Work through the matrix in so many processes.

    Args:
        folder: An empty folder; what went wrong stays there.
        scale: How much of it.
        lanes: Processes, each with a job of its own at a time.
    """
    workshop = Workshop(folder / "workshop")
    workshop.folder.mkdir(parents=True)
    sys.path.insert(0, str(workshop.site))
    workshop.make()
    pairs = [
        (job, count)
        for job in sorted(workshop.jobs(), key=lambda job: job.name != "train")  # the longest first
        for count in scale.worker_counts
        if not scale.jobs or job.name in scale.jobs
    ]
    todo: list[Todo] = [
        *(partial(_disturb, job, count, scale) for job, count in pairs if count > 1 or not job.in_processes),
        *(partial(_damage, damage, workshop) for damage in damages.DAMAGES if scale.damages),
    ]
    queue, handed_out = os.pipe()
    os.write(handed_out, bytes(range(len(todo))))
    os.close(handed_out)
    attempts = [
        Attempt(partial(_work, todo, queue, folder / f"lane-{lane}"), folder / f"lane-{lane}.log")
        for lane in range(lanes)
    ]
    try:
        for attempt in attempts:
            outcome = attempt.wait(DAY_SECONDS)
            if outcome.exit_code:
                raise RuntimeError(outcome.output[-3000:])
    except BaseException:
        for attempt in attempts:
            attempt.signal(SIGTERM)  # lets them unmount
        raise
    return [
        Row(row["fault"], row["job"], row["workers"], Tally(**row["tally"]))
        for lane in range(lanes)
        for line in (folder / f"lane-{lane}" / ROWS).read_text(encoding="utf-8").splitlines()
        for row in [json.loads(line)]
    ]


Todo = Callable[[Path], Iterator[Row]]
"""Takes a folder to work in."""


def _work(todo: list[Todo], queue: int, folder: Path) -> None:
    """Do what nobody has taken yet, until nothing is left; a line in ``rows.jsonl`` for each row."""
    signal(SIGTERM, default_int_handler)
    folder.mkdir()
    with (folder / ROWS).open("w", encoding="utf-8") as file:
        while taken := os.read(queue, 1):
            began = time.monotonic()
            for row in todo[taken[0]](folder / f"{taken[0]:03d}"):
                file.write(json.dumps(asdict(row)) + "\n")
                file.flush()
                seconds, began = time.monotonic() - began, time.monotonic()
                print(f"{row} in {seconds:.1f} s", flush=True)  # noqa: T201


def _disturb(job: Job, count: int, scale: Scale, folder: Path) -> Iterator[Row]:
    bench = Bench(job, folder, count)
    calm = bench.calm()
    for fault, run in runs(job, count, scale):
        try:
            yield Row(fault, job.name, count, run(bench, calm))
        except PermissionError as error:
            if os.geteuid() == 0:
                raise
            print(f"{fault} left out: {error}", flush=True)  # noqa: T201


def _damage(damage: damages.Damage, workshop: Workshop, folder: Path) -> Iterator[Row]:
    yield Row(damage.name, "verify, retry", 2, damages.mend(damage, workshop, folder))


def summed(rows: list[Row]) -> list[dict[str, object]]:
    """One row for each fault: the commands and numbers of workers that it was tried on, and the sums."""
    table = []
    for fault in dict.fromkeys(row.fault for row in rows):
        of_it = [row for row in rows if row.fault == fault]
        table.append(
            {
                "fault": fault,
                "commands": len({row.job for row in of_it}),
                "workers": ", ".join(str(count) for count in sorted({row.workers for row in of_it})),
                "runs": sum(row.tally.runs for row in of_it),
                "hits": sum(row.tally.hits for row in of_it),
                "losses": sum(len(row.tally.losses) for row in of_it),
                "looks": sum(row.tally.looks for row in of_it),
                "slowest_seconds": round(max(row.tally.slowest_seconds for row in of_it), 2),
            }
        )
    return [row for row in table if row["runs"]]
