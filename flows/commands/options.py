"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.pipeline.object_store import located

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, made by `codecfake build` or `import`.")
]
_CORPUS = {"parser": located, "metavar": "PATH|URL", "show_default": False}
Vctk = Annotated[Path | None, typer.Option(help="Root of VCTK 0.92 or 0.80, also s3://...", **_CORPUS)]
Aishell3 = Annotated[Path | None, typer.Option(help="Root of AISHELL-3, also s3://...", **_CORPUS)]
Microphone = Annotated[
    str | None, typer.Option(help="Recording of VCTK 0.92: mic1 or mic2.", show_default="mic1")
]
Out = Annotated[Path | None, typer.Option(help="The run folder.", show_default=False)]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Object store that the run is shared in, e.g. s3://bucket/run: shards go there as they are done.",
        show_default="none",
    ),
]
Codecs = Annotated[
    str | None, typer.Option(help="Codec ids, separated by commas, e.g. F04,F07.", show_default="F01 to F07")
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="A paper's codecs: codecfake, codecfake-bitrates or codecfake-15; --codecs adds to them.",
        show_default="codecfake",
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(
        help="codecfake, or upstream: the packages of the codecs' authors.", show_default="codecfake"
    ),
]
InputPeak = Annotated[
    str | None,
    typer.Option(
        help="Bring a codec's input to a peak, e.g. B1=0.95,B2=0.95,B3=0.95 as CodecFake did.",
        show_default="as it is",
    ),
]
SampleRate = Annotated[
    str | None,
    typer.Option(help="Rate of all audio written in Hz, or native: each codec's own.", show_default="16000"),
]
Weights = Annotated[
    str | None, typer.Option(help="official, mini, or a folder of checkpoints.", show_default="official")
]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda (all GPUs) or cuda:1.", show_default="auto")
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32, or tf32: on a GPU, for those codecs whose codes it leaves alone (measured, 99.9 % of frames).",
        show_default="float32",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Take only so many utterances, spread over the corpora.", show_default="all"),
]
Config = Annotated[
    Path | None, typer.Option(help="YAML or TOML file of settings; options given here override it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
Pool = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="POOL",
        help="Let the workers of a work pool do it: codecfake deploy, codecfake worker.",
        show_default="this machine",
    ),
]
NoPrefect = Annotated[bool, typer.Option("--no-prefect", help="Run the same functions in a plain loop.")]
SplitName = Annotated[
    str | None,
    typer.Option("--split", help="Name of the split, where the run has several.", show_default=False),
]
DetectorName = Annotated[str, typer.Option("--name", help="Name of the detector inside the run.")]


def given(**options: object) -> dict[str, object]:
    """The options that the user typed."""
    return {name: value for name, value in options.items() if value is not None}


def refuse_pool_without_prefect(pool: str | None, no_prefect: bool) -> None:
    """Refuse two options that exclude each other."""
    if pool and no_prefect:
        raise typer.BadParameter("workers are reached through Prefect", param_hint="--on with --no-prefect")
