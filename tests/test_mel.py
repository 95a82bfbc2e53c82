import numpy as np
import torch
from transformers.audio_utils import mel_filter_bank

from codecfake.detector.crops import CROP_SAMPLES
from codecfake.detector.front_ends import build_front_end, describe_front_end
from codecfake.detector.front_ends.mel import POWER_FLOOR, MelFrontEnd


def reference_mel_power(wave: np.ndarray) -> np.ndarray:
    """torchaudio's MelSpectrogram(16000, n_fft=512, hop_length=128, n_mels=80), by definition, float64."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    padded = np.pad(wave.astype(np.float64), 256, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::128]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return (power @ reference_filters()).T


def reference_filters() -> np.ndarray:
    """HTK triangles, not normalised, shape (257 bins, 80 bands)."""
    bins = np.linspace(0, 8000, 257)
    top = 2595 * np.log10(1 + 8000 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, 82) / 2595) - 1)
    filters = np.zeros((257, 80))
    for band in range(80):
        low, centre, high = edges[band : band + 3]
        rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
        filters[:, band] = np.maximum(0, np.minimum(rising, falling))
    return filters


def test_filter_bank_of_transformers_is_htk_and_not_normalised() -> None:
    filters = mel_filter_bank(257, 80, 0.0, 8000.0, 16_000, norm=None, mel_scale="htk")
    np.testing.assert_allclose(filters, reference_filters(), atol=1e-9)


def test_power_equals_the_reference() -> None:
    rng = np.random.default_rng(0)
    wave = 0.1 * rng.standard_normal(5000) + 0.3 * np.sin(2 * np.pi * 440 * np.arange(5000) / 16_000)
    power = MelFrontEnd().power(torch.from_numpy(wave).float()[None])[0].numpy()
    expected = reference_mel_power(wave.astype(np.float32))
    assert power.shape == (80, 40)
    np.testing.assert_allclose(power, expected, rtol=1e-4, atol=1e-5)


def test_tone_lands_in_its_band() -> None:
    """1 kHz is 28.52 steps of 2840.02 / 81 mel: between the peaks of bands 27 and 28, nearer to 28."""
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)
    power = MelFrontEnd().power(tone[None])[0]
    frame = power[:, 60]
    assert frame.argsort(descending=True)[:2].tolist() == [28, 27]
    # A full-scale sine through a Hann window: (512 / 4)^2 at its bin, a quarter of it in each neighbour.
    assert torch.isclose(frame.sum(), torch.tensor(1.5 * 128**2), rtol=0.01)


def test_features_are_an_image_and_silence_is_finite() -> None:
    front_end = MelFrontEnd()
    features = front_end(torch.zeros(2, CROP_SAMPLES))
    assert features.shape == (2, 1, 80, 505)
    assert front_end.output_shape == (80, 505)
    assert torch.allclose(features, torch.tensor(POWER_FLOOR).log())
    assert not list(front_end.parameters())
    assert not front_end.state_dict()


def test_without_compression_the_features_are_the_power() -> None:
    description = describe_front_end("mel", compression="none")
    assert "power_floor" not in description
    waves = torch.randn(2, CROP_SAMPLES, generator=torch.Generator().manual_seed(0))
    plain = build_front_end(description)
    assert torch.equal(plain(waves)[:, 0], plain.power(waves))
    log = build_front_end(describe_front_end("mel"))
    assert torch.equal(log(waves), torch.log(plain(waves) + POWER_FLOOR))


def test_the_features_stay_float32_where_the_caller_computes_in_bfloat16() -> None:
    waves = torch.randn(1, CROP_SAMPLES, generator=torch.Generator().manual_seed(0))
    front_end = MelFrontEnd()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = front_end(waves)
    assert torch.equal(rounded, front_end(waves))
