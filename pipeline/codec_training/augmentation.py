"""What makes engine speech sound recorded: each function draws one way in which recordings differ from it.

The formant engine gives every voice the same clean buzz: exactly periodic, with the same balance of bands, no room, no
noise, one level. A network that has heard nothing else fails on real speech. Waves are float32, shape (T,).
"""

from collections.abc import Callable

import numpy as np

from codecfake.codec_adapters.resampling import Wave, resample

LEAD_SECONDS = 0.25
"""Speech before the crop, whose echoes reach into it."""
FASTEST, SLOWEST = 1.15, 0.87
ENGINE_BAND_HZ = 11_000.0
"""espeak-ng speaks at 22,050 Hz: above this it has nothing."""
QUIET_LEVEL, QUIET_PEAK = 0.05, 0.02
"""Root mean square and peak below which a crop is no speech but a pause, which stays one."""
SMOOTH_RESPONSE = 1024
"""Samples by which a smooth frequency response lengthens a wave, at most: room against wrapping around."""


def samples_needed(samples: int, sample_rate: int) -> int:
    """Samples of speech that ``vary`` takes to give ``samples``."""
    return int((samples + LEAD_SECONDS * sample_rate) * FASTEST) + 2


def vary(wave: Wave, sample_rate: int, samples: int, rng: np.random.Generator) -> Wave:
    """Send speech through what a recording might have met, in that order: speaker, room, microphone, level.

    Args:
        wave: Shape (samples_needed(samples),).
        sample_rate: In Hz.
        samples: Length wanted.
        rng: Decides everything.
    """
    if rng.random() < 0.5:
        wave = change_speed(wave, rng)
    wave = wave[: samples + int(LEAD_SECONDS * sample_rate)]
    if rng.random() < 0.6:
        wave = aspirate(wave, sample_rate, rng)
    if rng.random() < 0.5:
        wave = extend_band(wave, sample_rate, rng)
    if rng.random() < 0.3:
        wave = add_room(wave, sample_rate, rng)
    if rng.random() < 0.7:
        wave = equalise(wave, rng)
    wave = add_noise_floor(wave[-samples:], rng)
    return set_level(wave, rng)


def change_speed(wave: Wave, rng: np.random.Generator) -> Wave:
    """Play a little faster or slower: other vocal tracts and pitches than the engine's."""
    speed = rng.uniform(SLOWEST, FASTEST)
    return resample(wave, 10_000, round(10_000 / speed))


def aspirate(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    """Replace part of the upper band by noise of the same short-time spectrum, as breath does in every voice.

    The engine's harmonics are as regular at 6 kHz as at 200 Hz; real ones drown in breath from some kHz on.
    """
    cutoff, depth = rng.uniform(1000.0, 6000.0), rng.uniform(0.3, 1.0)
    if rng.random() < 0.1:
        cutoff = 0.0  # whispered throughout
    size = 2 ** int(np.log2(0.012 * sample_rate))  # too short to resolve harmonics
    window = np.sqrt(np.hanning(size + 1)[:-1]).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, size), size)[:: size // 2]
    spectra = np.fft.rfft(frames * window)
    share = (depth * _rise(np.fft.rfftfreq(size, 1 / sample_rate), cutoff)).astype(np.float32)
    phases = np.exp(np.complex64(2j * np.pi) * rng.random(spectra.shape, dtype=np.float32))
    # Frames of random phase add up in power, those of speech in amplitude: hence the factor.
    mixed = spectra * (np.sqrt(1 - share**2) + np.float32(np.sqrt(2)) * share * phases)
    return _overlap_add(np.fft.irfft(mixed, size) * window, size // 2)[size : size + wave.size]


def extend_band(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    """Let hiss follow the speech's upper band to where the engine has nothing, as fricatives do."""
    if sample_rate <= 2 * ENGINE_BAND_HZ:
        return wave
    upper = _filter(wave, lambda share: _rise(share * sample_rate / 2, ENGINE_BAND_HZ / 3))
    length = round(0.004 * sample_rate)
    sums = np.cumsum(np.pad(upper**2, (length // 2 + 1, (length - 1) // 2)), dtype=np.float64)
    envelope = np.sqrt((sums[length:] - sums[:-length]).clip(0) / length)
    hiss = (envelope * rng.standard_normal(wave.size)).astype(np.float32)
    hiss = _filter(hiss, lambda share: _rise(share * sample_rate / 2, ENGINE_BAND_HZ))
    return wave + np.float32(10 ** rng.uniform(-1.0, 0.2)) * hiss


def add_room(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    """Add the echoes of a small room: noise that dies away behind the direct sound."""
    tail = np.arange(1, int(LEAD_SECONDS * sample_rate)) / sample_rate
    decay = 10 ** (-3 * tail / rng.uniform(0.1, 0.5))  # the level falls by 60 dB within that time
    echoes = rng.standard_normal(tail.size) * decay * (tail > rng.uniform(0.001, 0.008))
    echoes *= 10 ** (-rng.uniform(3.0, 20.0) / 20) / np.sqrt(np.sum(echoes**2))
    response = np.concatenate([[1.0], echoes]).astype(np.float32)
    padded = _fast_length(wave.size + response.size)
    return np.fft.irfft(np.fft.rfft(wave, padded) * np.fft.rfft(response, padded), padded)[: wave.size]


def equalise(wave: Wave, rng: np.random.Generator) -> Wave:
    """Apply a smooth random frequency response of some 12 dB: microphones and distances."""
    knots = np.cumsum(rng.normal(0.0, 3.0, 8))
    places = np.linspace(0, 1, 8) ** 2  # denser at low frequencies
    return _filter(wave, lambda share: 10 ** (np.interp(share, places, knots - knots.mean()) / 20))


def add_noise_floor(wave: Wave, rng: np.random.Generator) -> Wave:
    """Add faint noise, from white to what rumbles: the engine's pauses are digital silence, as no recording's are.

    It stays 30 dB below the speech: louder, a small network learns the noise.
    """
    steepness = rng.uniform(0.0, 0.8)
    noise = rng.standard_normal(wave.size, dtype=np.float32)
    noise = _filter(noise, lambda share: (share + 1e-3) ** -steepness)
    level = max(_level(wave), QUIET_LEVEL) * 10 ** (-rng.uniform(30.0, 75.0) / 20)
    return wave + noise * np.float32(level / _level(noise))


def set_level(wave: Wave, rng: np.random.Generator) -> Wave:
    """Bring the peak to between -26 and 0 dB of full scale: AISHELL-3 peaks near -20 dB, VCTK near 0."""
    peak = max(float(np.abs(wave).max()), QUIET_PEAK)
    return wave * np.float32(10 ** (rng.uniform(-26.0, 0.0) / 20) / peak)


def _level(wave: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(wave)))) + 1e-5


def _rise(frequencies: np.ndarray, cutoff: float) -> np.ndarray:
    """A gain from 0 to 1, half way at ``cutoff``, within about an octave; 1 throughout for a cutoff of 0."""
    return frequencies**6 / (frequencies**6 + cutoff**6) if cutoff else np.ones_like(frequencies)


def _filter(wave: Wave, response: Callable[[np.ndarray], np.ndarray]) -> Wave:
    """Multiply the spectrum by ``response``, a function of frequencies in shares of half the sample rate."""
    padded = _fast_length(wave.size + SMOOTH_RESPONSE)
    gains = response(np.linspace(0, 1, padded // 2 + 1)).astype(np.float32)
    return np.fft.irfft(np.fft.rfft(wave, padded) * gains, padded)[: wave.size]


def _fast_length(samples: int) -> int:
    return 2 ** (samples - 1).bit_length()


def _overlap_add(frames: np.ndarray, hop: int) -> Wave:
    """Sum frames that overlap by half, shape (F, 2 hop), into shape ((F + 1) hop,)."""
    total = np.zeros((len(frames) + 1, hop), np.float32)
    total[:-1] += frames[:, :hop]
    total[1:] += frames[:, hop:]
    return total.reshape(-1)
