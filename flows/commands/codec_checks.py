"""`codecs check` and `codecs new`."""

import time
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecfake.flows.commands import options

if TYPE_CHECKING:
    from codecfake.codec_adapters import CodecAdapter
    from codecfake.codec_adapters.contract import ContractResult
    from codecfake.pipeline.monitor import Monitor
    from codecfake.pipeline.weights import Checkpoint

CODECS_PER_TABLE = 8
MARKS = {True: "ok", False: "FAIL", None: "-"}


@dataclass(frozen=True)
class CodecReport:
    """What the contract check of one codec found."""

    codec: str
    results: "list[ContractResult]"
    seconds: float
    same_as: str | None = None
    """Codec with the same network and weights, whose results these are, all but the card's."""

    @property
    def failures(self) -> "list[ContractResult]":
        """What is wrong with it."""
        return [result for result in self.results if result.ok is False]


def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Codec ids or names.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All codecs, those of other installed packages too.")
    ] = False,
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="Published networks with random weights: needs no download."),
    ] = False,
    weights: options.Weights = None,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Measure whether adapters keep the contract (length, batches, level, ...); exit code 1 if one does not."""
    from codecfake.codec_adapters import codec_ids, find_codec
    from codecfake.flows.running import monitored
    from codecfake.flows.tables import show_json
    from codecfake.pipeline.devices import find_device

    if random_weights and weights:
        raise typer.BadParameter("--random-weights takes its place", param_hint="--weights")
    ids = codec_ids() if everything else [find_codec(name).card.id for name in names or []]
    if not ids:
        raise typer.BadParameter("name a codec, or give --all", param_hint="NAME")
    source = None if random_weights else weights or "official"
    with monitored() as monitor:
        reports = check_codecs(ids, source, find_device(device or "auto").name, monitor)
    if json:
        show_json([asdict(report) | {"ok": not report.failures} for report in reports])
    else:
        _show(reports)
    if any(report.failures for report in reports):
        raise typer.Exit(1)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Id of the new codec, e.g. my-codec.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; it must not exist.", show_default="NAME")
    ] = None,
) -> None:
    """Write a package with an adapter to start from: it installs, and keeps the contract, as it is."""
    from codecfake.flows.summaries import say
    from codecfake.pipeline.codec_skeleton import write_skeleton

    folder = out or Path(name)
    for path in write_skeleton(name, folder):
        say(f"  {path}")
    say(f"Next: pip install -e {folder}, then codecfake codecs check {name} --weights {folder}/weights")


def check_codecs(
    ids: Sequence[str], weights: str | None, device: str, monitor: "Monitor"
) -> list[CodecReport]:
    """Check codecs one after the other; a network that several share with its weights is run once.

    Args:
        ids: Codec ids.
        weights: As for ``find_checkpoint``; ``None`` for random ones.
        device: As torch names it.
        monitor: Told about each codec when it is done.
    """
    reports: list[CodecReport] = []
    done: dict[Hashable, CodecReport] = {}
    monitor.begin("Checking", len(ids), "codecs")
    for codec in ids:
        monitor.raise_if_stopped()
        report = _check_codec(codec, weights, device, done)
        told = ", ".join(result.name for result in report.failures)
        effort = f"as {report.same_as}" if report.same_as else f"{report.seconds:.0f} s"
        monitor.say(f"{codec}: {f'FAIL: {told}' if told else 'ok'} ({effort})")
        monitor.advance(1)
        reports.append(report)
    monitor.end()
    return reports


def _check_codec(
    codec: str, weights: str | None, device: str, done: dict[Hashable, CodecReport]
) -> CodecReport:
    from codecfake.codec_adapters import find_codec
    from codecfake.codec_adapters.contract import ContractResult, check_adapter, check_card
    from codecfake.pipeline.weights import find_checkpoint, load_codec

    began = time.monotonic()
    try:
        family = find_codec(codec)
        checkpoint = find_checkpoint(family.card, weights) if weights else None
        network = _network_key(family, checkpoint)
        if network in done:
            same = done[network]
            results = [
                check_card(family.card) if result.name == "card" else result for result in same.results
            ]
            return CodecReport(codec, results, 0.0, same.codec)
        if checkpoint:
            adapter = load_codec(codec, checkpoint, device)
        else:
            adapter = family(device)
            adapter.load_random()
    except Exception as error:  # what another package's adapter may raise
        loaded = ContractResult("load", False, str(error) or type(error).__name__)
        return CodecReport(codec, [loaded], time.monotonic() - began)
    loaded = ContractResult("load", True, f"{weights or 'random'} weights, {time.monotonic() - began:.1f} s")
    results = [loaded, *check_adapter(adapter, trained=weights is not None)]
    done[network] = CodecReport(codec, results, time.monotonic() - began)
    return done[network]


def _network_key(family: "type[CodecAdapter]", checkpoint: "Checkpoint | None") -> Hashable:
    """What decides the results of all checks but the card's."""
    import json

    from codecfake.codec_adapters.registry import built_in_codecs

    card = family.card
    if card.id not in built_in_codecs():
        return card.id
    sizes = json.dumps(dict(card.network), sort_keys=True, default=str)
    figures = (card.sample_rate, card.hop_length, card.codebooks, card.codebook_size, card.minimum_samples)
    weights = checkpoint and checkpoint.path
    return (family.__bases__, sizes, figures, card.batches, card.context_seconds, weights)


def _show(reports: Sequence[CodecReport]) -> None:
    from codecfake.flows.summaries import say
    from codecfake.flows.tables import show_table

    if len(reports) == 1:
        (report,) = reports
        rows = [(result.name, MARKS[result.ok], result.found) for result in report.results]
        show_table(f"Contract of {report.codec}", ("check", "result", "found"), rows)
        return
    checks = list(dict.fromkeys(result.name for report in reports for result in report.results))
    for first in range(0, len(reports), CODECS_PER_TABLE):
        part = reports[first : first + CODECS_PER_TABLE]
        marks = [{result.name: MARKS[result.ok] for result in report.results} for report in part]
        rows = [(name, *(found.get(name, "") for found in marks)) for name in checks]
        show_table(
            f"Contract, {part[0].codec} to {part[-1].codec}",
            ("check", *(report.codec for report in part)),
            rows,
        )
    say("-: measured, not judged; codecfake codecs check NAME, or --json, shows every figure.")
    for report in reports:
        for result in report.failures:
            say(f"{report.codec}, {result.name}: {' '.join(result.found.split())}")
