"""Batches through a GPU: the audio of the CPU, with several batches on their way at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from speech import voice

from codecfake.codec_adapters import find_codec
from codecfake.pipeline.devices import find_device
from codecfake.pipeline.weights import find_checkpoint, load_codec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def mini(codec: str, device: str):
    return load_codec(codec, find_checkpoint(find_codec(codec).card, "mini"), device)


@pytest.mark.parametrize("codec", ["F01", "F04", "F07"])
def test_a_gpu_gives_the_audio_of_a_cpu_to_every_one_of_several_batches(codec):
    here, there = mini(codec, "cpu"), mini(codec, "cuda")
    device = find_device("cuda")
    rate = here.card.sample_rate
    batches = [
        [here.prepare(voice(1.0, rate, seed + 4 * group), rate) for seed in range(4)] for group in range(6)
    ]
    for as_pcm in (False, True):
        with ThreadPoolExecutor(3) as pool:
            results = list(pool.map(lambda batch: device.run(there, batch, as_pcm=as_pcm), batches))  # noqa: B023
        for batch, (outputs, seconds) in zip(batches, results, strict=True):
            assert seconds > 0
            for item, output, expected in zip(batch, outputs, here.run(batch), strict=True):
                wave = output.samples / 32768 * np.float32(item.gain) if as_pcm else output
                assert len(wave) == item.samples
                # A code that flips on a near tie changes a few frames, never the utterance.
                assert np.median(np.abs(wave - expected)) < 1e-4
