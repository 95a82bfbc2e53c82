"""The official weights of the encoders on this machine: found or downloaded, and verified."""

import json
import os
from pathlib import Path

from codecfake.detector.front_ends.encoders import OFFICIAL, Encoder
from codecfake.manifests.differences import side_by_side
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.https import hub_over_https

ANSWER_SECONDS = 5.0
"""How long the hub may take to say where a file is."""

SAFETENSORS = "model.safetensors"


def find_weights(encoder: Encoder, weights: str) -> tuple[Path, str]:
    """Find the weights of an encoder, download them if need be, and hash them.

    Args:
        encoder: Which one.
        weights: "official", or the path of a folder that holds ``config.json`` and ``model.safetensors`` or
            ``pytorch_model.bin``, as the hub has them.

    Returns:
        The file and its sha256.

    Raises:
        CodecfakeError: If there are none, they are damaged, or the folder holds another network.
    """
    if weights == OFFICIAL:
        return _official(encoder)
    folder = Path(weights).expanduser()
    present = [path for name in (SAFETENSORS, encoder.filename) if (path := folder / name).is_file()]
    if not present:
        raise CodecfakeError(
            f"{folder} holds no weights of {encoder.name}: neither {SAFETENSORS} nor {encoder.filename} is there",
            cause="--frontend-config is mistyped, or the files were not downloaded into it",
            next_step=f"on a machine with a network: {download_command(encoder, weights)}",
        )
    _require_config(encoder, folder)
    return present[0], file_sha256(present[0])


def _official(encoder: Encoder) -> tuple[Path, str]:
    """The official file, from the cache that the Hugging Face libraries share, or downloaded into it."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    place = (encoder.repository, encoder.filename)
    cached = try_to_load_from_cache(*place, revision=encoder.revision)
    is_new = not isinstance(cached, str)
    if is_new:
        hub_over_https()
        try:
            # Asked first, because the download itself tries an absent network for 24 s.
            get_hf_file_metadata(hf_hub_url(*place, revision=encoder.revision), timeout=ANSWER_SECONDS)
            cached = hf_hub_download(*place, revision=encoder.revision, etag_timeout=ANSWER_SECONDS)
        except Exception as error:
            # The hub client raises the errors of whichever HTTP library its release uses.
            raise CodecfakeError(
                f"{encoder.repository}/{encoder.filename} at {encoder.revision} is not in the local cache and could "
                f"not be downloaded ({(str(error).strip() or type(error).__name__).splitlines()[0]})",
                cause="no network, a proxy that HTTPS_PROXY does not name, or HF_HUB_OFFLINE is set",
                next_step="run the same command again, it goes on where it stopped; where there is no network: "
                f"{download_command(encoder, 'FOLDER')} on a machine that has one, then --frontend-config FOLDER; "
                "or --frontend-config tiny for a small random network",
            ) from error
    path = Path(cached)
    found = file_sha256(path)
    if found == encoder.sha256:
        return path, found
    if is_new:
        for copy in {path.resolve(), path}:
            copy.unlink()
    raise CodecfakeError(
        f"{path} has sha256 {found}, expected {encoder.sha256}" + ("; it was not kept" if is_new else ""),
        cause="the file was damaged on its way or in the cache",
        next_step="run the same command again" if is_new else f"remove {path.resolve()} and run it again",
    )


def _require_config(encoder: Encoder, folder: Path) -> None:
    """Refuse a folder whose ``config.json`` describes another network."""
    path = folder / "config.json"
    if not path.is_file():
        raise CodecfakeError(
            f"{path} is not there, so nothing says what the weights beside it are",
            next_step=f"on a machine with a network: {download_command(encoder, str(folder))}",
        )
    try:
        there = encoder.config_class()(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CodecfakeError(
            f"{path} is no configuration of a network ({error})",
            next_step=f"on a machine with a network: {download_command(encoder, str(folder))}",
        ) from error
    settings = {name: getattr(there, name) for name in encoder.config}
    if table := side_by_side(settings, encoder.config, "in the folder"):
        raise CodecfakeError(
            f"{path} does not describe {encoder.name}:\n{table}",
            next_step=f"give a folder with the files of {encoder.repository}",
        )


def download_command(encoder: Encoder, folder: str) -> str:
    """What to type to download an encoder into a folder."""
    return (
        f"hf download {encoder.repository} config.json {encoder.filename} --revision {encoder.revision} "
        f"--local-dir {folder}"
    )
