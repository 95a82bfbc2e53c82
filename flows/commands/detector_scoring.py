"""`score`: a detector's scores for a run folder or a downloaded dataset."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A run folder, or a downloaded dataset: Codecfake, ASVspoof 2019 LA, 2021 LA/DF, 5, In-the-Wild, "
        "CodecFake.",
    ),
]


def score(
    data: Data,
    name: options.DetectorName = "mel-lcnn",
    detector: Annotated[
        Path | None,
        typer.Option(help="Folder of the detector.", show_default="DATA/detectors/NAME"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the scores.",
            show_default="scores in the detector's folder; scores/DATASET for data that is not its run",
        ),
    ] = None,
    conditions: Annotated[
        str | None,
        typer.Option(help="Score only these, separated by commas, e.g. dev,C7.", show_default="all"),
    ] = None,
    split: options.SplitName = None,
    frontend_config: Annotated[
        str | None,
        typer.Option(
            help="official, or a folder of the front end's weights.", show_default="as it was trained"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Files per network run.")] = 32,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Write the scores once more as asvspoof2019, asvspoof2021 or antideepfake.",
            show_default="TSV only",
        ),
    ] = None,
) -> None:
    """Score dev and every condition: TSV files with a header, higher means bona fide; run again, it goes on."""
    from codecfake.detector.score_exports import FORMS, export_scores
    from codecfake.detector.scoring import score as score_dataset
    from codecfake.flows.running import monitored
    from codecfake.flows.summaries import say
    from codecfake.manifests.errors import CodecfakeError
    from codecfake.pipeline.devices import find_device

    if form is not None and form not in FORMS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(FORMS)}", param_hint="--format")
    if not data.is_dir():
        raise CodecfakeError(f"{data} is no folder", cause="the path is mistyped")
    folder = detector or data / "detectors" / name
    with monitored() as monitor:
        result = score_dataset(
            data,
            folder,
            find_device(device).name,
            monitor.say,
            scores_dir=out and out.absolute(),
            conditions=conditions.split(",") if conditions else None,
            split=split,
            batch_size=batch_size,
            front_end_weights=frontend_config,
        )
    if form:
        export_scores(result.scores_dir, result.parts, form)
    say(
        f"Scored {result.scored:,} files, {result.reused:,} were scored before, "
        f"{len(result.unreadable):,} could not be read. Scores: {result.scores_dir}"
    )
    if detector is None and out is None:
        say(f"Next: codecfake evaluate {data} --name {name}")
