"""Rounding on the device gives the bytes that rounding on the host gives."""

import numpy as np
import torch

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.base import SourceWave, stacked
from codecfake.pipeline.audio import to_pcm16
from codecfake.pipeline.device_pcm import gains_and_lengths, pcm16_of_rows, to_pcm16_on_device


def test_samples_clipping_and_faults_are_those_of_the_host():
    adapter = find_codec("F01")()
    adapter.working_level = 0.06
    rng = np.random.default_rng(0)
    batch = [
        adapter.prepare_source(
            SourceWave.at_rate(rng.uniform(-level, level, length).astype(np.float32), 16_000, 16_000)
        )
        for level, length in ((0.02, 4_000), (0.9, 16_001), (0.5, 9_999), (0.3, 12_345))
    ]
    waves = 1.7 * stacked(batch)
    waves[2, 17] = torch.nan
    waves[3, batch[3].samples :] = torch.inf  # behind its end
    rows = pcm16_of_rows(*to_pcm16_on_device(waves, *gains_and_lengths(batch)), batch)
    assert [row.is_finite for row in rows] == [True, True, False, True]
    for index in (0, 1, 3):
        expected, clipped = to_pcm16(
            adapter.finish(waves[index, : batch[index].samples].numpy(), batch[index], 16_000)
        )
        np.testing.assert_array_equal(rows[index].samples, expected)
        assert rows[index].clipped == clipped
    assert rows[1].clipped > 0
