"""`status`, `verify`, `retry` and `splits`: commands on a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


def status(run: options.RunFolder, json: options.Json = False) -> None:
    """Show what is published, what is quarantined and why."""
    from dataclasses import asdict

    from codecfake.flows.summaries import show_status
    from codecfake.flows.tables import show_json
    from codecfake.pipeline.status import status_of

    result = status_of(run)
    if json:
        show_json(asdict(result) | {"is_complete": result.is_complete})
    else:
        show_status(run, result)


def verify(
    run: Annotated[Path, typer.Argument(metavar="DATA", help="A run folder, an export, or a download.")],
    json: options.Json = False,
) -> None:
    """Check a run or an export against what was written, a download against its lists; exit code 1 if not whole."""
    from contextlib import suppress
    from dataclasses import asdict

    from codecfake.flows.completeness_summary import verify_dataset
    from codecfake.flows.export_check_summary import verify_export
    from codecfake.flows.running import monitored
    from codecfake.flows.summaries import show_verification
    from codecfake.flows.tables import show_json
    from codecfake.manifests.records import DamagedFileError
    from codecfake.pipeline.exports.checking import find_export
    from codecfake.pipeline.imports.record import read_import
    from codecfake.pipeline.status import is_run, planned_in
    from codecfake.pipeline.verification import verify as verify_run

    if not is_run(run):
        export = find_export(run.absolute())
        if not (verify_export(export, json=json) if export else verify_dataset(run.absolute(), json=json)):
            raise typer.Exit(1)
        return
    planned = []
    with suppress(
        DamagedFileError
    ):  # verification names the file; what its shards lack is told once it is whole
        planned = planned_in(run)
    with monitored() as monitor:
        report = verify_run(run.absolute(), planned, monitor)
    if json:
        show_json(asdict(report) | {"is_whole": report.is_whole})
    else:
        show_verification(run, report, is_imported=read_import(run) is not None)
    if not report.is_whole:
        raise typer.Exit(1)


def retry(
    run: options.RunFolder,
    reason: Annotated[
        str | None, typer.Option(help="Retry only what failed for this reason.", show_default="every reason")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda (all GPUs) or cuda:1.", show_default="the run's")
    ] = None,
    pool: options.Pool = None,
    no_prefect: options.NoPrefect = False,
) -> None:
    """Redo only what is quarantined, or what `verify` found damaged."""
    from codecfake.flows.running import run_retry
    from codecfake.flows.summaries import say, show_build
    from codecfake.manifests.reasons import Reason
    from codecfake.pipeline.config import make_config, saved_config

    options.refuse_pool_without_prefect(pool, no_prefect)
    config = saved_config(run, needs_codecs=True)
    if device:
        config = make_config(config.model_dump() | {"device": device})
    report = run_retry(
        config, Reason.parse(reason) if reason else None, use_prefect=not no_prefect, pool=pool
    )
    if report.plan is None:
        if report.build.shards_done:
            say("Finished what was planned before.")
        if report.mended:
            say(f"Made again: {len(report.mended)} damaged files.")
        elif not report.build.shards_done:
            say("Nothing to retry.")
    else:
        say(
            f"Retry {report.plan.number}: read {report.plan.files_read_again} quarantined files again, "
            f"{report.plan.files_usable_now} are usable now; redid {report.plan.items} outputs."
        )
    show_build(run, report.build)


def splits(
    run: options.RunFolder,
    policy: Annotated[str, typer.Option(help="published or speaker-disjoint.")] = "published",
    labels: Annotated[
        Path | None, typer.Option(help="Folder with the authors' own label files, instead of a policy.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split.", show_default="the run's")] = None,
    json: options.Json = False,
) -> None:
    """Split what a run has published, and make its Codecfake tree and manifests."""
    from codecfake.flows.running import monitored
    from codecfake.flows.summaries import show_split
    from codecfake.flows.tables import show_json
    from codecfake.manifests.errors import CodecfakeError
    from codecfake.pipeline.run_lock import run_lock
    from codecfake.pipeline.run_splits import split_run

    if policy not in ("published", "speaker-disjoint"):
        raise typer.BadParameter(
            f"{policy!r} is neither published nor speaker-disjoint", param_hint="--policy"
        )
    run = run.absolute()
    if not run.is_dir():  # the lock would make one
        raise CodecfakeError(f"{run} is no folder", cause="the path is mistyped")
    with monitored() as monitor, run_lock(run, monitor.stop.set):
        report = split_run(run, policy=policy, labels=labels, seed=seed, monitor=monitor)
    if json:
        show_json({"name": report.name, "folder": report.folder} | report.summary)
    else:
        show_split(report)
