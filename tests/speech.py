"""Speech-like audio and small corpora in the true layouts, made from a seed."""

from pathlib import Path

import numpy as np
import soundfile


def voice(seconds: float, sample_rate: int, seed: int) -> np.ndarray:
    """Harmonics of a wandering pitch under a syllable envelope, with a little noise; peak about 0.5."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    wave = sum(np.sin(k * phase) / k for k in range(1, 9))
    wave *= 0.2 + np.abs(np.sin(2 * np.pi * 2.5 * time + rng.uniform(0, 3)))
    wave += 0.01 * rng.standard_normal(len(time))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def write_vctk(root: Path, speakers: int = 3, utterances: int = 4) -> Path:
    """VCTK 0.92 with synthetic voices, 48 kHz FLAC, 0.6 to 1.5 s each."""
    for speaker in range(225, 225 + speakers):
        folder = root / "wav48_silence_trimmed" / f"p{speaker}"
        folder.mkdir(parents=True)
        for index in range(1, utterances + 1):
            seed = speaker * 1000 + index
            wave = voice(0.6 + 0.9 * (seed * 37 % 101) / 101, 48_000, seed)
            soundfile.write(folder / f"p{speaker}_{index:03d}_mic1.flac", wave, 48_000, subtype="PCM_16")
    lines = [f"p{speaker}  23  {'FM'[speaker % 2]}  English  Here" for speaker in range(225, 225 + speakers)]
    (root / "speaker-info.txt").write_text("ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n" + "\n".join(lines))
    return root


def write_aishell3(root: Path, speakers: int = 3, utterances: int = 3) -> Path:
    """AISHELL-3 with synthetic voices, 44.1 kHz WAV, 0.6 to 1.5 s each."""
    info = ["# Speaker\tage group\tgender\taccent"]
    for speaker in range(5, 5 + speakers):
        part = "test" if speaker % 3 == 0 else "train"
        name = f"SSB{speaker:04d}"
        info.append(f"{name}\tB\tfemale \tnorth")
        folder = root / part / "wav" / name
        folder.mkdir(parents=True)
        for index in range(1, utterances + 1):
            seed = speaker * 1000 + index
            wave = voice(0.6 + 0.9 * (seed * 53 % 103) / 103, 44_100, seed)
            soundfile.write(folder / f"{name}{index:04d}.wav", wave, 44_100, subtype="PCM_16")
            with (root / part / "content.txt").open("a") as content:
                content.write(f"{name}{index:04d}.wav\t好 hao3 人 ren2\n")
    (root / "spk-info.txt").write_text("\n".join(info))
    return root
