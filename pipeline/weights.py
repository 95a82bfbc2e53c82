"""Where the weights of a codec come from: the hub, the mini networks that ship, or a folder of the user's."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.codec_adapters.card import CodecCard
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError


@dataclass(frozen=True)
class Checkpoint:
    """A weights file on this machine, verified as far as a digest is known."""

    path: Path
    sha256: str
    source: str
    """"mini", "official" or the user's path."""
    network: dict[str, Any] | None
    """Sizes of the network where they differ from the published ones."""


def find_checkpoint(card: CodecCard, weights: str) -> Checkpoint:
    """Find, and if need be download, the weights of a codec.

    Args:
        card: Card of the codec.
        weights: "mini", "official", or a folder that holds ``<id>.safetensors`` (and ``<id>.json`` with the
            network's sizes under "config" when they are not the published ones).

    Raises:
        CodecfakeError: If there are no such weights, or their digest is not the stated one.
    """
    if weights == "official":
        return _official(card)
    folder = mini_folder() if weights == "mini" else Path(weights).expanduser()
    path = folder / f"{card.id}.safetensors"
    if not path.is_file():
        raise CodecfakeError(
            f"no weights for {card.id} ({card.title}) in {folder}: {path.name} is not there",
            cause="this codec has no mini network"
            if weights == "mini"
            else f"--weights {weights} is mistyped",
            next_step="codecfake codecs list shows which weights each codec has",
        )
    description = path.with_suffix(".json")
    facts = json.loads(description.read_text(encoding="utf-8")) if description.is_file() else {}
    digest = file_sha256(path)
    if facts.get("sha256", digest) != digest:
        raise CodecfakeError(
            f"{path} is not what {description.name} describes: sha256 {digest}, expected {facts['sha256']}",
            cause="the file was altered or is incomplete",
        )
    return Checkpoint(path, digest, weights, facts.get("config"))


def load_codec(codec_id: str, checkpoint: Checkpoint, device: str) -> CodecAdapter:
    """Build a codec's adapter with its weights on a device."""
    adapter = find_codec(codec_id)(device)
    adapter.load(checkpoint.path, checkpoint.network)
    return adapter


def mini_folder() -> Path:
    """The folder of this package that holds the mini networks."""
    return Path(str(files("codecfake.codec_adapters"))) / "mini"


def has_mini(card: CodecCard) -> bool:
    """Whether a mini network of this codec ships."""
    return (mini_folder() / f"{card.id}.safetensors").is_file()


@cache
def _official(card: CodecCard) -> Checkpoint:
    from codecfake.pipeline.weights_hub import fetch_hub_file

    if card.weights is None:
        raise CodecfakeError(
            f"{card.id} ({card.title}) names no official checkpoint",
            next_step="give a folder with its weights: --weights PATH",
        )
    hub = card.weights
    path = fetch_hub_file(hub.repository, hub.filename, hub.revision, hub.sha256)
    return Checkpoint(path, file_sha256(path), "official", None)
