"""CodecFake (arXiv 2406.07237): VCTK through fifteen codecs, files named ``CODEC+p225_001.wav``.

``datalist.csv`` has the columns path, label, speaker, codec; where it is absent, the names say as much. The split
is by speaker: dev p226 and p229, evaluation p227 and p228, train the rest.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.detector.sources.audio_index import AudioIndex, names_of, stems_of
from codecfake.detector.sources.protocols import build_list, constant, read_header_csv
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import DEV, TRAIN, Rejected, SplitTrials, TrialList, digest_lists
from codecfake.manifests.labels import Label
from codecfake.manifests.schema import REAL

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "codecfake-15"
SPEAKERS = {DEV: ["p226", "p229"], "eval": ["p227", "p228"]}
GENUINE = "genuine"
FILE_NAME = r"^(?:(?P<codec>[^+]+)\+)?(?P<utterance_id>(?P<speaker>[ps]\d+)_\d+)$"
KEPT_STRANGERS = 1_000
COLUMNS = ["path", "label", "speaker", "codec"]


def recognise(data: Path) -> bool:
    """Whether there is the data list, or audio named as CodecFake's."""
    named = (next(data.glob(pattern), None) for pattern in ("*+p*_*.*", "*/*+p*_*.*"))
    return _datalist(data) is not None or any(named)


def read(data: Path) -> SplitTrials:
    """Read train, dev and one evaluation condition per codec, each with all bona fide evaluation files."""
    import pyarrow.compute as pc

    notes: list[str] = []
    index = AudioIndex.scan(data)
    path = _datalist(data)
    if path is None:
        notes += index.notes
    files = names_of(read_header_csv(path, COLUMNS, notes)["path"]) if path else index.names
    parsed = pc.extract_regex(stems_of(files), FILE_NAME)
    strangers = files.filter(pc.invert(parsed.is_valid()))
    if len(strangers):
        notes.append(f"{len(strangers):,} files are not named CODEC+SPEAKER_NUMBER and were left out")
    where = path.name if path else NAME
    rejected = [
        Rejected(where, file, "not named CODEC+SPEAKER_NUMBER")
        for file in strangers[:KEPT_STRANGERS].to_pylist()
    ]
    files, parsed = files.filter(parsed.is_valid()), parsed.filter(parsed.is_valid())
    everything = _build(index, files, parsed, notes)
    if not everything.count(Label.BONA_FIDE):
        notes.append(
            "there is no bona fide file: those of the codecs hold none, see rogertseng/CodecFake_wavs"
        )
    return replace(_split(everything, notes), rejected=rejected)


def _datalist(data: Path) -> Path | None:
    path = data / "datalist.csv"
    return path if path.is_file() else None


def _build(
    index: AudioIndex, files: "pa.Array | pa.ChunkedArray", parsed: "pa.Array", notes: list[str]
) -> TrialList:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(parsed, pa.ChunkedArray):
        parsed = parsed.combine_chunks()
    codec = parsed.field("codec")
    codec = pc.if_else(pc.equal(codec, ""), GENUINE, codec)
    is_real = pc.equal(codec, GENUINE)
    about = {
        "utterance_id": parsed.field("utterance_id"),
        "codec": pc.if_else(is_real, REAL, codec),
        "corpus": constant("vctk", len(parsed)),
        "language": constant("en", len(parsed)),
        "speaker": parsed.field("speaker"),
    }
    words = pc.if_else(is_real, GENUINE, "spoofing")
    return build_list(NAME, index, files, words, folders=[], notes=notes, about=about)


def _split(everything: TrialList, notes: list[str]) -> SplitTrials:
    speakers, codecs = everything.columns["speaker"], everything.columns["codec"]
    is_dev, is_eval = (np.isin(speakers, SPEAKERS[part]) for part in (DEV, "eval"))

    def select(name: str, mask: np.ndarray) -> TrialList:
        return replace(everything.take(np.flatnonzero(mask)), name=name)

    names = sorted(set(codecs[is_eval].tolist()) - {REAL})
    return SplitTrials(
        NAME,
        digest_lists([everything]),
        select(TRAIN, ~(is_dev | is_eval)),
        select(DEV, is_dev),
        {name: select(name, is_eval & np.isin(codecs, [REAL, name])) for name in names},
        notes,
    )


SOURCE = Source(
    NAME,
    "CodecFake (fifteen codecs): datalist.csv, or audio named encodec_24khz+p225_001.wav",
    recognise,
    read,
    licence="CC BY 4.0",
    lists=lambda data: [path] if (path := _datalist(data)) else [],
    facts=(
        "The copy at rogertseng/CodecFake keeps the audio inside Parquet files; the archives of "
        "rogertseng/CodecFake_wavs, unzipped, are what is read here. genuine.zip was added in April 2025.",
        "Each codec wrote at its own sampling rate (16, 24 or 44.1 kHz), so the rate tells fakes from bona fide "
        "files; every reader here resamples.",
    ),
)
