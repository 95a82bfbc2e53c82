"""How many seconds of audio a GPU takes in one network run, found by running batches of noise.

A batch is large enough when doubling it no longer makes it faster, and must fit into the memory that is free. The
first follows from the codec, the device and torch, and is measured once for all of them; free memory is asked for
every time.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from codecfake.codec_adapters import CodecAdapter
from codecfake.manifests.atomic import publish_json
from codecfake.pipeline.batch_trials import MEMORY_SHARE, Calibration, TrialDevice, calibrate
from codecfake.pipeline.batches import BatchLimit

LONGEST_UTTERANCE_SECONDS = 16.0
"""One such utterance always makes a batch."""

_calibrating = Lock()
"""Trials beside each other would see each other's memory."""


def batch_limit(adapter: CodecAdapter, device_name: str) -> BatchLimit:
    """Find out how much audio a codec's batches may hold on a GPU.

    The first call for a codec takes seconds; the figures stay in the user's cache folder. Nothing else should
    run on the device meanwhile.

    Args:
        adapter: On the device, with its weights loaded.
        device_name: A CUDA device as torch names it.
    """
    from codecfake.pipeline.cuda_trials import CudaTrials

    with _calibrating:
        return limit_on(CudaTrials(device_name), adapter)


def limit_on(device: TrialDevice, adapter: CodecAdapter) -> BatchLimit:
    """Find it out on any device that can be tried; see ``batch_limit``."""
    free = device.free_memory()
    measured = _from_cache(device, adapter)
    if measured is None or measured.is_outgrown(free):
        measured = calibrate(device, adapter)
        if measured is not None:
            publish_json(
                _cache_file(device, adapter), {"of": _key(device, adapter), "measured": asdict(measured)}
            )
    card = adapter.card
    least = adapter.padded_length(round(LONGEST_UTTERANCE_SECONDS * card.sample_rate)) / card.sample_rate
    if measured is None:
        return BatchLimit(seconds=least)
    return BatchLimit(
        seconds=max(least, min(measured.best_seconds, measured.seconds_in(MEMORY_SHARE * free)))
    )


def cache_folder() -> Path:
    """Where the figures of codecs and devices are kept."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("codecfake")) / "calibration"


def _key(device: TrialDevice, adapter: CodecAdapter) -> dict[str, Any]:
    import torch

    networks = [value for value in vars(adapter).values() if isinstance(value, torch.nn.Module)]
    return {
        "codec": adapter.card.name,
        "network_values": sum(
            tensor.numel() for network in networks for tensor in network.state_dict().values()
        ),
        "precision": adapter.precision,
        "device": device.name,
        "device_bytes": device.total_memory,
        "torch": torch.__version__,
    }


def _cache_file(device: TrialDevice, adapter: CodecAdapter) -> Path:
    digest = hashlib.sha256(json.dumps(_key(device, adapter)).encode()).hexdigest()
    return cache_folder() / f"{adapter.card.id}-{digest[:16]}.json"


def _from_cache(device: TrialDevice, adapter: CodecAdapter) -> Calibration | None:
    """What was measured before; ``None`` where that is absent, damaged, or of something else."""
    try:
        content = json.loads(_cache_file(device, adapter).read_text(encoding="utf-8"))
        return Calibration(**content["measured"]) if content["of"] == _key(device, adapter) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
