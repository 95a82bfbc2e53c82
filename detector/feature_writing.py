"""Compute the features of a whole split once and keep them: sharded, 16-bit, and resumable."""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn

from codecfake.detector.feature_computing import compute_shards
from codecfake.detector.feature_shards import (
    CACHE_FILE,
    FILES_FILE,
    UNREADABLE_FILE,
    UTTERANCES_PER_SHARD,
    cached_trials,
    describe_cache,
    missing_shards,
    read_cache_description,
    read_reasons,
    refuse_difference,
    shard_count,
)
from codecfake.detector.front_ends import WEIGHTS_SHA256, build_front_end, front_end_warning
from codecfake.detector.trials import SplitTrials
from codecfake.manifests.atomic import TEMPORARY_PREFIX, publish_json, publish_text
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.locks import sole_holder


@dataclass(frozen=True)
class WriteResult:
    """What a caching did."""

    folder: Path
    utterances: int
    computed: int
    """By this call; the others were there."""
    unreadable: int
    gigabytes: float
    """Of all features."""


def write_features(
    trials: SplitTrials,
    front_end: Mapping[str, Any],
    folder: Path,
    device: str | torch.device,
    report: Callable[[str], None],
) -> WriteResult:
    """Write the features of every utterance of a split, or those that a stopped call left out.

    Args:
        trials: Train, dev and conditions; an utterance in several of them is kept once.
        front_end: Description of the front end.
        folder: Folder of the cache.
        device: Where to compute.
        report: Receives one line of progress at a time.

    Raises:
        CodecfakeError: If the folder holds other features, the disk is too small, another process writes there, or
            features do not fit 16-bit floats.
    """
    if front_end.get("compression") == "none":
        raise CodecfakeError(
            "plain mel power spans more than 16-bit floats hold (6e-8 to 65,504)",
            next_step="compute it on the fly, which takes less time than reading it: train without --features",
        )
    folder.mkdir(parents=True, exist_ok=True)

    def refusal() -> CodecfakeError:
        return CodecfakeError(f"another process writes features into {folder}", next_step="wait for it")

    with sole_holder(folder / ".lock", refusal):
        return _write(trials, front_end, folder, device, report)


def _write(
    trials: SplitTrials,
    front_end: Mapping[str, Any],
    folder: Path,
    device: str | torch.device,
    report: Callable[[str], None],
) -> WriteResult:
    everything = cached_trials(trials)
    network = build_front_end(front_end, device)
    _open_folder(folder, front_end, trials, network, everything.relative_paths)
    for leftover in (folder / "shards").glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink()
    missing = missing_shards(folder, len(everything))
    height, width = network.output_shape
    utterance_bytes = 2 * height * width
    _require_space(folder, len(missing) * UTTERANCES_PER_SHARD * utterance_bytes)
    if found := shard_count(len(everything)) - len(missing):
        report(f"{found} shards are there already, {len(missing)} are left")

    computed, started = 0, time.perf_counter()
    shards = compute_shards(folder, everything, missing, network, torch.device(device))
    with closing(shards):
        for number, rows in enumerate(shards, start=1):
            computed += rows
            speed = computed / (time.perf_counter() - started)
            left = timedelta(seconds=round((len(missing) - number) * UTTERANCES_PER_SHARD / speed))
            report(
                f"shard {number}/{len(missing)}  {computed:,} utterances  {speed:.1f} utterances/s  ETA {left}"
            )
    reasons = read_reasons(folder, range(shard_count(len(everything))))
    lines = ["filename\treason\tmessage", *("\t".join((path, *reason)) for path, reason in reasons.items())]
    publish_text(folder / UNREADABLE_FILE, "\n".join(lines) + "\n")
    size = len(everything) * utterance_bytes / 1e9
    return WriteResult(folder, len(everything), computed, len(reasons), size)


def _open_folder(
    folder: Path, front_end: Mapping[str, Any], trials: SplitTrials, network: nn.Module, paths: list[str]
) -> None:
    """Make the folder a cache of these features, or refuse it when it is one of others."""
    warning = front_end_warning(front_end)
    wanted = describe_cache(front_end, trials) | {
        WEIGHTS_SHA256: network.weights_sha256,
        "precision": network.precision,
        "shape": list(network.output_shape),
        "utterances": len(paths),
        **({"warning": warning} if warning else {}),
    }
    if (folder / CACHE_FILE).is_file():
        refuse_difference(folder, read_cache_description(folder), wanted)
        return
    publish_json(folder / FILES_FILE, paths)
    publish_json(folder / CACHE_FILE, wanted)


def _require_space(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise CodecfakeError(
            f"the features need {needed_bytes / 1e9:,.1f} GB more, {folder} has {free_bytes / 1e9:,.1f} GB",
            next_step="choose a folder on another disk, or train without --features: nothing is kept then",
        )
