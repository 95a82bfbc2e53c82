"""`codecs list`, `codecs describe` and `codecs fetch`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecfake.flows.commands import options

if TYPE_CHECKING:
    from codecfake.codec_adapters import CodecCard, OfficialCheckpoint

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", help="Codec ids or names.", show_default=False)
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="All codecs of a paper: codecfake, codecfake-bitrates or codecfake-15.", show_default=False
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="All codecs of this package.")]
WeightsFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder to put the weights into, e.g. for a machine without a network: --weights FOLDER there.",
        show_default="the caches",
    ),
]


def list_codecs(json: options.Json = False) -> None:
    """List every codec with its rates and licence, and whether its weights and its authors' package are here."""
    from codecfake.codec_adapters.presets import PRESETS
    from codecfake.codec_adapters.registry import built_in_codecs, external_codecs
    from codecfake.flows.codec_cards import LIST_COLUMNS, PACKAGE_COLUMNS, facts, list_row, package_rows
    from codecfake.flows.summaries import say
    from codecfake.flows.tables import show_json, show_table
    from codecfake.pipeline.weights import has_mini

    in_papers = [codec for preset in PRESETS.values() for codec in preset]
    known = built_in_codecs()
    cards = [known[codec].card for codec in dict.fromkeys([*in_papers, *known])]
    others = external_codecs()
    if json:
        outside = [{"id": name, "from": point.value} for name, point in others.items()]
        show_json([facts(card) for card in cards] + outside)
        return
    outside = [
        (name, f"from {point.value}", *[""] * (len(LIST_COLUMNS) - 2)) for name, point in others.items()
    ]
    show_table("Codecs", LIST_COLUMNS, [list_row(card) for card in cards] + outside)
    say("kbps: what the codes carry, with the papers' figure in brackets where it differs; codes: per frame.")
    for name, ids in PRESETS.items():
        say(f"--preset {name}: {', '.join(ids)}")
    say(f"--weights mini: {', '.join(card.id for card in cards if has_mini(card))}")
    show_table("Packages of the codecs' authors", PACKAGE_COLUMNS, package_rows(cards))
    say("Next: codecfake codecs describe NAME, codecfake codecs fetch NAME")


def describe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Codec id or name, e.g. F04.")],
    json: options.Json = False,
) -> None:
    """Show the card of one codec, and where its weights come from."""
    from codecfake.codec_adapters import find_codec
    from codecfake.flows.codec_cards import FILE_COLUMNS, card_rows, facts, file_rows
    from codecfake.flows.tables import show_json, show_table

    card = find_codec(name).card
    if json:
        show_json(facts(card))
        return
    show_table(card.title, ("fact", "value"), card_rows(card))
    if card.checkpoint:
        show_table(f"Official checkpoint {card.checkpoint.name}", FILE_COLUMNS, file_rows(card.checkpoint))


def fetch(
    names: Names = None,
    preset: Preset = None,
    everything: Everything = False,
    out: WeightsFolder = None,
) -> None:
    """Download official weights, verified; repeat the command to go on where it stopped."""
    from codecfake.flows.codec_cards import fetch_notice
    from codecfake.flows.running import monitored
    from codecfake.flows.summaries import say
    from codecfake.manifests.errors import CodecfakeError
    from codecfake.manifests.showing import for_terminal
    from codecfake.pipeline.weights_fetch import copy_official, fetch_official

    wanted = _wanted_checkpoints(names or [], preset, everything)
    out = out and out.absolute()
    failed = []
    say("The weights stay under the licences of their authors; codecfake does not pass them on.")
    with monitored() as monitor:
        for official, cards in wanted.items():
            for line in fetch_notice(official, cards):
                say(line)
            try:
                files = copy_official(cards[0], out, monitor) if out else fetch_official(cards[0], monitor)
            except CodecfakeError as error:
                if len(wanted) == 1:
                    raise
                typer.echo(for_terminal(f"Error: {error}"), err=True)
                failed.append(official.name)
                continue
            for path, digest in files.sha256.items():
                state = "fetched, verified" if path in files.fetched else "was here, verified"
                say(f"  {state}: {files.folder / path} (sha256 {digest})")
    if failed:
        raise CodecfakeError(
            f"{len(failed)} of {len(wanted)} checkpoints could not be fetched: {', '.join(failed)}",
            next_step="repeat the command once the causes above are gone; what is here stays",
        )
    if out:
        say(f"Next: codecfake build ... --weights {out}")


def _wanted_checkpoints(
    names: list[str], preset: str | None, everything: bool
) -> "dict[OfficialCheckpoint, list[CodecCard]]":
    """The checkpoints of what was asked for, each with the codecs that share it."""
    from codecfake.codec_adapters import find_codec
    from codecfake.codec_adapters.presets import preset_codecs
    from codecfake.codec_adapters.registry import built_in_codecs
    from codecfake.manifests.errors import CodecfakeError
    from codecfake.pipeline.weights_fetch import official_checkpoint

    cards = [find_codec(name).card for name in (*names, *(preset_codecs(preset) if preset else ()))]
    for card in cards:
        official_checkpoint(card)
    if everything:
        cards += [adapter.card for adapter in built_in_codecs().values()]
    if not cards:
        raise CodecfakeError(
            "nothing to fetch: no codec was named",
            next_step="codecfake codecs fetch F04, or --preset codecfake, or --all",
        )
    wanted: dict[OfficialCheckpoint, list[CodecCard]] = {}
    for card in dict.fromkeys(cards):
        if card.checkpoint:
            wanted.setdefault(card.checkpoint, []).append(card)
    return wanted
