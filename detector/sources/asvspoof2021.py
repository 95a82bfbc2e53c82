"""ASVspoof 2021 LA and DF evaluation sets, with the full keys (``trial_metadata.txt`` of the CM task).

Columns, as the organisers' evaluation package explains them: speaker, file, codec, transmission (LA) or source
corpus (DF), attack, key, trim, phase; DF adds the kind of vocoder. Results are reported on the phase ``eval``.
"""

from pathlib import Path

from codecfake.detector.sources.asvspoof import attack_of, build_asvspoof_list, find_files
from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.detector.sources.protocols import read_words
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import DEV, TRAIN, SplitTrials, TrialList, digest_lists, empty_trials
from codecfake.manifests.errors import CodecfakeError

NAME = "asvspoof2021"
TRACKS = {"LA": "21LA", "DF": "21DF"}
PHASE = "eval"
FILE = "trial_metadata.txt"
LOOKED_AT_BYTES = 4096
"""Of a key file, to tell its track; its first line may be a header."""
PATTERNS = [
    f"{folder}{FILE}"
    for folder in ("", "*/", "CM/", "*/CM/", "keys/CM/", "keys/*/CM/", "*/keys/CM/", "*/keys/*/CM/")
]


def recognise(data: Path) -> bool:
    """Whether there are keys of LA or DF."""
    return bool(_keys(data))


def read(data: Path) -> SplitTrials:
    """Read the evaluation phase of every track whose keys are there."""
    keys = _keys(data)
    if not keys:
        raise CodecfakeError(f"{data} has no {FILE} of ASVspoof 2021 LA or DF")
    notes: list[str] = []
    index = AudioIndex.scan(data)
    conditions = {
        TRACKS[track]: _read_track(track, keys[track], index, notes) for track in sorted(keys, reverse=True)
    }
    return SplitTrials(
        NAME,
        digest_lists(list(conditions.values())),
        empty_trials(TRAIN, index.root),
        empty_trials(DEV, index.root),
        conditions,
        notes,
    )


def _keys(data: Path) -> dict[str, Path]:
    """The key file of every track, told apart by the file names within."""
    found: dict[str, Path] = {}
    for path in find_files(data, PATTERNS):
        with path.open("rb") as handle:
            start = handle.read(LOOKED_AT_BYTES).decode(errors="replace").splitlines()
        for words in map(str.split, start):
            # The ASV task has key files of that name too, with `target` and `nontarget` as labels.
            if len(words) >= 8 and words[5] in ("bonafide", "spoof") and words[1][:5] in ("LA_E_", "DF_E_"):
                found.setdefault(words[1][:2], path)
                break
    return found


def _read_track(track: str, path: Path, index: AudioIndex, notes: list[str]) -> TrialList:
    import pyarrow.compute as pc

    fourth = "transmission" if track == "LA" else "corpus"
    names = ["speaker", "file", "codec", fourth, "attack", "key", "trim", "phase"]
    table = read_words(path, names, notes)
    evaluated = table.filter(pc.equal(table["phase"], PHASE))
    if others := len(table) - len(evaluated):
        notes.append(f"{TRACKS[track]}: {others:,} trials of the phases progress and hidden were left out")
    about = {key: evaluated[key] for key in ("speaker", "codec", *(["corpus"] if track == "DF" else []))}
    about["attack"] = attack_of(evaluated)
    return build_asvspoof_list(
        TRACKS[track], index, evaluated, folders=[f"ASVspoof2021_{track}_eval"], notes=notes, about=about
    )


SOURCE = Source(
    NAME,
    "ASVspoof 2021 LA or DF: keys/LA/CM/trial_metadata.txt, keys/DF/CM/trial_metadata.txt",
    recognise,
    read,
    facts=(
        "The keys are a download of their own: LA-keys-full.tar.gz and DF-keys-full.tar.gz of asvspoof.org.",
    ),
)
