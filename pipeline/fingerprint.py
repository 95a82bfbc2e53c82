"""What makes two runs the same run: the settings that decide the audio, and the guard on resuming."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codecfake.codec_adapters import find_codec
from codecfake.manifests.atomic import publish_json
from codecfake.manifests.differences import side_by_side
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import read_json
from codecfake.pipeline.audio import AUDIO_FORMAT
from codecfake.pipeline.config import RunConfig
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.provenance import codecfake_version, describe_environment, describe_process
from codecfake.pipeline.shards import SHARD_POLICY
from codecfake.pipeline.weights import Checkpoint

SAVED_AS = "run.json"

Fingerprint = dict[str, str]
"""Setting to value, both as a person reads them."""


def make_fingerprint(
    config: RunConfig,
    listings: Sequence[CorpusListing],
    checkpoints: Mapping[str, Checkpoint],
) -> Fingerprint:
    """Collect what decides the audio of a run.

    The device is no part of it: several kinds may work on one run. They differ in the last bits, and ``shard.json``
    names the device and its batches.
    """
    return {
        "codecfake": codecfake_version(),
        "corpora": ", ".join(f"{listing.corpus} {listing.version}".strip() for listing in listings),
        "limit": str(config.limit or "none"),
        "sample rate": str(config.sample_rate),
        "audio format": AUDIO_FORMAT,
        "codecs": " ".join(config.codecs),
        "backend": config.backend,
        "input peak": " ".join(f"{codec}={peak:g}" for codec, peak in sorted(config.input_peak.items()))
        or "as it is",
        "precision": config.precision,
        "shard policy": SHARD_POLICY,
        "seed": str(config.seed),
        **{codec_id: find_codec(codec_id).card.name for codec_id in checkpoints},
        **{weights_key(codec_id): checkpoint.sha256 for codec_id, checkpoint in checkpoints.items()},
    }


def weights_key(codec_id: str) -> str:
    """The setting that holds the digest of a codec's weights."""
    return f"{codec_id} weights sha256"


def read_weights_digests(run_dir: Path) -> dict[str, str]:
    """Sha256 of each codec's weights, as the run folder was stamped with them."""
    fingerprint = read_stamp(run_dir)["fingerprint"]
    return {codec_id: fingerprint[weights_key(codec_id)] for codec_id in fingerprint["codecs"].split()}


def read_stamp(run_dir: Path) -> dict[str, Any]:
    """Read ``run.json``; its ``fingerprint`` is compared before anything else of a run is used.

    Raises:
        CodecfakeError: If it is damaged.
    """
    restore = f"restore {run_dir / SAVED_AS} from a backup, or build into another folder"
    return read_json(run_dir / SAVED_AS, {"fingerprint": dict, "digest": str}, next_step=restore)


def digest(fingerprint: Fingerprint) -> str:
    """Hex sha256 of a fingerprint."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()


def guard_run_folder(run_dir: Path, fingerprint: Fingerprint) -> None:
    """Stamp a new run folder with its fingerprint, or refuse one that was built otherwise.

    Raises:
        CodecfakeError: If the folder holds a run with another fingerprint (both are shown side by side), or
            holds something that is no run.
    """
    path = run_dir / SAVED_AS
    if path.is_file():
        stamped = read_stamp(run_dir)["fingerprint"]
        if table := side_by_side(stamped, fingerprint, "in the run folder"):
            raise CodecfakeError(
                f"{run_dir} was built with another configuration:\n{table}",
                next_step="repeat the command as it was, or give another --out for the new configuration",
            )
        return
    if strangers := sorted(entry.name for entry in run_dir.iterdir() if not entry.name.startswith(".")):
        raise CodecfakeError(
            f"{run_dir} is no run folder, but holds {', '.join(strangers[:5])}",
            next_step="give --out a new or empty folder; nothing was written",
        )
    publish_json(
        path,
        {
            "fingerprint": fingerprint,
            "digest": digest(fingerprint),
            "process": describe_process(),
            "environment": describe_environment(),
        },
    )
