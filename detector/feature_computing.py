"""Computing the shards of a feature cache: files are read ahead, and a shard is written while the next is computed.

Shape legend: B batch, H features, W frames.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn

from codecfake.detector.feature_shards import UTTERANCES_PER_SHARD, reasons_path, shard_path
from codecfake.detector.loading import Batch, CropLoader, Unreadable
from codecfake.detector.staging import fetched, staged, upload
from codecfake.detector.trials import TrialList
from codecfake.manifests.atomic import publish_json, published
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.stage_clock import StageClock

BATCH_SIZE = 32


def compute_shards(
    folder: Path,
    trials: TrialList,
    shards: Sequence[int],
    network: nn.Module,
    device: torch.device,
    clock: StageClock | None = None,
) -> Iterator[int]:
    """Compute and publish shards of a cache.

    Args:
        folder: Folder of the cache.
        trials: All utterances of the cache.
        shards: Numbers of the shards that are wanted.
        network: The front end, on the device.
        device: Where to compute.
        clock: Takes the time of ``read``, ``resample`` and ``write``, and of ``wait`` for what is read.

    Yields:
        The number of utterances of each shard, once it is published.

    Raises:
        CodecfakeError: If features do not fit 16-bit floats.
    """
    clock = clock or StageClock()
    rows_of = [_rows_of(shard, len(trials)) for shard in shards]
    parts = [
        rows[first : first + BATCH_SIZE] for rows in rows_of for first in range(0, len(rows), BATCH_SIZE)
    ]

    def compute(batch: Batch) -> torch.Tensor:
        if not batch.positions:
            return torch.empty(0, *network.output_shape, dtype=torch.float16, device=device)
        return network(upload(batch.waves, device))[:, 0].half()

    read = clock.each("wait", CropLoader(trials, keep=False, clock=clock).read(parts))
    computed = fetched(staged(read, compute, device))
    with ThreadPoolExecutor(1, thread_name_prefix="shard") as writer:
        writing: tuple[int, Future] | None = None
        for shard, rows in zip(shards, rows_of, strict=True):
            features = np.zeros((len(rows), *network.output_shape), np.float16)
            unreadable: list[Unreadable] = []
            for _ in range(0, len(rows), BATCH_SIZE):
                batch, values = next(computed)
                unreadable += batch.unreadable
                features[[position - rows.start for position in batch.positions]] = values.numpy()
            before = writing
            if before:
                before[1].result()
            names = trials.files[rows.start : rows.stop]
            task = writer.submit(_publish_shard, folder, shard, features, names, unreadable, clock)
            writing = len(rows), task
            if before:
                yield before[0]
        if writing:
            writing[1].result()
            yield writing[0]


def _rows_of(shard: int, utterances: int) -> range:
    first = shard * UTTERANCES_PER_SHARD
    return range(first, min(first + UTTERANCES_PER_SHARD, utterances))


def _publish_shard(
    folder: Path,
    shard: int,
    features: np.ndarray,
    names: Sequence[str],
    unreadable: Sequence[Unreadable],
    clock: StageClock,
) -> None:
    """Write features (n, H, W) and what could not be read of them."""
    with clock.measure("write"):
        fits = np.isfinite(features).all(axis=(1, 2)).tolist()
        if not all(fits):
            raise CodecfakeError(
                f"{names[fits.index(False)]}: its features do not fit 16-bit floats",
                cause="an abnormal recording, or weights that are damaged",
                next_step="compute features on the fly: train without --features",
            )
        reasons = [[bad.file, bad.reason, _one_line(bad.message)] for bad in unreadable]
        publish_json(reasons_path(folder, shard), reasons)
        with published(shard_path(folder, shard)) as temporary, temporary.open("wb") as file:
            np.save(file, features)


def _one_line(message: str) -> str:
    return " ".join(message.split())
