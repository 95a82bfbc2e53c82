"""`conditions`: test conditions through telephone and streaming codecs, with noise, and in rooms."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options


def conditions(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)
    ] = None,
    add: Annotated[
        str | None,
        typer.Option(
            help="Settings, separated by commas, e.g. opus16,mp3-32,amr-nb,gsm,noise-snr10,reverb.",
            show_default=False,
        ),
    ] = None,
    codecs: Annotated[
        str | None,
        typer.Option(help="Only these conditions or codecs, e.g. C1,C7.", show_default="all of the split"),
    ] = None,
    split: options.SplitName = None,
    listed: Annotated[
        bool, typer.Option("--list", help="List the settings, and which of them work here.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Derive C1-opus16 and so on from the test files, bona fide and fake alike; train and dev are left alone."""
    from codecfake.flows.conditions_summary import show_conditions, show_settings
    from codecfake.flows.running import find_split, monitored
    from codecfake.pipeline.conditions.derive import derive_conditions
    from codecfake.pipeline.conditions.settings import parse_setting

    if listed:
        show_settings(json=json)
        return
    names = _words(add or "")
    if run is None or not names:
        raise typer.BadParameter("give RUN and --add SETTING,..., or --list", param_hint="RUN --add")
    run = run.absolute()
    settings = {setting.name: setting for setting in map(parse_setting, names)}
    chosen = _words(codecs or "") or None
    with monitored() as monitor:
        results = derive_conditions(run, find_split(run, split), list(settings.values()), chosen, monitor)
    show_conditions(run, results, split=split, json=json)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
