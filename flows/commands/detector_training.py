"""`train`."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options

MODELS = "mel-lcnn, w2v2-lcnn, w2v2-aasist or wavlm-aasist."


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A run folder, the Codecfake download, ASVspoof 2019 LA, or another data set with train and dev.",
        ),
    ],
    model: Annotated[str, typer.Option(help=MODELS)] = "mel-lcnn",
    co_train: Annotated[
        Path | None,
        typer.Option("--with", help="A second data set to train on, too, e.g. LA.", show_default=False),
    ] = None,
    optimizer: Annotated[
        str,
        typer.Option(help="adam, sam, asam, or csam: sam on batches of DATA and --with in proportion."),
    ] = "adam",
    rho: Annotated[
        float | None, typer.Option(help="Radius of sam, asam and csam.", show_default="0.05; asam 2.0")
    ] = None,
    parity: Annotated[
        str | None,
        typer.Option(help="original: with the quirks of the authors' scripts.", show_default="none"),
    ] = None,
    frontend_config: Annotated[
        str,
        typer.Option(help="official, tiny (small and random, to try things out), or a folder of weights."),
    ] = "official",
    features: Annotated[
        list[Path] | None,
        typer.Option(
            help="Features that `codecfake features` cached; once for each data set.",
            show_default="computed on the fly",
        ),
    ] = None,
    split: options.SplitName = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the detector inside a run folder.", show_default="the model's"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the detector.", show_default="DATA/detectors/NAME in a run folder"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, show_default="10; 100 on ASVspoof 2019 LA alone")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Over all devices.", show_default="128")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(show_default="5e-4")] = None,
    halve_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Halve the learning rate after so many epochs.",
            show_default="2; 10 on ASVspoof 2019 LA alone",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, show_default="688")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="GPUs of this host that train together.")] = 1,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Time between checkpoints within an epoch.")
    ] = 10.0,
    no_prefect: options.NoPrefect = False,
) -> None:
    """Train a detector, or go on with its training; the defaults are the paper's."""
    from codecfake.detector.training.processes import is_first_process, starts_processes
    from codecfake.flows.running import Training, find_split, run_training
    from codecfake.flows.summaries import say
    from codecfake.pipeline.status import is_run as is_run_folder

    is_run = is_run_folder(data)
    if out is None and not is_run:
        raise typer.BadParameter("needed, because DATA is no run folder of ours", param_hint="--out")
    if out is not None and name is not None:
        raise typer.BadParameter(
            "names a detector inside a run folder, and --out is another place", param_hint="--name"
        )
    name = name or model
    detector_dir = out or data / "detectors" / name
    if frontend_config not in ("official", "tiny"):
        frontend_config = str(Path(frontend_config).absolute())
    training = Training(
        data=str(data.absolute()),
        out=str(detector_dir.absolute()),
        settings=options.given(
            model=model,
            front_end_weights=frontend_config,
            optimizer=optimizer,
            rho=rho,
            parity=parity,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            halve_every=halve_every,
            seed=seed,
        ),
        split=find_split(data, split) if is_run else split,
        co_train=str(co_train.absolute()) if co_train else None,
        features=[str(folder.absolute()) for folder in features or ()],
        device=device,
        devices=devices,
        checkpoint_minutes=checkpoint_minutes,
    )
    # Several processes run this command, and one Prefect server would be several.
    use_prefect = not no_prefect and not starts_processes(devices)
    home = data.absolute() if is_run else detector_dir.absolute()
    result = run_training(training, home=home, use_prefect=use_prefect)
    if not is_first_process():
        return
    say(
        f"Best epoch {result.best_epoch}: dev loss {result.best_dev_loss:.4f}, "
        f"dev EER {result.best_dev_eer_percent:.3f} %. Detector: {detector_dir}"
    )
    if frontend_config == "tiny" and model != "mel-lcnn":
        say(
            "The front end was a small random network: these numbers say nothing about the paper's detectors."
        )
    if out is None:
        say(f"Next: codecfake score {data} --name {name}, then codecfake evaluate {data} --name {name}")
    else:
        say(f"Next: codecfake score DATA --detector {out}")
