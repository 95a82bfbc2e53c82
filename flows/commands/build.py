"""`plan`, `build` and `reproduce`."""

from typing import TYPE_CHECKING, Any

import typer

from codecfake.flows.commands import options

if TYPE_CHECKING:
    from codecfake.pipeline.config import RunConfig


def plan(
    context: typer.Context,
    vctk: options.Vctk = None,
    aishell3: options.Aishell3 = None,
    out: options.Out = None,
    codecs: options.Codecs = None,
    preset: options.Preset = None,
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

    settings = _settings(context.params)
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
    context: typer.Context,
    vctk: options.Vctk = None,
    aishell3: options.Aishell3 = None,
    out: options.Out = None,
    store: options.Store = None,
    codecs: options.Codecs = None,
    preset: options.Preset = None,
    sample_rate: options.SampleRate = None,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: options.Precision = None,
    backend: options.Backend = None,
    input_peak: options.InputPeak = None,
    microphone: options.Microphone = None,
    limit: options.Limit = None,
    config: options.Config = None,
    pool: options.Pool = None,
    no_prefect: options.NoPrefect = False,
) -> None:
    """Build the dataset into a run folder, or finish a build that was stopped or killed."""
    from codecfake.flows.running import run_build
    from codecfake.flows.summaries import show_build

    options.refuse_pool_without_prefect(pool, no_prefect)
    settings = _settings(context.params)
    show_build(settings.out, run_build(settings, use_prefect=not no_prefect, pool=pool))


def reproduce(
    context: typer.Context,
    vctk: options.Vctk = None,
    aishell3: options.Aishell3 = None,
    out: options.Out = None,
    store: options.Store = None,
    codecs: options.Codecs = None,
    preset: options.Preset = None,
    sample_rate: options.SampleRate = None,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: options.Precision = None,
    backend: options.Backend = None,
    input_peak: options.InputPeak = None,
    microphone: options.Microphone = None,
    limit: options.Limit = None,
    config: options.Config = None,
    no_prefect: options.NoPrefect = False,
) -> None:
    """Build the dataset, train Mel-LCNN on it and print its EER per condition: everything in one command."""
    from codecfake.flows.running import run_reproduce
    from codecfake.flows.summaries import show_evaluation

    settings = _settings(context.params)
    show_evaluation(run_reproduce(settings, use_prefect=not no_prefect))


def _settings(given: dict[str, Any]) -> "RunConfig":
    """Settings of the configuration file, if one is named, overridden by the options that were typed."""
    from codecfake.pipeline.config import RunConfig, make_config, read_settings

    config = given["config"]
    typed = {name: given[name] for name in (*RunConfig.model_fields, "preset") if given.get(name) is not None}
    settings = read_settings(config) if config else {}
    where = f"{config} and the command line" if config else "the command line"
    return make_config(settings | typed, where)
