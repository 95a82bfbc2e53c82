"""What every comparison with a reference implementation shares."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from codecfake.codec_adapters import CodecAdapter

ROUNDS = 3


def swelling_noise(samples: int) -> torch.Tensor:
    """Noise of changing level, shape (1, T), from torch's seed."""
    return (0.1 + 0.1 * torch.sin(torch.arange(samples) / 1500)) * torch.randn(1, samples)


def compared(
    name: str,
    adapter: CodecAdapter,
    waves: torch.Tensor,
    codes: torch.Tensor,
    expected: torch.Tensor,
    reference: Callable[[], object],
) -> dict:
    """One row of a comparison.

    Args:
        name: Codec id, or what was compared under it.
        adapter: Ours, with the reference's weights.
        waves: Shape (B, T).
        codes: The reference's codes of them, shape (B, K, F).
        expected: The reference's decoded waves; compared as far as both go.
        reference: Encodes and decodes ``waves`` once more, to be timed.

    Returns:
        Name, seconds of audio, share of codes that differ, largest difference of the waveforms relative to the
        reference's peak, and our processor time relative to the reference's.
    """
    found = adapter.reconstruct(waves)
    shared = min(found.shape[1], expected.shape[1])
    difference = (found[:, :shared] - expected[:, :shared]).abs().max() / expected.abs().max()
    return {
        "codec": name,
        "seconds": round(waves.shape[1] / adapter.card.sample_rate, 4),
        "codes_different": (adapter.codes(waves) != codes).double().mean().item(),
        "waveform_difference": difference.item(),
        "time_ratio": round(_time_ratio(lambda: adapter.reconstruct(waves), reference), 3),
    }


def _time_ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Medians in turns, of processor time, which other work on the machine disturbs least."""
    taken: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    for _ in range(ROUNDS):
        for run, times in taken.items():
            started = time.process_time()
            run()
            times.append(time.process_time() - started)
    return statistics.median(taken[ours]) / statistics.median(taken[theirs])


def main(compare: Callable[[Path, Path], list[dict]], description: str | None) -> None:
    """Run ``compare`` on the clone and the scratch folder of the command line; print its rows as JSON."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", type=Path, help="clone of the reference")
    parser.add_argument("folder", type=Path, help="for checkpoints of up to 500 MB")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        for row in compare(arguments.repository, arguments.folder):
            print(json.dumps(row), flush=True)
