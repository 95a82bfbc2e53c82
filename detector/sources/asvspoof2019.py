"""ASVspoof 2019 LA (datashare 10283/3336): protocols of five columns, speaker, file, -, attack, key."""

from pathlib import Path

from codecfake.detector.sources.asvspoof import attack_of, build_asvspoof_list, find_files, gather
from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.detector.sources.protocols import constant, read_words
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import DEV, TRAIN, SplitTrials, TrialList, empty_trials

NAME = "asvspoof2019-la"
CONDITION = "19LA"
PROTOCOLS = {TRAIN: "train.trn", DEV: "dev.trl", CONDITION: "eval.trl"}
FOLDERS = ("", "ASVspoof2019_LA_cm_protocols/", "LA/ASVspoof2019_LA_cm_protocols/")


def recognise(data: Path) -> bool:
    """Whether there is a countermeasure protocol of 2019 LA."""
    return any(_protocol(data, name) for name in PROTOCOLS)


def read(data: Path) -> SplitTrials:
    """Read train, dev and the evaluation set as the condition 19LA."""
    notes: list[str] = []
    index = AudioIndex.scan(data)
    lists = [_read_list(name, data, index, notes) for name in PROTOCOLS]
    return gather(NAME, lists, notes)


def _protocol(data: Path, name: str) -> Path | None:
    file = f"ASVspoof2019.LA.cm.{PROTOCOLS[name]}.txt"
    return next(find_files(data, [folder + file for folder in FOLDERS]), None)


def _read_list(name: str, data: Path, index: AudioIndex, notes: list[str]) -> TrialList:
    path = _protocol(data, name)
    if path is None:
        notes.append(f"{name}: ASVspoof2019.LA.cm.{PROTOCOLS[name]}.txt is missing")
        return empty_trials(name, index.root)
    table = read_words(path, ["speaker", "file", "unused", "attack", "key"], notes)
    about = {
        "speaker": table["speaker"],
        "attack": attack_of(table),
        "corpus": constant("vctk", len(table)),
        "language": constant("en", len(table)),
    }
    folder = f"ASVspoof2019_LA_{PROTOCOLS[name].split('.')[0]}"
    return build_asvspoof_list(name, index, table, folders=[folder], notes=notes, about=about)


SOURCE = Source(
    NAME,
    "ASVspoof 2019 LA: ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt (dev.trl, eval.trl)",
    recognise,
    read,
    # arXiv 2405.04880, table V.
    published_counts={TRAIN: 25_380, DEV: 24_844, CONDITION: 71_237},
)
