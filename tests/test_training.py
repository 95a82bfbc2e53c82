from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from codecfake.codec_adapters.nn.seanet import SeanetCodec
from codecfake.codec_adapters.training import (
    TrainingDivergedError,
    TrainingProgress,
    TrainingSettings,
    train_codec,
)
from codecfake.codec_adapters.training_losses import ReconstructionLoss
from codecfake.codec_adapters.training_quantizers import trainable_quantizer

RATE = 16_000
SETTINGS = TrainingSettings(
    steps=36, warmup_steps=26, batch_size=2, crop_samples=2560, learning_rate=4e-3, averaging=0.9, seed=3
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(architecture: str) -> nn.Module:
    from transformers import DacConfig, DacModel

    torch.manual_seed(1)
    if architecture == "encodec":
        return SeanetCodec(
            filters=4, ratios=[8, 8], dimension=8, codebooks=2, codebook_size=16, causal=True, lstm_layers=1
        )
    return DacModel(
        DacConfig(
            sampling_rate=RATE,
            encoder_hidden_size=4,
            decoder_hidden_size=16,
            downsampling_ratios=[8, 8],
            n_codebooks=2,
            codebook_size=16,
            codebook_dim=4,
        )
    )


def tones() -> list[np.ndarray]:
    seconds = np.arange(RATE) / RATE
    return [
        (0.3 * np.sin(2 * np.pi * pitch * seconds) * (1 + np.sin(9 * seconds))).astype(np.float32)
        for pitch in (110, 180, 260, 400)
    ]


@pytest.mark.parametrize("architecture", ["encodec", "dac"])
def test_the_loss_falls_and_a_seeded_run_repeats_itself(architecture: str) -> None:
    first, second = tiny(architecture), tiny(architecture)
    losses = train_codec(first, tones(), RATE, SETTINGS)
    assert train_codec(second, tones(), RATE, SETTINGS) == losses
    assert len(losses) == 36
    assert np.mean(losses[22:26]) < 0.85 * np.mean(losses[:4])
    assert not first.training
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("architecture", ["encodec", "dac"])
def test_the_library_quantises_as_the_training_did(architecture: str) -> None:
    model = tiny(architecture)
    train_codec(model, tones(), RATE, SETTINGS)
    wave = torch.from_numpy(tones()[1][None, None, :5120])
    with torch.no_grad():
        latents = model.encoder(wave)
        expected, _ = trainable_quantizer(model, seed=0)(latents)
        if architecture == "encodec":
            codes = model.encode(wave[:, 0]).codes
            found = model.quantizer.decode(codes)
        else:
            codes = model.encode(wave).audio_codes
            found = model.encode(wave).quantized_representation
    assert codes.unique().numel() > 2
    # the wrapper moves its codebooks after use, so the second look sees them a hundredth of the way further
    assert (found - expected).abs().mean() < 0.05 * latents.abs().mean()


def test_training_goes_on_from_a_trained_network_without_a_new_start() -> None:
    model = tiny("dac")
    train_codec(model, tones(), RATE, SETTINGS)
    seen: list[TrainingProgress] = []
    settings = TrainingSettings(steps=3, batch_size=2, crop_samples=2560, learning_rate=1e-5)
    train_codec(model, tones(), RATE, settings, on_step=lambda progress, _average: seen.append(progress))
    assert [progress.step for progress in seen] == [1, 2, 3]
    assert all(progress.quantised for progress in seen)


@pytest.mark.parametrize("architecture", ["encodec", "dac"])
def test_a_snapshot_is_a_network_of_the_library_and_leaves_the_training_alone(architecture: str) -> None:
    wave = torch.from_numpy(tones()[0][None, None, :2560])
    names = set(tiny(architecture).state_dict())
    outputs = []

    def look(_progress: TrainingProgress, snapshot: Callable[[], nn.Module]) -> None:
        copied = snapshot()
        assert set(copied.state_dict()) == names
        with torch.no_grad():
            outputs.append(copied.decoder(copied.encoder(wave)))

    settings = TrainingSettings(steps=3, batch_size=2, crop_samples=2560)
    model = tiny(architecture)
    train_codec(model, tones(), RATE, settings, on_step=look)
    with torch.no_grad():
        torch.testing.assert_close(model.decoder(model.encoder(wave)), outputs[-1])
    assert not torch.equal(outputs[0], outputs[-1])


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    model = tiny("encodec")
    with pytest.raises(TrainingDivergedError, match="the loss is nan at step 0"):
        train_codec(model, [np.full(8000, np.nan, dtype=np.float32)], RATE, SETTINGS)


def test_the_loss_of_equal_waves_is_zero() -> None:
    loss = ReconstructionLoss(RATE)
    wave = torch.from_numpy(np.stack(tones()))[:, None, :4096]
    assert [part.item() for part in loss(wave, wave)] == [0, 0]
    for near, far in zip(loss(0.9 * wave, wave), loss(torch.zeros_like(wave), wave), strict=True):
        assert far > near > 0


def test_a_wave_of_half_the_level_is_half_its_level_away() -> None:
    wave = torch.from_numpy(np.stack(tones()))[:, None, :4096]
    expected = 0.5 * (wave.abs().mean(dim=-1) / wave.square().mean(dim=-1).sqrt()).mean()
    torch.testing.assert_close(ReconstructionLoss(RATE)(0.5 * wave, wave)[0], expected)
