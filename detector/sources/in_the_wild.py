"""In-the-Wild (Mueller et al., Interspeech 2022): ``meta.csv`` with file, speaker, label beside the audio."""

from pathlib import Path

from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.detector.sources.protocols import build_list, constant, read_header_csv
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import DEV, TRAIN, SplitTrials, digest_lists, empty_trials
from codecfake.manifests.errors import CodecfakeError

NAME = "in-the-wild"
CONDITION = "ITW"
COLUMNS = ["file", "speaker", "label"]


def recognise(data: Path) -> bool:
    """Whether there is a ``meta.csv`` with its columns."""
    return _meta(data) is not None


def read(data: Path) -> SplitTrials:
    """Read the one list, as the condition ITW."""
    path = _meta(data)
    if path is None:
        raise CodecfakeError(f"{data} has no meta.csv with the columns {', '.join(COLUMNS)}")
    notes: list[str] = []
    # Files are called 0.wav, 1.wav ...: only what lies beside the table can be meant.
    index = AudioIndex.scan(path.parent)
    table = read_header_csv(path, COLUMNS, notes)
    about = {"speaker": table["speaker"], "language": constant("en", len(table))}
    trials = build_list(CONDITION, index, table["file"], table["label"], folders=[], notes=notes, about=about)
    return SplitTrials(
        NAME,
        digest_lists([trials]),
        empty_trials(TRAIN, index.root),
        empty_trials(DEV, index.root),
        {CONDITION: trials},
        notes,
    )


def _meta(data: Path) -> Path | None:
    for path in [data / "meta.csv", *sorted(data.glob("*/meta.csv"))]:
        if path.is_file():
            with path.open("rb") as handle:
                header = handle.readline(1024).decode(errors="replace").removeprefix("\ufeff")
            if header.strip().split(",") == COLUMNS:
                return path
    return None


SOURCE = Source(
    NAME,
    "In-the-Wild: release_in_the_wild/meta.csv with the header file,speaker,label",
    recognise,
    read,
    # 19,963 bona fide and 11,816 spoof, as the dataset's page counts them.
    published_counts={CONDITION: 31_779},
)
