"""What a person reads of a codec: its row in the list, its whole card, and the notice before its weights come."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from codecfake.codec_adapters.backends import UpstreamPackage, availability, upstream_package
from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.presets import PRESETS
from codecfake.pipeline.weights import describe_mini, has_mini
from codecfake.pipeline.weights_fetch import addresses, is_on_hub, missing_files

LIST_COLUMNS = ("id", "codec", "Hz", "kbps", "codes", "official weights")
PACKAGE_COLUMNS = ("package", "codecs", "--backend upstream")
FILE_COLUMNS = ("file", "MB", "sha256", "here", "from")


def list_row(card: CodecCard) -> tuple[object, ...]:
    """A codec's row under ``LIST_COLUMNS``; the rest is in ``card_rows``."""
    return (
        card.id,
        card.title,
        card.sample_rate,
        _bit_rate(card),
        card.codebooks,
        _official_state(card),
    )


def card_rows(card: CodecCard) -> list[tuple[str, str]]:
    """Everything on a card, as facts and values; what it leaves open is left out."""
    frames = f"{card.hop_length} samples per frame, {card.frame_rate:g} frames per second"
    rows = [
        ("id", card.id),
        ("name", card.name),
        ("paper", card.paper),
        ("rate", f"{card.sample_rate:,} Hz, {frames}"),
        ("codes", f"{card.codebooks} per frame, {card.codebook_size} entries each"),
        ("kbps", _bit_rate(card)),
        ("shortest input", f"{card.minimum_samples} samples" if card.minimum_samples > 1 else ""),
        ("padding", card.padding),
        ("batches", card.batches),
        ("delay", card.delay),
        ("overlap of chunks", f"{card.context_seconds:g} s"),
        ("conventions", card.conventions),
        ("code licence", card.code_licence),
        ("weights licence", card.weights_licence),
        ("training data", card.training_data),
        ("VCTK, AISHELL-3 in it", card.leakage),
        ("presets", ", ".join(_presets(card))),
        ("network", ", ".join(f"{size} {value}" for size, value in card.network.items())),
        ("parity", card.parity),
        ("official weights", _official_state(card)),
        ("mini network", _mini_state(card)),
        ("--backend upstream", _upstream_reason(card)),
    ]
    return [(fact, value) for fact, value in rows if value]


def _mini_state(card: CodecCard) -> str:
    mini = describe_mini(card)
    if not mini:
        return "none"
    stoi = ", ".join(f"{name} {means['stoi']:.2f}" for name, means in mini["metrics"].items())
    return (
        f"ships with codecfake: --weights mini; for {mini['purpose']}; {mini['bytes'] / 1e6:.1f} MB, "
        f"trained on {mini['data']['what']}; STOI: {stoi}; sha256 {mini['sha256']}"
    )


def file_rows(official: OfficialCheckpoint) -> list[tuple[object, ...]]:
    """The files of a checkpoint under ``FILE_COLUMNS``."""
    missing = missing_files(official)
    unpinned = "as the hub has it" if is_on_hub(official) else "as first fetched"
    return [
        (
            file.path,
            f"{file.megabytes:g}",
            file.sha256 or unpinned,
            file not in missing,
            "\n".join(addresses(official, file)),
        )
        for file in official.files
    ]


def facts(card: CodecCard) -> dict[str, Any]:
    """A card for programs, with what is known of its weights and its upstream package on this machine."""
    return asdict(card) | {
        "kilobits_per_second": card.kilobits_per_second,
        "frame_rate": card.frame_rate,
        "presets": _presets(card),
        "official_weights": _official_state(card),
        "mini": has_mini(card),
        "upstream": _upstream_state(card),
        "upstream_reason": _upstream_reason(card),
    }


def fetch_notice(official: OfficialCheckpoint, cards: Sequence[CodecCard]) -> list[str]:
    """What a person should know of a checkpoint before it comes, in lines.

    Args:
        official: The checkpoint.
        cards: The codecs that share it.
    """
    card = cards[0]
    ids = ", ".join(card.id for card in cards)
    if is_on_hub(official):
        origins = f"https://huggingface.co/{official.repository} at {official.revision}"
    else:
        origins = ", ".join(addresses(official, file)[0] for file in official.files)
    return [
        f"{official.name} for {ids}: {_megabytes(official.files)} from {origins}",
        f"  licence of the weights: {card.weights_licence}; of the code: {card.code_licence}",
        f"  trained on: {card.training_data}; of VCTK and AISHELL-3: {card.leakage}",
    ]


def package_rows(cards: Sequence[CodecCard]) -> list[tuple[str, str, str]]:
    """The packages of the codecs' authors under ``PACKAGE_COLUMNS``."""
    users: dict[UpstreamPackage, list[str]] = {}
    for card in cards:
        if package := upstream_package(card.id):
            users.setdefault(package, []).append(card.id)
    return [
        (package.name, ", ".join(ids), _obstacle(package) or "can be used") for package, ids in users.items()
    ]


def _official_state(card: CodecCard) -> str:
    if card.checkpoint is None:
        return "none published"
    missing = missing_files(card.checkpoint)
    return f"{_megabytes(missing)} to fetch" if missing else "here"


def _upstream_state(card: CodecCard) -> str:
    package = upstream_package(card.id)
    if package is None:
        return "none"
    return "no" if _obstacle(package) else "yes"


def _upstream_reason(card: CodecCard) -> str:
    package = upstream_package(card.id)
    return f"{package.name}: {_obstacle(package) or 'can be used'}" if package else "none"


@cache
def _obstacle(package: UpstreamPackage) -> str:
    """Why a package cannot be used here; asked once, because it is imported where it is installed."""
    return availability(package)


def _presets(card: CodecCard) -> list[str]:
    return [name for name, ids in PRESETS.items() if card.id in ids]


def _bit_rate(card: CodecCard) -> str:
    stated = f" ({card.stated_kbps:g})" if card.stated_kbps else ""
    return f"{card.kilobits_per_second:.3g}{stated}"


def _megabytes(files: Sequence[WeightsFile]) -> str:
    return f"{sum(file.megabytes for file in files):.0f} MB"
