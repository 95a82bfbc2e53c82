"""Rounding to 16 bits where the network ran, so that half the bytes come back; the same samples as on the host.

Shape legend: B batch, T samples.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codecfake.codec_adapters.base import PreparedWave

if TYPE_CHECKING:
    import torch


class Pcm16(NamedTuple):
    """An utterance as it is written."""

    samples: NDArray[np.int16]
    clipped: int
    """Samples that lay beyond full scale."""
    is_finite: bool
    """Whether the network gave no NaN and no infinity."""


def gains_and_lengths(batch: Sequence[PreparedWave]) -> "tuple[torch.Tensor, torch.Tensor]":
    """What rounding has to know of a batch, on the host: gains (B,), float32, and samples (B,), int64."""
    import torch

    gains = torch.tensor([item.gain for item in batch], dtype=torch.float32)
    return gains, torch.tensor([item.samples for item in batch])


def to_pcm16_on_device(
    waves: "torch.Tensor", gains: "torch.Tensor", lengths: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Take the gain back and round, as `CodecAdapter.finish` and `to_pcm16` do on the host.

    Args:
        waves: Output of the network, shape (B, T), float32.
        gains: By which the utterances were multiplied, shape (B,), on the same device.
        lengths: Samples of each, shape (B,), there too; what lies behind the end of an utterance is not counted.

    Returns:
        Samples (B, T), int16; clipped samples (B,); whether all are finite (B,).
    """
    import torch

    is_sample = torch.arange(waves.shape[1], device=waves.device) < lengths[:, None]
    scaled = torch.round(waves / gains[:, None] * 32768.0)
    clipped = ((scaled > 32767) | (scaled < -32768)) & is_sample
    is_finite = (torch.isfinite(waves) | ~is_sample).all(dim=1)
    rounded = torch.nan_to_num(scaled).clamp(-32768, 32767).to(torch.int16)
    return rounded, clipped.sum(dim=1), is_finite


def pcm16_of_rows(
    samples: "torch.Tensor", clipped: "torch.Tensor", is_finite: "torch.Tensor", batch: Sequence[PreparedWave]
) -> list[Pcm16]:
    """Cut what `to_pcm16_on_device` gave, on the host by now, to the utterances of its batch."""
    rows = zip(samples.numpy(), clipped.tolist(), is_finite.tolist(), batch, strict=True)
    return [Pcm16(wave[: item.samples], count, finite) for wave, count, finite, item in rows]
