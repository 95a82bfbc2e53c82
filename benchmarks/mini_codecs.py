"""How well real speech survives the mini networks that ship, and whether they can be told apart.

Every clip of two folders (VCTK and AISHELL-3 in their layouts) goes through every mini network. The networks were
trained on synthetic speech alone, so all clips are held out.

    python benchmarks/mini_codecs.py [--shared ../shared] [--pictures FOLDER]
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import record
from numpy.typing import NDArray

from codecfake.codec_adapters import find_codec
from codecfake.codec_adapters.presets import PRESETS
from codecfake.codec_adapters.resampling import Wave
from codecfake.codec_adapters.training.losses import mel_filters
from codecfake.pipeline.codec_training.validation import (
    SAMPLE_RATE,
    ClipScores,
    mean_scores,
    missing_measures,
    read_clips,
    validate,
)
from codecfake.pipeline.devices import single_threaded_networks
from codecfake.pipeline.weights import describe_mini, find_checkpoint, load_codec

SHARED = Path(__file__).resolve().parents[2] / "shared"
LANGUAGES = {"English": ("VCTK-Corpus-0.92", "*_mic1.flac"), "Mandarin": ("data_aishell3", "*.wav")}
BANDS = 40
FFT_SIZE = 1024
MEASURES = ("stoi", "pesq", "si_sdr", "mel_distance")
HEADINGS = ("STOI", "PESQ", "SI-SDR, dB", "mel distance, dB")


def log_mel(wave: Wave) -> NDArray[np.float64]:
    """Log-mel spectrum in dB, no lower than 60 dB below its highest; shape (frames, bands)."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, FFT_SIZE)[:: FFT_SIZE // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(FFT_SIZE), axis=1)) ** 2
    mel = 10 * np.log10(power @ mel_filters(SAMPLE_RATE, FFT_SIZE, BANDS).numpy() + 1e-12)
    return np.maximum(mel, mel.max() - 60)


def traces(result: ClipScores) -> NDArray[np.float64]:
    """What a codec did to a clip: the mean and the spread over time of the change of every band, in dB."""
    change = log_mel(result.decoded) - log_mel(result.original)
    return np.concatenate([change.mean(axis=0), change.std(axis=0)])


def told_apart(features: NDArray[np.float64]) -> float:
    """Share of clips whose codec is that of the nearest mean of the other clips; ``features`` (codecs, clips, N)."""
    codecs, clips, _ = features.shape
    scaled = features / features.std(axis=(0, 1))
    right = 0
    for clip in range(clips):
        means = np.delete(scaled, clip, axis=1).mean(axis=1)
        distances = np.linalg.norm(scaled[:, clip, None] - means, axis=-1)
        right += int((distances.argmin(axis=1) == np.arange(codecs)).sum())
    return right / (codecs * clips)


def draw(results: dict[str, list[ClipScores]], path: Path) -> None:
    """Draw the spectrogram of the first clip, and of what every codec makes of it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    waves = {"genuine": next(iter(results.values()))[0].original}
    waves |= {codec: found[0].decoded for codec, found in results.items()}
    figure, axes = pyplot.subplots(
        len(waves), 1, figsize=(10, 2 * len(waves)), sharex=True, layout="constrained"
    )
    for axis, (name, wave) in zip(axes, waves.items(), strict=True):
        axis.specgram(wave, NFFT=512, Fs=SAMPLE_RATE, noverlap=384, vmin=-120, vmax=-30, cmap="magma")
        axis.set_ylabel(name)
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def markdown(rows: dict[str, dict], share: float, clips: dict[str, int]) -> str:
    """A table of all codecs, English before Mandarin in every cell."""
    lines = [
        "# The mini networks on real speech",
        "",
        f"| codec | title | MB | {' | '.join(HEADINGS)} |",
        "|---|---|---:|" + "---|" * len(HEADINGS),
    ]
    for codec, row in rows.items():
        cells = [
            " / ".join(
                "-" if row[language][name] is None else f"{row[language][name]:.2f}" for language in LANGUAGES
            )
            for name in MEASURES
        ]
        lines.append(
            f"| {codec} | {find_codec(codec).card.title} | {row['megabytes']:.2f} | {' | '.join(cells)} |"
        )
    counts = " and ".join(f"{count} {language}" for language, count in clips.items())
    lines += [
        "",
        f"Means over {counts} clips of real speech, English / Mandarin, compared at 16 kHz.",
        "All networks were trained on speech made by espeak-ng alone: for demonstration and tests, never for research.",
        "",
        f"Told apart by what they do to the mean and the spread of {BANDS} mel bands (nearest mean of the other",
        f"clips): {100 * share:.1f} % of the outputs are given to the right codec; chance is {100 / len(rows):.1f} %.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED, help="Folder that holds corpora/.")
    parser.add_argument("--pictures", type=Path, help="Folder for one picture of spectrograms per language.")
    arguments = parser.parse_args()
    about = record.environment()
    folders = {name: arguments.shared / "corpora" / folder for name, (folder, _) in LANGUAGES.items()}
    clips = {
        name: read_clips(sorted(folders[name].rglob(pattern)), limit=1000)
        for name, (_, pattern) in LANGUAGES.items()
    }
    results: dict[str, dict[str, list[ClipScores]]] = {}
    with single_threaded_networks():
        for codec in PRESETS["codecfake"]:
            adapter = load_codec(codec, find_checkpoint(find_codec(codec).card, "mini"), "cpu")
            results[codec] = {language: validate(adapter, found) for language, found in clips.items()}
            print(
                codec,
                {name: asdict(mean_scores(found)) for name, found in results[codec].items()},
                flush=True,
            )
    features = np.stack(
        [
            [traces(result) for found in by_language.values() for result in found]
            for by_language in results.values()
        ]
    )
    share = told_apart(features)
    rows = {
        codec: {language: asdict(mean_scores(found)) for language, found in by_language.items()}
        | {"megabytes": describe_mini(find_codec(codec).card)["bytes"] / 1e6}
        for codec, by_language in results.items()
    }
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
        for language in LANGUAGES:
            of_language = {codec: by_language[language] for codec, by_language in results.items()}
            draw(of_language, arguments.pictures / f"mini_codecs_{language.lower()}.png")
    counts = {language: len(found) for language, found in clips.items()}
    result = {
        "environment": about,
        "clips": counts,
        "codecs": rows,
        "told_apart": share,
        "not_installed": missing_measures(),
    }
    record.write_result("mini_codecs", result, markdown(rows, share, counts))


if __name__ == "__main__":
    main()
