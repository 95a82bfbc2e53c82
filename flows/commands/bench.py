"""`bench`: how fast resynthesis and the detectors are on this machine, and what limits them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codecfake.flows.commands import options

if TYPE_CHECKING:
    from codecfake.flows.bench_tables import BenchTable

FEATURE_MODELS = ("mel-lcnn", "w2v2-aasist", "wavlm-aasist")
"""A model per front end."""
TRAININGS = (
    ("mel-lcnn", "audio", "adam"),
    ("w2v2-aasist", "audio", "csam"),
    ("w2v2-aasist", "features", "csam"),
)
"""Model, what it is trained from, optimizer."""

Models = Annotated[
    str | None,
    typer.Option(help="Detectors, separated by commas.", show_default="one per front end"),
]
FrontEnd = Annotated[str, typer.Option("--weights", help="random (published sizes) or tiny.")]
Results = Annotated[Path, typer.Option("--out", help="Folder for the results, as JSON and Markdown.")]
RESULTS = Path("benchmarks/results")


def resynthesis(
    codecs: options.Codecs = None,
    device: options.Device = None,
    weights: Annotated[
        str, typer.Option(help="random (published sizes), mini, official, or a folder of checkpoints.")
    ] = "random",
    out: Results = RESULTS,
    json: options.Json = False,
) -> None:
    """Measure each codec in the pipeline, alone, and in a loop over files; needs nothing but time."""
    from codecfake.codec_adapters import find_codec
    from codecfake.codec_adapters.presets import preset_codecs
    from codecfake.flows.bench_tables import RESYNTHESIS
    from codecfake.flows.running import monitored
    from codecfake.pipeline.bench.resynthesis_bench import bench_resynthesis

    wanted = _names(codecs) if codecs else preset_codecs("codecfake")
    ids = [find_codec(name).card.id for name in wanted]
    settled, about = _settle(device)
    rows = []
    with monitored() as monitor:
        monitor.begin("Measuring", len(ids), "codecs")
        for row in bench_resynthesis(ids, settled, weights, monitor):
            monitor.say(
                f"{row['codec']}: {row['audio_seconds_per_second']:,}x real time, {row['ratio_to_bare']} of the bare "
                f"network, {row['ratio_to_loop']} times the loop"
            )
            monitor.advance(1)
            rows.append(row)
        monitor.end()
    _hand_over(RESYNTHESIS, rows, about, out, _file_name("resynthesis", settled, weights, codecs), json)


def io(out: Results = RESULTS, json: options.Json = False) -> None:
    """Measure reading, resampling and writing, and the pipeline with a codec and a sink that do nothing."""
    from codecfake.flows.bench_tables import IO
    from codecfake.flows.running import monitored
    from codecfake.manifests.measurements import environment
    from codecfake.pipeline.bench.io_bench import bench_io

    about = environment()
    with monitored() as monitor:
        rows = bench_io(monitor)
    _hand_over(IO, rows, about, out, "io", json)


def features(
    models: Models = None,
    device: options.Device = None,
    weights: FrontEnd = "random",
    out: Results = RESULTS,
    json: options.Json = False,
) -> None:
    """Measure computing the features of front ends: the cache, the bare network, and a loop over files."""
    from codecfake.detector.bench.features import bench_features
    from codecfake.detector.descriptions import MODELS
    from codecfake.flows.bench_tables import FEATURES
    from codecfake.flows.running import monitored

    settled, about = _settle(device)
    wanted = _detectors(models, MODELS) if models else FEATURE_MODELS
    rows = []
    with monitored() as monitor:
        for model in wanted:
            rows.append(bench_features(model, settled, weights=weights))
            monitor.say(f"{model}: {rows[-1]['utterances_per_second']} utterances/s")
    _hand_over(FEATURES, rows, about, out, _file_name("features", settled, weights, models), json)


def train(
    models: Models = None,
    device: options.Device = None,
    weights: FrontEnd = "random",
    out: Results = RESULTS,
    json: options.Json = False,
) -> None:
    """Measure training steps of detectors: our loader, the bare network, and torch's DataLoader."""
    from codecfake.detector.bench.training import bench_training
    from codecfake.flows.bench_tables import TRAINING
    from codecfake.flows.running import monitored

    measured = dict.fromkeys(model for model, _, _ in TRAININGS)
    wanted = _detectors(models, measured) if models else measured
    settled, about = _settle(device)
    rows = []
    with monitored() as monitor:
        for model, source, optimizer in TRAININGS:
            if model in wanted:
                choice = {"weights": weights, "optimizer": optimizer, "source": source}
                rows.append(bench_training(model, settled, **choice))
                monitor.say(f"{model} from {source}: {rows[-1]['utterances_per_second']} utterances/s")
    _hand_over(TRAINING, rows, about, out, _file_name("train", settled, weights, models), json)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _detectors(text: str, known: Collection[str]) -> list[str]:
    names = _names(text)
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint="--models")
    return names


def _settle(device: str | None) -> tuple[str, dict[str, Any]]:
    """The device as torch names it, and the machine before it is put to work."""
    from codecfake.manifests.measurements import environment
    from codecfake.pipeline.devices import find_devices

    return find_devices(device or "auto")[0], environment()


def _file_name(work: str, device: str, weights: str, chosen: str | None) -> str:
    """What results are called; those of a few codecs or models leave those of all alone."""
    kind = Path(weights).name
    parts = [work, device.partition(":")[0], *([] if kind == "random" else [kind])]
    return "_".join([*parts, *(["+".join(_names(chosen))] if chosen else [])])


def _hand_over(
    table: "BenchTable",
    rows: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
    out: Path,
    name: str,
    json: bool,
) -> None:
    """Show results, and write them."""
    from codecfake.flows.summaries import say
    from codecfake.flows.tables import show_json, show_table
    from codecfake.manifests.measurements import write_result

    result = {"environment": about, "rows": list(rows)}
    path = write_result(out, name, result, table.page(rows))
    if json:
        show_json(result)
        return
    for titles, cells in table.tables(rows):
        show_table(table.title, titles, cells)
    say(f"Written: {path}, and {path.with_suffix('.md').name} for people")
