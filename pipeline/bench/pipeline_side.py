"""The pipeline, and the bare network on the same batches: the limit that no pipeline can pass.

Shape legend: B batch, T samples.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.measurements import peak_mebibytes
from codecfake.pipeline.bench.corpus import BenchCorpus
from codecfake.pipeline.bench.networks import load_network
from codecfake.pipeline.bench.pipeline_run import PipelineRun, refuse_losses
from codecfake.pipeline.bench.rounds import Round, settle_count, stopwatch
from codecfake.pipeline.devices import find_device, single_threaded_networks
from codecfake.pipeline.precision import lowered

if TYPE_CHECKING:
    import torch

LEVEL = 0.05
"""Root mean square of the noise that the bare network gets, about that of speech."""


class PipelineSide:
    """A codec in the pipeline of a build, and alone.

    Args:
        codec: Codec id.
        weights: As for ``load_network``.
        device: As torch names it.
        corpus: Utterances sorted by length, as the shards of the full corpora.
    """

    def __init__(self, codec: str, weights: str, device: str, corpus: BenchCorpus) -> None:
        self._device = find_device(device)
        self._adapter = load_network(codec, weights, self._device.name)
        self._run = PipelineRun(self._adapter, self._device, corpus)
        self._seen: list[tuple[int, int]] = []
        self._note_batches()
        self._last: Round
        self._batches: tuple[tuple[int, int], ...]
        """Shapes (B, T) that the network was given in the last measurement."""

    def settle(self, seconds: float) -> int:
        """Find how many utterances take about ``seconds`` seconds."""
        return settle_count(lambda count: self.measure(count).wall_seconds, self._run.unit, seconds)

    def measure(self, count: int) -> Round:
        """Resynthesise and publish ``count`` utterances."""
        import torch

        self._seen.clear()
        if self._device.is_cuda:
            torch.cuda.reset_peak_memory_stats(self._device.name)
        with tempfile.TemporaryDirectory() as folder:
            self._last = self._run.measure(count, Path(folder))
            refuse_losses(self._adapter, count, sum(1 for _ in Path(folder).rglob("*.wav")))
        self._batches = tuple(self._seen)
        refuse_losses(self._adapter, count, sum(size for size, _ in self._batches))
        return self._last

    def measure_bare(self) -> Round:
        """Run the network alone on the batches of the last measurement, ready in the device's memory."""
        import torch

        made = {shape: LEVEL * torch.randn(shape, device=self._device.name) for shape in set(self._batches)}
        ready = [made[shape] for shape in self._batches]
        with single_threaded_networks(), lowered(self._adapter.precision):
            for batch in made.values() if self._device.is_cuda else ready[:1]:
                self._reconstruct(batch)  # warms up
            self._wait()
            with stopwatch() as took, ThreadPoolExecutor(self._device.slots) as pool:
                list(pool.map(self._reconstruct, ready))
                self._wait()
        return replace(
            self._last, wall_seconds=took.wall_seconds, cpu_seconds=took.cpu_seconds, stage_seconds={}
        )

    def facts(self) -> dict[str, object]:
        """Device, slots, batches of the last measurement and the most memory that it took."""
        import torch

        peak = peak_mebibytes()
        if self._device.is_cuda:
            peak = round(torch.cuda.max_memory_allocated(self._device.name) / 2**20)
        return {
            "device": self._device.name,
            "slots": self._device.slots,
            "utterances_per_batch": round(self._last.utterances / len(self._batches), 1),
            "peak_mebibytes": peak,
            "peak_host_mebibytes": peak_mebibytes(),
        }

    def _note_batches(self) -> None:
        reconstruct = self._adapter.reconstruct

        def noted(waves: "torch.Tensor") -> "torch.Tensor":
            output = reconstruct(waves)
            self._seen.append(tuple(waves.shape))
            return output

        self._adapter.reconstruct = noted

    def _reconstruct(self, waves: "torch.Tensor") -> None:
        import torch

        with torch.inference_mode():  # a setting of the thread
            self._adapter.reconstruct_aligned(waves)

    def _wait(self) -> None:
        import torch

        if self._device.is_cuda:
            torch.cuda.synchronize(self._device.name)
