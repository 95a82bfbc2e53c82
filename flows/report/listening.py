"""The listening page: an utterance per row, a codec per column; every cell is heard, seen and measured."""

import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.codec_adapters.resampling import Wave, resample
from codecfake.flows.report.listening_material import Utterance, choose_material
from codecfake.flows.report.listening_scores import scores_by_detector
from codecfake.flows.report.reported_detectors import find_detectors
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL
from codecfake.pipeline.audit.file_features import read_features
from codecfake.pipeline.codec_training.validation import SAMPLE_RATE, missing_measures
from codecfake.pipeline.listening import drawing
from codecfake.pipeline.listening.measuring import Nearness, nearness
from codecfake.pipeline.listening.playing import copy_playable

if TYPE_CHECKING:
    import numpy as np

    from codecfake.flows.report.pages import Site

MEDIA = "listen"
"""Folder of the audio and the pictures, inside the report."""
LONGEST_NAME = 80
LANGUAGES = {"en": "English", "zh": "Mandarin"}


@dataclass
class Cell:
    """An utterance in one column; without audio, ``problem`` says why."""

    codec: str
    problem: str = ""
    audio: str = ""
    """Path relative to the page, as those of the pictures."""
    picture: str = ""
    difference: str = ""
    """Empty for bona fide audio, and where there is none to compare with."""
    seconds: float = 0.0
    sample_rate: int = 0
    nearness: Nearness | None = None
    scores: dict[str, float] = field(default_factory=dict)
    """By detector."""


@dataclass
class Row:
    """An utterance in all columns."""

    utterance: Utterance
    language: str
    seconds: float
    """Length of the time axis that all its pictures share."""
    cells: list[Cell]


def build_listening_page(
    site: "Site",
    data: Path,
    split: str | None,
    real: Path | None,
    utterances: int,
    wanted: Sequence[str],
    seed: int,
    detectors: Sequence[Path] = (),
) -> None:
    """Write ``listen.html`` with its audio and pictures.

    Args:
        site: The report.
        data: A run folder, or a downloaded dataset.
        split: Name of the split, for a run that has several.
        real: Folder with the sources of the fakes, for a dataset without bona fide files.
        utterances: How many to choose, balanced over languages and speakers.
        wanted: Ids of utterances to show in any case.
        seed: Of the choice.
        detectors: Folders of detectors whose scores are shown, beside those of the run.

    Raises:
        CodecfakeError: If an id is not known. Where nothing can be compared, the page says why.
    """
    try:
        material = choose_material(data, split, real, utterances, wanted, seed)
    except CodecfakeError as error:
        if wanted:
            raise
        next_step = error.next_step.replace(f"codecfake audit {data}", "codecfake report DATA")
        site.write_page("listen", "listen_nothing.html", problem=error, next_step=next_step)
        return
    scores = scores_by_detector(data, find_detectors(data, detectors), split, material.trials)
    media = site.folder / MEDIA
    shutil.rmtree(media, ignore_errors=True)
    media.mkdir(parents=True)
    codecs = [column.codec for column in material.columns]
    with warnings.catch_warnings(), ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        warnings.filterwarnings("ignore", message="Not enough STOI frames")
        tasks = [
            pool.submit(_row, media, number, utterance, codecs, scores)
            for number, utterance in enumerate(material.utterances, start=1)
        ]
        rows = [task.result() for task in tasks]
    missing = missing_measures()
    site.write_page(
        "listen",
        "listen.html",
        columns=material.columns,
        rows=rows,
        chosen=len(rows) - len(set(wanted)),
        wanted=len(set(wanted)),
        all_utterances=material.all_utterances,
        seed=seed,
        detectors=list(scores),
        has_stoi="pystoi" not in missing,
        has_pesq="pesq" not in missing,
        real=REAL,
        range_db=drawing.RANGE_DB,
        difference_db=drawing.DIFFERENCE_DB,
        split=material.trials.name,
    )


def _row(
    media: Path,
    number: int,
    utterance: Utterance,
    codecs: Sequence[str],
    scores: Mapping[str, Mapping[str, float]],
) -> Row:
    """Measure, draw and copy all files of an utterance."""
    cells = [Cell(codec) for codec in codecs]
    waves: dict[str, Wave] = {}
    for position, cell in enumerate(cells):
        file = utterance.files.get(cell.codec)
        if file is None:
            cell.problem = utterance.missing.get(cell.codec, "not in this dataset")
            continue
        try:
            features, wave = read_features(file.path)
            name = copy_playable(
                file.path, media, _stem(number, position, f"{utterance.utterance_id}_{cell.codec}")
            )
        except (OSError, RuntimeError, ValueError) as error:  # soundfile's errors are RuntimeErrors
            cell.problem = f"unreadable: {getattr(error, 'strerror', None) or error}"
            continue
        waves[cell.codec] = resample(wave, features.sample_rate, SAMPLE_RATE)
        cell.audio = f"{MEDIA}/{name}"
        cell.seconds, cell.sample_rate = features.seconds, features.sample_rate
        cell.scores = {detector: of[file.name] for detector, of in scores.items() if file.name in of}
    samples = max(map(len, waves.values()), default=SAMPLE_RATE)
    _draw(media, cells, {codec: drawing.mel_decibels(wave, samples) for codec, wave in waves.items()})
    for cell in cells:
        if REAL in waves and cell.codec in waves and cell.codec != REAL:
            cell.nearness = nearness(waves[REAL], waves[cell.codec])
    language = utterance.about.language
    return Row(utterance, LANGUAGES.get(language, language), samples / SAMPLE_RATE, cells)


def _draw(media: Path, cells: Sequence[Cell], spectra: "Mapping[str, np.ndarray]") -> None:
    """Draw the spectrograms of a row, all on one scale: that of its bona fide audio where there is some."""
    if not spectra:
        return
    source = spectra.get(REAL)
    top = float(max(spectrum.max() for spectrum in ([source] if source is not None else spectra.values())))
    for cell in cells:
        if cell.codec not in spectra:
            continue
        stem = Path(cell.audio).stem
        cell.picture = f"{MEDIA}/{stem}.png"
        drawing.draw_spectrogram(media / f"{stem}.png", spectra[cell.codec], top)
        if source is not None and cell.codec != REAL:
            cell.difference = f"{MEDIA}/{stem}.difference.png"
            drawing.draw_difference(media / f"{stem}.difference.png", source, spectra[cell.codec], top)


def _stem(row: int, column: int, name: str) -> str:
    """A file name that every file system and every browser takes; row and column make it the only one."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:LONGEST_NAME]
    return f"{row:03d}-{column:02d}_{plain}"
