"""`plan`, `build` and `reproduce`."""

from pathlib import Path

import typer

from codecfake.flows.commands import options


def plan(
    vctk: options.Vctk = None,
    aishell3: options.Aishell3 = None,
    out: options.Out = None,
    codecs: options.Codecs = None,
    sample_rate: options.SampleRate = None,
    microphone: options.Microphone = None,
    limit: options.Limit = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Show what a build would do, from file headers alone; nothing is written."""
    from dataclasses import asdict

    from codecfake.flows.running import monitored
    from codecfake.flows.tables import show_json, show_table
    from codecfake.pipeline.plan import plan_build

    settings = _settings(config, **_named(locals()))
    with monitored() as monitor:
        result = plan_build(settings, monitor)
    if json:
        show_json(asdict(result) | {"gigabytes": result.gigabytes})
        return
    rows = [
        (part.codec, part.title, part.shards, part.utterances, f"{part.hours:.3f}", f"{part.gigabytes:.3f}")
        for part in result.codecs
    ]
    columns = ("codec", "what", "shards", "utterances", "hours", "GB")
    show_table(f"A build into {settings.out} would publish", columns, rows)
    for reason, count in result.unusable.items():
        typer.echo(f"{count:,} files cannot be used: {reason} (codecfake corpora check lists them)")
    typer.echo(f"Audio in all: {result.gigabytes:.3f} GB; free there: {result.free_gigabytes:.1f} GB")
    if result.gigabytes > result.free_gigabytes:
        typer.echo("That does not fit: give another --out, a lower --sample-rate or a --limit.")
        raise typer.Exit(1)


def build(
    vctk: options.Vctk = None,
    aishell3: options.Aishell3 = None,
    out: options.Out = None,
    codecs: options.Codecs = None,
    sample_rate: options.SampleRate = None,
    weights: options.Weights = None,
    device: options.Device = None,
    microphone: options.Microphone = None,
    limit: options.Limit = None,
    config: options.Config = None,
    no_prefect: options.NoPrefect = False,
) -> None:
    """Build the dataset into a run folder, or finish a build that was stopped or killed."""
    from codecfake.flows.running import run_build
    from codecfake.flows.summaries import show_build

    settings = _settings(config, **_named(locals()))
    show_build(settings.out, run_build(settings, use_prefect=not no_prefect))


def reproduce(
    vctk: options.Vctk = None,
    aishell3: options.Aishell3 = None,
    out: options.Out = None,
    codecs: options.Codecs = None,
    sample_rate: options.SampleRate = None,
    weights: options.Weights = None,
    device: options.Device = None,
    microphone: options.Microphone = None,
    limit: options.Limit = None,
    config: options.Config = None,
    no_prefect: options.NoPrefect = False,
) -> None:
    """Build the dataset, train Mel-LCNN on it and print its EER per condition: everything in one command."""
    from codecfake.flows.running import run_reproduce
    from codecfake.flows.summaries import show_evaluation

    settings = _settings(config, **_named(locals()))
    show_evaluation(run_reproduce(settings, use_prefect=not no_prefect))


def _named(arguments: dict[str, object]) -> dict[str, object]:
    names = ("vctk", "aishell3", "out", "codecs", "sample_rate", "weights", "device", "microphone", "limit")
    return options.given(**{name: arguments.get(name) for name in names})


def _settings(config: Path | None, **overrides: object):
    from codecfake.pipeline.config import make_config, read_settings

    settings = read_settings(config) if config else {}
    where = f"{config} and the command line" if config else "the command line"
    return make_config(settings | overrides, where)
