"""Where the weights of a codec come from: the hub, the mini networks that ship, or a folder of the user's."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.codec_adapters.backends import upstream_adapter
from codecfake.codec_adapters.card import CodecCard
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.monitor import current_monitor
from codecfake.pipeline.weights_fetch import (
    OfficialFiles,
    fetch_official,
    hash_files,
    missing_files,
    official_checkpoint,
    verify_official,
)


@dataclass(frozen=True)
class Checkpoint:
    """Weights on this machine, verified as far as a digest is known."""

    path: Path
    """Folder that the official files lie in as their publisher names them; of our own layout, the file."""
    sha256: str
    source: str
    """"mini", "official" or the user's path."""
    network: dict[str, Any] | None
    """Sizes of the network where they differ from the published ones; only our own layout has them."""


def find_checkpoint(card: CodecCard, weights: str) -> Checkpoint:
    """Find, and if need be download, the weights of a codec.

    Args:
        card: Card of the codec.
        weights: "mini", "official", or a folder. The folder holds ``<id>.safetensors`` (and ``<id>.json`` with
            the network's sizes under "config" when they are not the published ones), or, below ``<id>/``, weights
            of the user's own in the official file format, or the official files, below a folder of their
            checkpoint's name, as ``codecfake codecs fetch`` lays them out, or directly.

    Raises:
        CodecfakeError: If there are no such weights, or their digest is not the stated one.
    """
    if weights == "official":
        return _official(_fetch_with_notice(card), weights)
    folder = mini_folder() if weights == "mini" else Path(weights).expanduser()
    path = folder / f"{card.id}.safetensors"
    if path.is_file():
        return _own(path, weights)
    if weights == "mini":
        raise CodecfakeError(
            f"no weights for {card.id} ({card.title}) in {folder}: {path.name} is not there",
            cause="this codec has no mini network",
            next_step="codecfake codecs list shows which weights each codec has",
        )
    official = card.checkpoint
    if official and (folder / card.id).is_dir():
        return _official(hash_files(official, folder / card.id), weights)
    for place in (folder / official.name, folder) if official else ():
        if not missing_files(official, place):
            return _official(verify_official(card, place), weights)
    raise _absent(card, folder)


def load_codec(
    codec_id: str,
    checkpoint: Checkpoint,
    device: str,
    *,
    backend: str = "codecfake",
    input_peak: float | None = None,
) -> CodecAdapter:
    """Build a codec's adapter with its weights on a device.

    Args:
        codec_id: Id of the codec.
        checkpoint: Its weights.
        device: As torch names it.
        backend: "codecfake", or "upstream" for the package of the codec's authors.
        input_peak: Peak that the input is brought to; its level stays when absent.

    Raises:
        CodecError: If the weights do not fit, or the package cannot be used here.
    """
    codec = find_codec(codec_id)
    if backend == "upstream":
        codec = upstream_adapter(codec)
    adapter = codec(device, input_peak=input_peak)
    adapter.load(checkpoint.path, checkpoint.network)
    return adapter


def mini_folder() -> Path:
    """The folder of this package that holds the mini networks."""
    return Path(str(files("codecfake.codec_adapters"))) / "mini"


def describe_mini(card: CodecCard) -> dict[str, Any] | None:
    """Read what is known about the mini network of a codec: what for, sizes, training, metrics, sha256."""
    description = mini_folder() / f"{card.id}.json"
    return json.loads(description.read_text(encoding="utf-8")) if description.is_file() else None


def has_mini(card: CodecCard) -> bool:
    """Whether a mini network of this codec ships."""
    return (mini_folder() / f"{card.id}.safetensors").is_file()


def _fetch_with_notice(card: CodecCard) -> OfficialFiles:
    """Fetch a codec's official checkpoint; before a download, say what comes and under which licence."""
    monitor = current_monitor()
    missing = missing_files(official_checkpoint(card))
    if missing:
        megabytes = sum(file.megabytes for file in missing)
        monitor.say(f"Fetching the weights of {card.id}, {megabytes:.0f} MB; licence: {card.weights_licence}")
    return fetch_official(card, monitor)


def _official(files: OfficialFiles, weights: str) -> Checkpoint:
    return Checkpoint(files.folder, files.digest, weights, None)


def _own(path: Path, weights: str) -> Checkpoint:
    description = path.with_suffix(".json")
    try:
        facts = json.loads(description.read_text(encoding="utf-8")) if description.is_file() else {}
    except ValueError as error:
        raise CodecfakeError(f"{description} is no JSON ({error}); it describes {path.name}") from error
    digest = file_sha256(path)
    if facts.get("sha256", digest) != digest:
        raise CodecfakeError(
            f"{path} is not what {description.name} describes: sha256 {digest}, expected {facts['sha256']}",
            cause="the file was altered or is incomplete",
        )
    return Checkpoint(path, digest, weights, facts.get("config"))


def _absent(card: CodecCard, folder: Path) -> CodecfakeError:
    what = f"no weights for {card.id} ({card.title}) in {folder}: "
    official = card.checkpoint
    if official is None:
        return CodecfakeError(
            f"{what}{card.id}.safetensors is not there",
            cause=f"--weights {folder} is mistyped",
            next_step="codecfake codecs list shows which weights each codec has",
        )
    missing = ", ".join(
        f"{official.name}/{file.path}" for file in missing_files(official, folder / official.name)
    )
    return CodecfakeError(
        f"{what}neither {card.id}.safetensors nor {missing} is there",
        cause=f"--weights {folder} is mistyped, or the checkpoint was not fetched into it",
        next_step=f"codecfake codecs fetch {card.id} --out {folder}",
    )
