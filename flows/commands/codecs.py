"""`codecs list` and `codecs describe`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from codecfake.flows.commands import options

if TYPE_CHECKING:
    from codecfake.codec_adapters import CodecCard


def list_codecs(json: options.Json = False) -> None:
    """List every codec with its rate, bit rate, licence and weights."""
    from codecfake.codec_adapters.registry import built_in_codecs, external_codecs
    from codecfake.flows.tables import show_json, show_table
    from codecfake.pipeline.weights import has_mini

    cards = [adapter.card for adapter in built_in_codecs().values()]
    others = external_codecs()
    if json:
        show_json(
            [_facts(card) for card in cards]
            + [{"id": name, "from": point.value} for name, point in others.items()]
        )
        return
    rows = [
        (
            card.id,
            card.title,
            card.sample_rate,
            f"{card.kilobits_per_second:g}",
            card.codebooks,
            card.weights_licence,
            "official, mini" if has_mini(card) else "official",
        )
        for card in cards
    ]
    rows += [(name, f"from {point.value}", "", "", "", "", "") for name, point in others.items()]
    columns = ("id", "codec", "Hz", "kbps", "codebooks", "weights licence", "--weights")
    show_table("Codecs", columns, rows)


def describe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Codec id or name, e.g. F04.")],
    json: options.Json = False,
) -> None:
    """Show the card of one codec."""
    from codecfake.codec_adapters import find_codec
    from codecfake.flows.tables import show_json, show_table

    facts = _facts(find_codec(name).card)
    if json:
        show_json(facts)
    else:
        weights = facts.pop("weights") or {}
        facts |= {f"weights {key}": value for key, value in weights.items() if value}
        show_table(facts["title"], ("fact", "value"), [(key, str(value)) for key, value in facts.items()])


def _facts(card: "CodecCard") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(card) | {"kilobits_per_second": card.kilobits_per_second, "frame_rate": card.frame_rate}
