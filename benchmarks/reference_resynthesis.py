"""What the published outputs of CodecFake's fifteen codecs show, against what our cards say of them.

The outputs (three utterances of VCTK, from the paper's project page) and their sources lie in a folder beside the
checkout. Per file: is its sampling rate the card's, is its length what the original code makes of the source, how loud
is it, and by how much does it lag behind the source?

    python benchmarks/reference_resynthesis.py [--shared ../shared]
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import record
import soundfile
from numpy.typing import NDArray

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.resampling import Wave, resample

SHARED = Path(__file__).resolve().parents[2] / "shared"
VCTK_RATE = 48_000
OUTPUTS = "reference_resynthesis"
SOURCES = "corpora/VCTK-Corpus-0.92/wav48_silence_trimmed"
UTTERANCES = ("p225_273", "p295_144", "p318_114")
HIFI_CODEC_PEAK = 0.95


def unchanged(samples: int) -> int:
    """EnCodec, FunCodec in the time domain, and DAC's ``decompress`` cut their output to the input's length."""
    return samples


def padded_to_frames(samples: int, hop: int) -> int:
    """SpeechTokenizer and AudioDec pad the last frame, and give all of it."""
    return -(-samples // hop) * hop


def cut_to_frames(samples: int, hop: int) -> int:
    """HiFi-Codec leaves out what does not fill a frame."""
    return samples // hop * hop


def freqcodec_length(samples: int) -> int:
    """FreqCodec gives an even number of windows, 160 samples apart, cut to the input's length where it is less."""
    windows = 1 + samples // 160
    return min(samples, (windows + windows % 2 - 1) * 160)


def freqcodec_lag(samples: int) -> int:
    """FreqCodec pads an odd number of windows on the left, and moves the output by one."""
    windows = 1 + samples // 160
    return 160 * (windows % 2)


@dataclass(frozen=True)
class Published:
    """How the original code behind a published file behaves."""

    name: str
    """What its file names begin with."""
    length: Callable[[int], int] = unchanged
    """Samples that it makes of so many."""
    lag: Callable[[int], int] = lambda samples: 0
    """Samples by which the output of so many lags."""
    lag_tolerance: int = 5
    """Samples; AudioDec smears what it delays."""
    peak: float | None = None
    """Peak that every source was brought to before the codec, and left at."""
    level_db: float = 0
    """What the codec itself does to the root mean square."""


FILES = {
    "A": Published("SpeechTokenizer", partial(padded_to_frames, hop=320)),
    "B1": Published("academicodec_hifi_16k_320d", partial(cut_to_frames, hop=320), peak=HIFI_CODEC_PEAK),
    "B2": Published(
        "academicodec_hifi_16k_320d_large_uni", partial(cut_to_frames, hop=320), peak=HIFI_CODEC_PEAK
    ),
    "B3": Published("academicodec_hifi_24k_320d", partial(cut_to_frames, hop=320), peak=HIFI_CODEC_PEAK),
    "C": Published(
        "audiodec_24k_320d",
        partial(padded_to_frames, hop=300),
        lag=lambda samples: 186,
        lag_tolerance=12,
        level_db=-1.5,
    ),
    "D1": Published("descript-audio-codec-16khz", lag=lambda samples: -8),
    "D2": Published("descript-audio-codec-24khz", lag=lambda samples: -8),
    "D3": Published("descript-audio-codec-44khz"),
    "E": Published("encodec_24khz"),
    "F1": Published("funcodec-funcodec_en_libritts-16k-gr1nq32ds320", freqcodec_length, freqcodec_lag),
    "F2": Published("funcodec-funcodec_en_libritts-16k-gr8nq32ds320", freqcodec_length, freqcodec_lag),
    "F3": Published("funcodec-funcodec_en_libritts-16k-nq32ds320"),
    "F4": Published("funcodec-funcodec_en_libritts-16k-nq32ds640"),
    "F5": Published("funcodec-funcodec_zh_en_general_16k_nq32ds320"),
    "F6": Published("funcodec-funcodec_zh_en_general_16k_nq32ds640"),
}


@dataclass(frozen=True)
class Measurement:
    """One published file beside its source."""

    codec: str
    utterance: str
    sample_rate: int
    samples: int
    length_as_expected: bool
    level_db: float
    """Root mean square relative to the source's."""
    unexplained_level_db: float
    lag_samples: float
    expected_lag_samples: int


def source_lengths(samples: int, rate: int, to_rate: int) -> set[int]:
    """Samples that the source had at ``to_rate``: resampled from 48 kHz, of which the copy here lost the last ones.

    Args:
        samples: Samples of the copy.
        rate: Rate of the copy in Hz; it divides 48 kHz.
        to_rate: Rate of the codec in Hz.
    """
    factor = VCTK_RATE // rate
    originals = range(factor * (samples - 1) + 1, factor * samples + 1)
    return {-(-original * to_rate // VCTK_RATE) for original in originals}


def log_spectra(wave: Wave, rate: int, step: int) -> NDArray[np.float32]:
    """Log magnitudes of windows of 4 ms, each row of frequencies about its mean; shape (windows, frequencies)."""
    length = rate * 4 // 1000
    windows = np.lib.stride_tricks.sliding_window_view(wave, length)[::step] * np.hanning(length)
    magnitudes = np.abs(np.fft.rfft(windows))
    logs = np.log(magnitudes + 1e-4 * magnitudes.max())
    return (logs - logs.mean(axis=0)).astype(np.float32)


def lag(output: Wave, source: Wave, rate: int) -> float:
    """Samples by which ``output`` comes later than ``source``, at most 30 ms either way.

    Where the correlation of log spectra is highest, between steps of 0.25 ms by a parabola. That of the samples
    themselves is no guide: vocoders do not keep the phase, and its highest peak is often a pitch period away.
    """
    step, most = rate // 4000, 120
    first, second = (log_spectra(wave, rate, step) for wave in (source, output))
    frames = min(len(first), len(second)) - most
    middle = first[most:frames].ravel()
    correlation = np.array(
        [middle @ second[most + shift : frames + shift].ravel() for shift in range(-most, most + 1)]
    )
    best = int(np.clip(correlation.argmax(), 1, 2 * most - 1))
    left, peak, right = correlation[best - 1 : best + 2]
    return float((best - most + (left - right) / (2 * (left - 2 * peak + right))) * step)


def decibels(ratio: float) -> float:
    """Of a ratio of amplitudes."""
    return float(20 * np.log10(ratio))


def read_source(utterance: str, shared: Path) -> tuple[Wave, int]:
    """Give the clip that was resynthesised, and its rate in Hz."""
    return soundfile.read(
        shared / SOURCES / utterance.partition("_")[0] / f"{utterance}_mic1.flac", dtype="float32"
    )


def measure(codec_id: str, utterance: str, shared: Path) -> Measurement:
    """Compare one published file with its source.

    Args:
        codec_id: One of the fifteen.
        utterance: One of the three.
        shared: Folder of the real clips.
    """
    published = FILES[codec_id]
    output, rate = soundfile.read(shared / OUTPUTS / f"{published.name}+{utterance}.flac", dtype="float32")
    copy, copy_rate = read_source(utterance, shared)
    source = resample(copy, copy_rate, rate)
    lengths = source_lengths(len(copy), copy_rate, rate)
    gain = published.peak / np.abs(source).max() if published.peak else 1
    level = decibels(output.std() / source.std())
    return Measurement(
        codec=codec_id,
        utterance=utterance,
        sample_rate=rate,
        samples=len(output),
        length_as_expected=len(output) in map(published.length, lengths),
        level_db=round(level, 3),
        unexplained_level_db=round(level - decibels(gain) - published.level_db, 3),
        lag_samples=round(lag(output, source, rate), 2),
        expected_lag_samples=published.lag(len(source)),
    )


def same_audio(shared: Path) -> list[str]:
    """Codecs whose published files hold the same samples, e.g. ``F5 = F6``."""
    holders: dict[bytes, list[str]] = {}
    for codec_id, published in FILES.items():
        files = (shared / OUTPUTS / f"{published.name}+{utterance}.flac" for utterance in UTTERANCES)
        content = b"".join(soundfile.read(file, dtype="int16")[0].tobytes() for file in files)
        holders.setdefault(content, []).append(codec_id)
    return [" = ".join(codecs) for codecs in holders.values() if len(codecs) > 1]


def table(measurements: list[Measurement]) -> str:
    """One line per codec, the three utterances side by side."""
    heads = (
        "codec",
        "name",
        "rate, Hz",
        "as on the card",
        "length as expected",
        "level, dB",
        "unexplained, dB",
        "lag, samples",
        "expected",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for codec_id in FILES:
        card = find_codec(codec_id).card
        rows = [row for row in measurements if row.codec == codec_id]
        cells = (
            codec_id,
            card.name,
            f"{rows[0].sample_rate}",
            "yes" if all(row.sample_rate == card.sample_rate for row in rows) else "no",
            "yes" if all(row.length_as_expected for row in rows) else "no",
            " / ".join(f"{row.level_db:.2f}" for row in rows),
            " / ".join(f"{row.unexplained_level_db:.2f}" for row in rows),
            " / ".join(f"{row.lag_samples:.1f}" for row in rows),
            " / ".join(f"{row.expected_lag_samples}" for row in rows),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


EXPLANATION = f"""
Utterances {", ".join(UTTERANCES)}, in this order. Expected is what the original code does, by its length law and
its delay: HiFi-Codec (B) was given every utterance at a peak of {HIFI_CODEC_PEAK}; AudioDec (C) is about 1.5 dB
quieter and 186 samples later than its source, as measured here; DAC's weights of D1 and D2 answer 8 samples early;
FreqCodec (F1, F2) comes 160 samples late where its transform has an odd number of windows, and loses up to 159 samples
where it has an even one. Level is the root mean square relative to the source's.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of the real clips")
    shared = parser.parse_args().shared
    environment = record.environment()
    measurements = [measure(codec_id, utterance, shared) for codec_id in FILES for utterance in UTTERANCES]
    repeated = same_audio(shared)
    result = {
        "environment": environment,
        "same_audio": repeated,
        "files": [asdict(measurement) for measurement in measurements],
    }
    shown = table(measurements)
    print(shown)
    record.write_result(
        "reference_resynthesis",
        result,
        "# Published outputs of CodecFake's fifteen codecs against our cards\n\n"
        f"{shown}\n{EXPLANATION}\nFiles that hold the same audio: {', '.join(repeated) or 'none'}.",
    )


if __name__ == "__main__":
    main()
