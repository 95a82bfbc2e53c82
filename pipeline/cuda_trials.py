"""Batches of noise through a codec on a GPU, with the clock and the memory counters read."""

import time

import torch

from codecfake.codec_adapters import CodecAdapter
from codecfake.pipeline.batch_trials import Trial
from codecfake.pipeline.memory_errors import is_out_of_memory
from codecfake.pipeline.precision import lowered

SPEECH_LEVEL = 0.05
"""Root mean square of the noise."""
TIMED_RUNS = 2
"""The faster one counts."""


class CudaTrials:
    """A GPU to try batches on.

    Args:
        device_name: As torch names it.
    """

    def __init__(self, device_name: str) -> None:
        self._device = torch.device(device_name)
        properties = torch.cuda.get_device_properties(self._device)
        self.name: str = properties.name
        self.total_memory: int = properties.total_memory

    def free_memory(self) -> int:
        """Bytes that a network run could have: those nobody has, and those that torch keeps for reuse."""
        free, _ = torch.cuda.mem_get_info(self._device)
        return free + torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)

    def run(self, adapter: CodecAdapter, utterances: int, samples: int) -> Trial | None:
        """Run a batch of noise; ``None`` where memory ran out.

        Args:
            adapter: On the device, with its weights loaded.
            utterances: In the batch.
            samples: Of each, at the codec's rate.
        """
        trial = None
        torch.cuda.empty_cache()  # what it keeps for other streams is of no use here
        try:
            with torch.cuda.device(self._device), torch.inference_mode(), lowered(adapter.precision):
                trial = self._run(adapter, utterances, samples)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        torch.cuda.empty_cache()
        return trial

    def _run(self, adapter: CodecAdapter, utterances: int, samples: int) -> Trial:
        taken_before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        generator = torch.Generator(self._device).manual_seed(0)
        noise = torch.randn(utterances, samples, device=self._device, generator=generator)
        noise *= SPEECH_LEVEL
        adapter.reconstruct(noise)  # warms up: torch asks CUDA for memory, cuDNN settles its algorithms
        wall = min(self._time(adapter, noise) for _ in range(TIMED_RUNS))
        peak = torch.cuda.max_memory_allocated(self._device) - taken_before
        return Trial(utterances * samples / adapter.card.sample_rate, wall, peak)

    def _time(self, adapter: CodecAdapter, waves: torch.Tensor) -> float:
        torch.cuda.synchronize(self._device)
        began = time.perf_counter()
        adapter.reconstruct(waves)
        torch.cuda.synchronize(self._device)
        return time.perf_counter() - began
