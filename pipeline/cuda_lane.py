"""One GPU: uploads, network runs and downloads of neighbouring batches overlap, each on a stream of its own.

Shape legend: B batch, T samples.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

import torch

from codecfake.codec_adapters.base import CodecAdapter, PreparedWave, stacked
from codecfake.codec_adapters.resampling import Wave
from codecfake.pipeline.device_pcm import Pcm16, gains_and_lengths, pcm16_of_rows, to_pcm16_on_device
from codecfake.pipeline.precision import lowered

BATCHES_IN_FLIGHT = 2
"""Batches on the device at once: while one is computed, the next is uploaded and the last one comes back."""


class CudaLane:
    """The way of batches through a GPU; for several threads at once.

    Args:
        name: The device as torch names it.
    """

    def __init__(self, name: str) -> None:
        self._device = torch.device(name)
        self._upload, self._network, self._download = (torch.cuda.Stream(self._device) for _ in range(3))
        self._launching = Lock()
        self._in_flight = BoundedSemaphore(BATCHES_IN_FLIGHT)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold new batches back, and wait for those under way, while the device itself is measured."""
        with self._launching:
            torch.cuda.synchronize(self._device)
            yield

    def run(
        self, adapter: CodecAdapter, batch: Sequence[PreparedWave], *, as_pcm: bool
    ) -> tuple[list[Wave] | list[Pcm16], float]:
        """Run a batch, and wait for it.

        Args:
            adapter: A codec on this device.
            batch: Utterances that may share a run.
            as_pcm: Whether nothing but rounding follows, so that it is done here and half as much comes back.

        Returns:
            One result per utterance, and the seconds that the network took on the device.
        """
        on_host = [tensor.pin_memory() for tensor in (stacked(batch), *gains_and_lengths(batch))]
        with self._in_flight, torch.inference_mode():
            with torch.cuda.stream(self._upload):
                uploaded = [tensor.to(self._device, non_blocking=True) for tensor in on_host]
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            with self._launching, torch.cuda.stream(self._network), lowered(adapter.precision):
                self._network.wait_stream(self._upload)
                for tensor in uploaded:
                    tensor.record_stream(self._network)
                waves, gains, lengths = uploaded
                began.record()
                output = adapter.reconstruct_aligned(waves)
                # Nothing is copied from the host here: that would wait for the network.
                parts = to_pcm16_on_device(output, gains, lengths) if as_pcm else (output,)
                ended.record()
            with torch.cuda.stream(self._download):
                self._download.wait_event(ended)
                results = [self._fetch(part) for part in parts]
                fetched = torch.cuda.Event()
                fetched.record()
            fetched.synchronize()
        rows = pcm16_of_rows(*results, batch) if as_pcm else _cut(results[0], batch)
        return rows, began.elapsed_time(ended) / 1000

    def _fetch(self, part: torch.Tensor) -> torch.Tensor:
        on_host = torch.empty(part.shape, dtype=part.dtype, pin_memory=True)
        on_host.copy_(part, non_blocking=True)
        part.record_stream(self._download)
        return on_host


def _cut(waves: torch.Tensor, batch: Sequence[PreparedWave]) -> list[Wave]:
    return [wave[: item.samples] for wave, item in zip(waves.numpy(), batch, strict=True)]
