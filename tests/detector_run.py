"""Builds a small run folder with a split, in which spoofs differ audibly from bona fide files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from codecfake.manifests.schema import dataset_schema

SPLIT = "published-seed0"
RATE = 16_000


def speech_like(seed: int, *, is_real: bool, samples: int = 12_000) -> np.ndarray:
    """Harmonics with vibrato and noise, shape (samples,); a spoof lacks everything above 3 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / RATE
    phase = 2 * np.pi * rng.uniform(90, 220) * (time + 0.002 * np.sin(2 * np.pi * 5 * time))
    wave = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 12))
    wave = 0.1 * wave + 0.02 * rng.standard_normal(samples)
    if not is_real:
        spectrum = np.fft.rfft(wave)
        spectrum[int(3000 / (RATE / 2) * spectrum.size) :] = 0
        wave = np.fft.irfft(spectrum, samples)
    return wave.astype(np.float32)


def make_run(folder: Path, *, train: int = 8, dev: int = 4, evaluation: int = 4, fakes: bool = True) -> Path:
    """Write a run with codecs F04 (C4) and F07 (C7, also the fakes of the train utterances).

    Args:
        folder: The run folder.
        train: Train utterances; as many real files and F04 files.
        dev: Dev utterances.
        evaluation: Evaluation utterances.
        fakes: Whether train and dev hold fakes at all.

    Returns:
        The run folder.
    """
    rows: list[dict] = []

    def add(utterance: int, codec: str, split: str, source_split: str, conditions: list[str]) -> None:
        name = f"p225_{utterance:03d}.wav"
        file = name if codec == "real" else f"{codec}_{name}"
        path = folder / "shards" / codec / "00000" / "audio" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = speech_like(utterance, is_real=codec == "real")
        soundfile.write(path, wave, RATE, subtype="PCM_16")
        row = {field.name: "" for field in dataset_schema()}
        row |= {
            "file": file,
            "label": "real" if codec == "real" else "fake",
            "method": "0" if codec == "real" else codec[-1],
            "codec": codec,
            "utterance_id": name.removesuffix(".wav"),
            "split": split,
            "source_split": source_split,
            "conditions": conditions,
            "path": path.relative_to(folder).as_posix(),
            "samples": len(wave),
            "seconds": len(wave) / RATE,
            "sample_rate": RATE,
        }
        rows.append(row)

    sizes = {"train": train, "dev": dev, "eval": evaluation}
    utterance = 0
    for split, size in sizes.items():
        for _ in range(size):
            utterance += 1
            is_eval = split == "eval"
            add(utterance, "real", split, split, ["C4", "C7"] if is_eval else [])
            if fakes:
                add(utterance, "F04", split, split, ["C4"] if is_eval else [])
            add(utterance, "F07", "eval", split, ["C7"])
    manifest = folder / "splits" / SPLIT / "manifest.parquet"
    manifest.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=dataset_schema()), manifest)
    return folder
