"""ASVspoof 5 (README of the database), track 1: tables of ten columns.

Speaker, file, sex, codec (C01 ... C11, ``-`` for none), its setting, the file it was made from, attack tag, attack,
key, and one that is not used. The evaluation set holds codec versions of bona fide and spoofed trials alike.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.detector.sources.asvspoof import attack_of, build_asvspoof_list, find_files, gather
from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.detector.sources.protocols import constant, read_words
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import DEV, TRAIN, SplitTrials, TrialList, empty_trials

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "asvspoof5"
CONDITION = "ASVspoof5"
PROTOCOLS = {TRAIN: "train", DEV: "dev.track_1", CONDITION: "eval.track_1"}
AUDIO = {TRAIN: ["flac_T"], DEV: ["flac_D"], CONDITION: ["flac_E_eval", "flac_E"]}
COLUMNS = ["speaker", "file", "sex", "codec", "setting", "made_from", "tag", "attack", "key"]


def recognise(data: Path) -> bool:
    """Whether there is a protocol of track 1."""
    return any(_protocol(data, name) for name in PROTOCOLS)


def read(data: Path) -> SplitTrials:
    """Read train, dev and the evaluation set, those whose protocol is there."""
    notes: list[str] = []
    index = AudioIndex.scan(data)
    lists = [_read_list(name, data, index, notes) for name in PROTOCOLS]
    return gather(NAME, lists, notes)


def _protocol(data: Path, name: str) -> Path | None:
    file = f"ASVspoof5.{PROTOCOLS[name]}.tsv"
    return next(find_files(data, [file, f"*/{file}"]), None)


def _read_list(name: str, data: Path, index: AudioIndex, notes: list[str]) -> TrialList:
    path = _protocol(data, name)
    if path is None:
        notes.append(f"{name}: ASVspoof5.{PROTOCOLS[name]}.tsv is missing")
        return empty_trials(name, index.root)
    table = read_words(path, COLUMNS, notes)
    return build_asvspoof_list(name, index, table, folders=AUDIO[name], notes=notes, about=_about(table))


def _about(table: "pa.Table") -> "dict[str, pa.Array | pa.ChunkedArray]":
    import pyarrow.compute as pc

    is_source = pc.equal(table["made_from"], "-")
    return {
        "utterance_id": pc.if_else(is_source, table["file"], table["made_from"]),
        "codec": pc.if_else(pc.equal(table["codec"], "-"), "none", table["codec"]),
        "attack": attack_of(table),
        "language": constant("en", len(table)),
        "speaker": table["speaker"],
        "sex": table["sex"],
    }


SOURCE = Source(
    NAME,
    "ASVspoof 5: ASVspoof5.train.tsv, ASVspoof5.dev.track_1.tsv, ASVspoof5.eval.track_1.tsv",
    recognise,
    read,
)
