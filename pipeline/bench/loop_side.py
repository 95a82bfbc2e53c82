"""The way of a script: read a file, resample, run the network, resample, write; then the next file."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from codecfake.pipeline.audio import decode, to_pcm16
from codecfake.pipeline.bench.corpus import BenchCorpus
from codecfake.pipeline.bench.networks import load_network
from codecfake.pipeline.bench.rounds import Round, settle_count, stopwatch
from codecfake.pipeline.shards import SourceRow

OUTPUT_RATE = 16_000
PAIR = 2
"""Utterances of mixed lengths that have the mean length together."""


class LoopSide:
    """One file at a time through a network as its authors run it, with torch's own threads and memory settings.

    Args:
        codec: Codec id.
        weights: As for ``load_network``.
        device: As torch names it.
        corpus: Utterances in file order.
    """

    def __init__(self, codec: str, weights: str, device: str, corpus: BenchCorpus) -> None:
        os.environ.pop(
            "OMP_WAIT_POLICY", None
        )  # ours, for work side by side; torch reads it when it is imported
        self._adapter = load_network(codec, weights, device, as_published=True)
        self._corpus = corpus
        self._taken = 0

    def settle(self, seconds: float) -> int:
        """Find how many utterances take about ``seconds`` seconds."""
        return settle_count(lambda count: self.measure(count).wall_seconds, PAIR, seconds)

    def measure(self, count: int) -> Round:
        """Resynthesise the next ``count`` utterances of the corpus."""
        rows = self._corpus.take(count, self._taken)
        self._taken += count
        with tempfile.TemporaryDirectory() as folder, stopwatch() as took:
            self._resynthesize(rows, Path(folder))
        return Round(sum(row["seconds"] for row in rows), count, took.wall_seconds, took.cpu_seconds)

    def _resynthesize(self, rows: Sequence[SourceRow], out: Path) -> None:
        import soundfile

        for row in rows:
            wave, rate = decode(self._corpus.roots[row["corpus"]] / row["path"])
            (fake,) = self._adapter.resynthesize([wave], rate, OUTPUT_RATE)
            path = out / f"{row['utterance_id']}.wav"
            soundfile.write(path, to_pcm16(fake)[0], OUTPUT_RATE, subtype="PCM_16")
