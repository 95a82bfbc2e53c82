"""Making a report: all pages beside its place, then in one go at its place."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.detector.evaluation.run_evaluation import ROUNDS
from codecfake.detector.sources import find_source, open_trials, run_folder
from codecfake.detector.trials import SplitTrials
from codecfake.flows.audit_material import SEED, gather
from codecfake.flows.report.audit_page import write_audit
from codecfake.flows.report.detectors import write_detectors
from codecfake.flows.report.listening import build_listening_page
from codecfake.flows.report.overview import warnings_of, write_overview
from codecfake.flows.report.pages import PAGES, Site
from codecfake.flows.report.reported_detectors import find_detectors, read_detectors
from codecfake.flows.report.run_facts import RunFacts, read_run_facts
from codecfake.manifests.atomic import (
    TEMPORARY_PREFIX,
    flush_all_to_disk,
    flush_to_disk,
    publish_json,
    temporary_sibling,
)
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.locks import sole_holder
from codecfake.manifests.schema import REAL
from codecfake.pipeline.provenance import codecfake_version, now

if TYPE_CHECKING:
    from codecfake.pipeline.monitor import Monitor

MARK = "report.json"
"""What tells a report from a folder of the user's; only the former is replaced."""


@dataclass(frozen=True)
class ReportRequest:
    """What a report is to be about."""

    data: Path
    split: str | None = None
    real: Path | None = None
    """Folder with the sources of fakes, where the data holds none."""
    detectors: tuple[Path, ...] = ()
    """Detectors that scored the data and lie elsewhere."""
    utterances: int = 12
    """To listen to, chosen by a fixed seed."""
    wanted: tuple[str, ...] = ()
    """Ids of more utterances to listen to."""
    rounds: int = ROUNDS
    """Of the bootstrap of every error rate."""


def default_folder(data: Path) -> Path:
    """``RUN/report``; beside a downloaded dataset, whose audio is found by name, it would be taken for a part of it."""
    return data / "report" if run_folder.recognise(data) else data.with_name(f"{data.name}-report")


def make_report(request: ReportRequest, out: Path, monitor: "Monitor") -> Path:
    """Write the report; one that is there already is replaced as a whole.

    Args:
        request: What it is about.
        out: Folder of the report.
        monitor: Told about the progress.

    Returns:
        Its first page.

    Raises:
        CodecfakeError: If the data is of no known layout, ``out`` holds something else, or an id is not known.
        Stopped: If the user asked to stop.
    """
    data = request.data.absolute()
    trials = open_trials(data, request.split)
    is_run = run_folder.recognise(data)
    facts = read_run_facts(data, trials.name) if is_run else RunFacts()
    licence = "" if is_run else find_source(data).licence
    sources = _count_sources(request)
    with published_report(out) as draft:
        pages = [name for name in PAGES if name != "listen" or request.utterances or request.wanted]
        site = Site(draft, data.name, warnings_of(facts), pages)
        site.copy_static()
        write_overview(site, data, trials, facts, licence=licence, sources=sources)
        folders = find_detectors(data, request.detectors)
        detectors = read_detectors(data, folders, request.split, request.rounds, monitor)
        write_detectors(site, data, trials, detectors)
        write_audit(site, data, needs_sources=not _holds_bona_fide(trials))
        if "listen" in pages:
            build_listening_page(
                site,
                data,
                request.split,
                request.real,
                request.utterances,
                list(request.wanted),
                SEED,
                request.detectors,
            )
        publish_json(
            draft / MARK,
            {"report_of": data.name, "split": trials.name, "made": now(), "codecfake": codecfake_version()},
        )
    return out / "index.html"


def _holds_bona_fide(trials: SplitTrials) -> bool:
    return any(
        part.count(Label.BONA_FIDE) for part in (trials.train, trials.dev, *trials.conditions.values())
    )


def _count_sources(request: ReportRequest) -> int | None:
    """Bona fide files in the folder of the sources, if one was named."""
    if request.real is None:
        return None
    material = gather(request.data, request.split, request.real, 0)
    return sum(file.codec == REAL for file in material.files)


@contextmanager
def published_report(out: Path) -> Iterator[Path]:
    """Yield a folder beside ``out``, which takes its place when the block ends without an error.

    Raises:
        CodecfakeError: If ``out`` holds something that is no report or cannot be replaced, or another process writes
            it.
    """
    out = out.resolve()  # a link stays, as that of a web server to where its pages lie
    if out.is_mount():
        raise CodecfakeError(
            f"{out} is where a disk is mounted, so no report can take its place; nothing was written",
            next_step=f"--out {out / 'report'}",
        )
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise CodecfakeError(
            f"{out} is there, and is no report; nothing was written", next_step="give another --out"
        )
    out.parent.mkdir(parents=True, exist_ok=True)

    def refusal() -> CodecfakeError:
        return CodecfakeError(
            f"another process writes the report {out}", next_step="wait for it, or give another --out"
        )

    with sole_holder(out.with_name(f".{out.name}.lock"), refusal):
        draft = temporary_sibling(out)
        try:
            draft.mkdir()
            yield draft
            flush_all_to_disk([path for path in draft.rglob("*") if path.is_file()])
            if out.exists():
                out.rename(temporary_sibling(out))
            draft.rename(out)
            flush_to_disk(out.parent)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        # The former report, and what killed calls left.
        own = re.compile(re.escape(f"{TEMPORARY_PREFIX}{out.name}-") + "[0-9a-f]{12}")
        for stale in out.parent.iterdir():
            if own.fullmatch(stale.name):
                shutil.rmtree(stale, ignore_errors=True)
