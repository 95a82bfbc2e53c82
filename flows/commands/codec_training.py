"""`codecs train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecfake.flows.commands import options

if TYPE_CHECKING:
    from codecfake.pipeline.codec_training.loop import TrainingResult

MEASURES = {"stoi": "STOI", "pesq": "PESQ", "si_sdr": "SI-SDR dB", "mel_distance": "mel distance dB"}
CHOICES = {"recipe": ("paper", "mini"), "precision": ("fp32", "bf16")}


def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Codec id or name, e.g. F01.")],
    data: Annotated[
        str,
        typer.Option(
            help="Folder of audio, root of LibriTTS, run folder, .txt or .csv of paths, or espeak[:SECONDS]."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the weights; --weights takes it afterwards.")],
    recipe: Annotated[
        str, typer.Option(help="paper: full size, as published; mini: reduced, minutes on a CPU.")
    ] = "mini",
    subsets: Annotated[
        str | None,
        typer.Option(help="Of LibriTTS, e.g. train-clean-100.", show_default="its training subsets"),
    ] = None,
    validate: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of clips to validate with, too; may be repeated.", show_default=False),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Length of the training.", show_default="the recipe's")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after so long; the same command goes on.", show_default="no limit"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="GPUs that train one network together.")] = 1,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16.", show_default="the recipe's")] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Time between checkpoints, each with a short validation.")
    ] = 10.0,
    json: options.Json = False,
) -> None:
    """Train a codec's network, or go on with its training, and write weights that --weights reads."""
    from codecfake.codec_adapters import find_codec
    from codecfake.flows.running import monitored, stopped_between_steps
    from codecfake.flows.tables import show_json
    from codecfake.pipeline.codec_training.loop import train as train_codec
    from codecfake.pipeline.codec_training.settings import TrainingSettings

    for option, value in (("recipe", recipe), ("precision", precision)):
        if value not in (None, *CHOICES[option]):
            raise typer.BadParameter(
                f"{value!r} is not {' or '.join(CHOICES[option])}", param_hint=f"--{option}"
            )
    settings = TrainingSettings(
        codec=find_codec(name).card.id,
        data=data,
        out=out.absolute(),
        recipe=recipe,
        subsets=tuple(part.strip() for part in (subsets or "").split(",") if part.strip()),
        validate=tuple(validate or ()),
        steps=steps,
        minutes=minutes,
        seed=seed,
        device=device,
        devices=devices,
        precision=precision,
        checkpoint_minutes=checkpoint_minutes,
    )
    with monitored() as monitor, stopped_between_steps(monitor):
        result = train_codec(settings, monitor)
    if result.weights and json:
        show_json(
            {"weights": result.weights, "step": result.step, "steps": result.steps, "metrics": result.metrics}
        )
    elif result.weights:
        _show(settings.codec, result)


def _show(codec: str, result: "TrainingResult") -> None:
    from codecfake.flows.summaries import say
    from codecfake.flows.tables import show_table
    from codecfake.pipeline.codec_training.validation import missing_measures

    rows = [
        (name, means["clips"], *("-" if means[key] is None else f"{means[key]:.3f}" for key in MEASURES))
        for name, means in result.metrics.items()
    ]
    title = f"{codec} after {result.step:,} of {result.steps:,} steps, as it is stored"
    show_table(title, ("clips", "count", *MEASURES.values()), rows)
    if missing := missing_measures():
        say(f"Not measured, because not installed: {', '.join(missing)}")
    if result.step < result.steps:
        say("Not finished: the same command goes on.")
    say(
        f"Weights: {result.weights}. Next: codecfake build ... --codecs {codec} --weights {result.weights.parent}"
    )
