"""Reading ahead of the network: every row is there, in order, whatever is unreadable, and the window is bounded."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codecfake.detector.crop_reading import read_crop
from codecfake.detector.crops import CROP_SAMPLES, SAMPLE_RATE
from codecfake.detector.loading import CropLoader, UnreadableAudioError
from codecfake.detector.read_ahead import BATCHES_AHEAD, read_ahead
from codecfake.detector.trials import TrialList
from codecfake.manifests.reasons import Reason
from codecfake.manifests.stage_clock import StageClock


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> TrialList:
    """Sixty utterances of all rates and lengths, of which two are unreadable."""
    folder, rng, files = tmp_path_factory.mktemp("audio"), np.random.default_rng(0), []
    for number in range(60):
        rate = (16_000, 16_000, 24_000, 48_000)[number % 4]
        samples = int(rate * rng.uniform(0.01, 6))
        files.append(f"{number:02d}.wav")
        soundfile.write(folder / files[-1], 0.3 * rng.standard_normal((samples, 1 + number % 2)), rate)
    (folder / files[7]).write_bytes(b"RIFF")
    (folder / files[41]).unlink()
    return TrialList("all", folder, files, files, np.zeros(60, dtype=np.int64))


@pytest.mark.parametrize("keep", [False, True])
def test_batches_hold_what_reading_one_by_one_gives(trials: TrialList, keep: bool) -> None:
    order = np.random.default_rng(1).permutation(60)
    clock = StageClock()
    loader = CropLoader(trials, keep=keep, clock=clock)
    for _ in range(2):  # the second time from memory, where the waves are kept
        batches = list(loader.batches(order, 25))
        read = [position for batch in batches for position in batch.positions]
        assert read == [position for position in order if position not in (7, 41)]
        assert {bad.file: bad.reason for batch in batches for bad in batch.unreadable} == {
            "07.wav": Reason.UNREADABLE,
            "41.wav": Reason.MISSING,
        }
        waves = torch.cat([batch.waves for batch in batches])
        expected = np.stack([read_crop(trials.path(position)) for position in read])
        assert np.array_equal(waves.numpy(), expected)
    assert clock.seconds["read"] > 0 and clock.seconds["resample"] > 0


def test_only_what_the_window_needs_is_read(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).standard_normal(16 * SAMPLE_RATE).astype(np.float32)
    wave[CROP_SAMPLES:] = np.nan
    soundfile.write(tmp_path / "long.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    assert np.array_equal(read_crop(tmp_path / "long.wav"), wave[:CROP_SAMPLES])


def test_a_pipe_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(UnreadableAudioError) as caught:
        read_crop(tmp_path / "pipe.wav")
    assert caught.value.reason is Reason.NOT_A_FILE


def test_no_more_than_a_few_batches_are_read_before_they_are_wanted() -> None:
    filled: list[int] = []

    def fill(position: int, row: torch.Tensor) -> None:
        row[0] = position
        filled.append(position)

    reading = read_ahead(
        ([3 * n, 3 * n + 1, 3 * n + 2] for n in range(100)), lambda n: torch.empty(n, 1), fill
    )
    positions, rows, problems = next(reading)
    time.sleep(0.1)
    assert (positions, rows[:, 0].tolist(), problems) == ([0, 1, 2], [0, 1, 2], [None] * 3)
    assert len(filled) <= 3 * (BATCHES_AHEAD + 1)
    reading.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


def test_an_error_in_a_reader_reaches_the_consumer() -> None:
    def fill(position: int, _row: torch.Tensor) -> None:
        if position == 4:
            raise OSError("the disk is gone")

    reading = read_ahead([[0, 1], [2, 3], [4, 5]], lambda n: torch.empty(n, 1), fill)
    assert [next(reading)[0] for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="the disk is gone"):
        next(reading)
