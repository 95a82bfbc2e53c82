"""`evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from codecfake.flows.commands import options

PAPER = "paper"


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="A run folder or dataset that was scored, or score files and folders of such.",
        ),
    ],
    name: options.DetectorName = "mel-lcnn",
    detector: Annotated[
        Path | None,
        typer.Option(help="Folder of the detector that scored PATH.", show_default="PATH/detectors/NAME"),
    ] = None,
    split: options.SplitName = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labels for files without: an ASVspoof key or protocol, a label file, a dataset folder; repeatable.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of score files: tsv, authors, asvspoof2019, asvspoof2021 or antideepfake.",
            show_default="by content",
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="What the scores are, for actDCF and Cllr: llr or probability.", show_default=False
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Threshold of the confusions.",
            show_default="that of dev, else 0.5 for scores in 0..1, else 0",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=0, help="Bootstrap rounds for the 95 % intervals; 0 for none.")
    ] = 1000,
    against: Annotated[
        str | None, typer.Option(help="paper: print the paper's numbers beside ours.", show_default=False)
    ] = None,
    row: Annotated[
        str | None,
        typer.Option(help="Row of the paper, e.g. codec/w2v2-aasist.", show_default="as it was trained"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Folder for tables and figures of score files.", show_default="print only"
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Print error rates, costs and their intervals for a scored detector or for anyone's score files."""
    from codecfake.detector.evaluation import evaluate_files, evaluate_scored
    from codecfake.detector.evaluation.against_paper import compare_with_paper, publish_comparison
    from codecfake.detector.evaluation.score_scales import parse_scale
    from codecfake.flows.summaries import show_comparison, show_evaluation
    from codecfake.flows.tables import show_json
    from codecfake.manifests.errors import CodecfakeError

    if against not in (None, PAPER):
        raise CodecfakeError(f"cannot compare with {against!r}", next_step="--against paper")
    if row and not against:
        raise CodecfakeError("--row is a row of the paper", next_step=f"--against paper --row {row}")
    description = None
    if detector or any(_is_run(path) for path in paths):
        given = {"--key": key, "--format": form, "--scores": scores, "--threshold": threshold, "--out": out}
        wrong = [option for option, value in given.items() if value is not None]
        if len(paths) > 1 or wrong:
            raise CodecfakeError(
                f"{paths[0]}: one dataset is evaluated at a time"
                + (f", without {wrong[0]}" if wrong else ""),
                cause="labels, scores and threshold come from the data and the detector",
                next_step=f"codecfake evaluate {paths[0]} --name {name}",
            )
        detector_dir = (detector or paths[0] / "detectors" / name).absolute()
        result, folder = evaluate_scored(paths[0].absolute(), detector_dir, split=split, rounds=rounds)
        description = _description(detector_dir)
    else:
        if split and not any(_is_run(path) for path in key or ()):
            raise CodecfakeError(
                f"score files have no split {split!r}",
                next_step="leave --split out, or name the run folder whose split it is with --key",
            )
        folder = out
        result = evaluate_files(
            paths,
            keys=key or [],
            split=split,
            format_name=form,
            scale=parse_scale(scores),
            threshold=threshold,
            rounds=rounds,
            out=out,
        )
    comparison = compare_with_paper(result, row, description) if against else None
    if comparison and folder:
        publish_comparison(folder, comparison)
    if json:
        cells = {"against_paper": comparison.table().to_json()} if comparison else {}
        show_json(result.to_json() | cells)
        return
    show_evaluation(result)
    if comparison:
        show_comparison(comparison)


def _is_run(path: Path) -> bool:
    return (path / "splits").is_dir() or (path / "detectors").is_dir()


def _description(detector_dir: Path) -> dict:
    from codecfake.detector.model import read_description

    return read_description(detector_dir)
