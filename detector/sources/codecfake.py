"""The published Codecfake tree (arXiv 2405.04880), and the trees of that layout that our splits hold.

``label/{train,dev,C1..C7,A1..A3}.txt`` have the columns file, real|fake, method. Audio lies in ``train/``,
``dev/`` and ``test/C1/`` ..., or without ``test/``; each condition's folder has its own copy of the bona fide
files. Where it really lies does not matter: it is found by name. Trees of ours may hold robustness conditions:
``C1-opus16.txt`` lists the files of C1 once more, as ``F01_p225_001-opus16.wav``.
"""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.detector.sources.audio_index import AudioIndex, stems_of
from codecfake.detector.sources.protocols import build_list
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import DEV, TRAIN, Rejected, SplitTrials, digest_lists, empty_trials
from codecfake.manifests.derived import PROCESSING, derived_order, derived_suffix
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.label_files import LABEL_WORDS, read_label_file
from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import condition_order

if TYPE_CHECKING:
    import pyarrow as pa

    from codecfake.detector.trials import TrialList

NAME = "codecfake"
LABEL_FOLDERS = ("label", "labels")
LIST_NAME = re.compile(r"train|dev|[CAL]\d+(-.+)?|C-.+")
PREFIX = r"^(?:[FLA]\d+|C\d+-\d+)_|^genuine\+"
"""RE2 pattern of what a file's name puts before the name of its source; ``genuine+`` is CodecFake-15's."""
SETTING = re.compile(r"[a-z0-9][a-z0-9.-]*")
"""Of a robustness condition; it becomes the name of a folder."""
LOOKED_AT_BYTES = 4096
LOOKED_AT_LINES = 20
SPEAKERS = {"vctk": r"^(?P<speaker>[ps]\d+)_\d+$", "aishell3": r"^(?P<speaker>SSB\d{4})\d{4}$"}
LANGUAGES = {"vctk": "en", "aishell3": "zh"}
UNDISTRIBUTED = {
    "A3": "the bona fide files of A3 are in no published copy: they are AudioCaps clips, listed in "
    "dataset/train.csv of github.com/cdjkim/audiocaps (authors' issues 8 and 11)"
}


def recognise(data: Path) -> bool:
    """Whether there is a label file of the Codecfake form."""
    return next(_label_files(data), None) is not None


def read(data: Path) -> SplitTrials:
    """Read a tree; lists without a label file are absent, missing audio is told in the notes."""
    files: dict[str, Path] = {}
    notes: list[str] = []
    rejected: list[Rejected] = []
    for path in _label_files(data):
        name = _list_name(path)
        if name in files:
            notes.append(f"{path.name} was not read: {files[name].name} is the same list")
        files.setdefault(name, path)
    if not files:
        raise CodecfakeError(f"{data} has no label files of Codecfake", next_step=f"codecfake verify {data}")
    index = AudioIndex.scan(data.parent if data.name in LABEL_FOLDERS else data)
    read = (_read_list(name, files[name], index, notes, rejected) for name in sorted(files, key=_order))
    lists = {trials.name: trials for trials in read if len(trials)}
    return SplitTrials(
        NAME,
        digest_lists(list(lists.values())),
        lists.get(TRAIN) or empty_trials(TRAIN, index.root),
        lists.get(DEV) or empty_trials(DEV, index.root),
        {
            trials.name: trials
            for trials in sorted(lists.values(), key=_order_of_condition)
            if trials.name not in (TRAIN, DEV)
        },
        notes,
        rejected,
    )


def _order(name: str) -> tuple:
    """train, dev, C1 ... C10, the bit-rate variants, named codecs, and the audio language models last."""
    if name in (TRAIN, DEV):
        return (0, name == DEV)
    return (2 if name.startswith("A") else 1, condition_order(name))


def _order_of_condition(trials: "TrialList") -> tuple:
    """Clean conditions first, as in a run; then one setting after the other."""
    setting = trials.processing
    return (setting, derived_order(trials.name, setting)) if setting else ("", _order(trials.name))


def _label_files(data: Path) -> Iterator[Path]:
    """Label files in ``label/``, beside the data or one folder deeper, or in the folder itself.

    Where one file of a folder holds labels, the others are meant to: what is wrong with them is to be told.
    """
    candidates = chain([data / name for name in LABEL_FOLDERS], [data], sorted(data.glob("*/label")))
    for folder in candidates:
        named = [
            path
            for path in sorted(folder.glob("*.txt"))
            if LIST_NAME.fullmatch(path.stem) and path.stem != "C0"
        ]
        if any(_holds_labels(path) for path in named):
            yield from named


def _holds_labels(path: Path) -> bool:
    """Whether at least half of the first lines are labels; a header and a bad line among them do no harm."""
    try:
        with open_plain(path) as file:
            start = file.read(LOOKED_AT_BYTES).decode(errors="replace").removeprefix("\ufeff")
    except OSError as error:
        refuse_exhaustion(error)
        return False
    lines = [words for line in start.splitlines() if (words := line.split())][:LOOKED_AT_LINES]
    labels = sum(len(words) == 3 and words[1] in LABEL_WORDS for words in lines)
    return 0 < len(lines) <= 2 * labels


def _is_readable(path: Path) -> bool:
    try:
        open_plain(path).close()
    except OSError as error:
        refuse_exhaustion(error)
        return False
    return True


def _list_name(path: Path) -> str:
    """The list of a label file; L1 ... L3 is the old name of A1 ... A3 (in the authors' score files)."""
    return re.sub(r"^L(?=\d)", "A", path.stem)


def _read_list(
    name: str, path: Path, index: AudioIndex, notes: list[str], rejected: list[Rejected]
) -> "TrialList":
    """Read one label file and find its audio; an empty list where it holds no label."""
    try:
        labels = read_label_file(path)
    except OSError as error:
        refuse_exhaustion(error)
        why = f"it cannot be read: {error.strerror}"
        rejected.append(Rejected(path.name, "", why))
        notes.append(f"{name} is left out, {path.name}: {why}")
        return empty_trials(name, index.root)
    rejected += [
        Rejected(path.name, line.text, f"line {line.number}: {line.reason}") for line in labels.bad_lines
    ]
    if labels.bad_line_count:
        worst = labels.bad_lines[0]
        notes.append(
            f"{path.name}: {labels.bad_line_count:,} lines are no labels, such as line {worst.number}: {worst.reason}"
        )
    entries = labels.entries.combine_chunks()
    if not len(entries):
        notes.append(f"{name} is left out: {path.name} holds no label")
        return empty_trials(name, index.root)
    folders = [name, *([name.replace("A", "L", 1)] if name.startswith("A") else [])]
    return build_list(
        name,
        index,
        entries["file"],
        entries["label"],
        folders=folders,
        notes=notes,
        why_missing=UNDISTRIBUTED.get(name, ""),
        about=_about(entries, _setting(name, entries)),
        rejected=rejected,
    )


def _setting(name: str, entries: "pa.Table") -> str:
    """The setting of a robustness condition, ``opus16`` of C1-opus16: most files end with it. Else empty.

    C7-1 and C-SpeechTokenizer are conditions of codecs, and nothing that their files end with.
    """
    import pyarrow.compute as pc

    stems = stems_of(entries["file"])
    for place in (position for position, letter in enumerate(name) if letter == "-"):
        setting = name[place + 1 :]
        if LIST_NAME.fullmatch(name[:place]) and SETTING.fullmatch(setting):
            named = pc.sum(pc.ends_with(stems, derived_suffix(setting))).as_py() or 0
            if 2 * named > len(entries):
                return setting
    return ""


def _about(entries: "pa.Table", setting: str) -> "dict[str, pa.Array]":
    """What names and methods tell of each trial."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {key: entries[key].combine_chunks() for key in ("file", "label", "method")}
    method = columns["method"]
    stems = stems_of(columns["file"])
    if setting:
        stems = pc.replace_substring_regex(stems, f"{re.escape(derived_suffix(setting))}$", "")
    source = _sources(stems, method)
    codec = pc.replace_substring_regex(method, r"^(\d)$", r"F0\1")
    codec = pc.replace_substring_regex(
        pc.replace_substring_regex(codec, r"^(\d+)$", r"F\1"), r"^L(\d)", r"A\1"
    )
    is_real = pc.equal(columns["label"], LABEL_WORDS[0])
    corpus = speaker = language = pa.repeat("", len(entries))
    for known, pattern in SPEAKERS.items():
        parsed = pc.extract_regex(source, pattern)
        corpus = pc.if_else(parsed.is_valid(), known, corpus)
        language = pc.if_else(parsed.is_valid(), LANGUAGES[known], language)
        speaker = pc.if_else(parsed.is_valid(), parsed.field("speaker"), speaker)
    return {
        "utterance_id": source,
        "codec": pc.if_else(is_real, REAL, codec),
        "corpus": corpus,
        "language": language,
        "speaker": speaker,
        **({PROCESSING: pa.repeat(setting, len(entries))} if setting else {}),
    }


def _sources(stems: "pa.Array", method: "pa.Array") -> "pa.Array":
    """Strip what names put before that of the source; one codec's name may begin another's, so each its own alone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sources = pc.replace_substring_regex(stems, PREFIX, "")
    # Our own trees name codecs of other packages in full, and put that name before the file.
    named = {word for word in pc.unique(method).to_pylist() if not re.fullmatch(r"\d+|[LA]\d+", word)}
    if not named:
        return sources
    rows = zip(stems.to_pylist(), method.to_pylist(), sources.to_pylist(), strict=True)
    return pa.array(
        [
            stem[len(word) + 1 :] if word in named and stem.startswith((f"{word}_", f"{word}+")) else source
            for stem, word, source in rows
        ],
        pa.string(),
    )


SOURCE = Source(
    NAME,
    "a Codecfake tree: label/train.txt, label/dev.txt, label/C1.txt ... with the columns file, real|fake, method",
    recognise,
    read,
    # arXiv 2405.04880 (train, dev, C1..C7); A1..A3 as in the authors' score files, which differ from the paper's
    # 8,902 and 99,113.
    published_counts={"train": 740_747, "dev": 92_596}
    | dict.fromkeys(("C1", "C2", "C3", "C4", "C5", "C6"), 26_456)
    | {"C7": 145_505, "A1": 8_887, "A2": 8_887, "A3": 99_112},
    facts=(
        "The sampling rate differs from method to method (authors' issue 10); every reader here resamples.",
        "Zenodo holds version 1 (May 2024) and version 2 (September 2024) of train, dev and test; Speech DF Arena "
        "asks for version 1. Say which one a result is from. C7 is the same in both.",
        "unzip reports a bad CRC for the parts of train_split and dev_split: join them with "
        "`7z x train_split.zip`, then unzip the train.zip inside (authors' issue 9).",
        "In A1..A3 the third column says L1..L3 for bona fide files too; the second column counts.",
    ),
    licence="CC BY-NC-ND 4.0",
    lists=lambda data: list(filter(_is_readable, _label_files(data))),
    undistributed=UNDISTRIBUTED,
)
