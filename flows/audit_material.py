"""Which files an audit looks at: those of a run, of a downloaded dataset, or fakes beside a folder of their sources."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.schema import REAL

if TYPE_CHECKING:
    from codecfake.detector.sources.audio_index import AudioIndex
    from codecfake.detector.trials import SplitTrials, TrialList
    from codecfake.pipeline.audit.measuring import AuditedFile

SEED = 688
MICROPHONE = r"_mic[12]$"
"""What VCTK 0.92 puts behind the name of an utterance."""
UNKNOWN_CODEC = "spoof"
"""Where a dataset does not tell how its fakes were made."""


@dataclass(frozen=True)
class AuditMaterial:
    """The files of an audit."""

    name: str
    """Of the split or the dataset."""
    files: "list[AuditedFile]"
    utterances: int
    """Source utterances that the files come from."""
    all_utterances: int
    """How many the dataset has."""
    notes: list[str]
    trials: "SplitTrials"
    """The whole dataset."""


def gather(
    data: Path, split: str | None, real: Path | None, limit: int, setting: str | None = None
) -> AuditMaterial:
    """List the files of a dataset, each once, of at most ``limit`` source utterances.

    Args:
        data: A run folder, or a downloaded dataset.
        split: Name of the split, for a run that has several.
        real: Folder with the sources of the fakes, for a dataset without bona fide files.
        limit: Utterances to take, chosen by a fixed seed; 0 takes all.
        setting: Robustness condition of a run to audit, such as opus16; the files as they were built if None.

    Raises:
        CodecfakeError: If the folder holds no known dataset, or one of the classes is missing.
    """
    from codecfake.detector.sources import open_trials

    trials = open_trials(data, split)
    files, notes = _files_of(_parts_under(trials, setting)), trials.notes
    if real is not None:
        fakes = [file for file in files if file.codec != REAL]
        index = _index_of(real)
        files = fakes + _sources_of(fakes, index)
        notes = [*notes, *(f"{real.name}: {note}" for note in index.notes)]
    if all(file.codec == REAL for file in files):
        raise CodecfakeError(f"{data.name} holds no fakes")
    if all(file.codec != REAL for file in files):
        raise CodecfakeError(
            f"no bona fide file belongs to the fakes of {data.name}",
            cause="the dataset was published without them, or their names differ from those of the fakes' sources",
            next_step=f"codecfake audit {data} --real FOLDER",
        )
    if setting:
        files = _with_sources(files)
    ids = sorted({file.utterance_id for file in files}, key=_seeded)
    chosen = set(ids[: limit or None])
    kept = [file for file in files if file.utterance_id in chosen]
    name = f"{trials.name}, {setting}" if setting else trials.name
    return AuditMaterial(name, kept, len(chosen), len(ids), notes, trials)


def _with_sources(files: "list[AuditedFile]") -> "list[AuditedFile]":
    """Bona fide files and their own fakes.

    An unseen codec has fakes of utterances whose bona fide files are not evaluated; they have no source here.
    """
    sources = {file.utterance_id for file in files if file.codec == REAL}
    return [file for file in files if file.utterance_id in sources]


def _parts_under(trials: "SplitTrials", setting: str | None) -> "list[TrialList]":
    """The parts whose files were built, or those under a robustness condition."""
    parts = [trials.train, trials.dev, *trials.conditions.values()]
    chosen = [part for part in parts if part.processing == (setting or "")]
    if not chosen:
        present = sorted({part.processing for part in parts} - {""})
        raise CodecfakeError(
            f"{trials.name} has no robustness condition {setting!r}; it has {', '.join(present) or 'none'}",
            next_step=f"codecfake conditions RUN --add {setting}",
        )
    return chosen


def _files_of(parts: "list[TrialList]") -> "list[AuditedFile]":
    """All files of some parts; one name in several conditions is one file."""
    from codecfake.pipeline.audit.measuring import AuditedFile

    files: dict[str, AuditedFile] = {}
    for part in parts:
        codecs = part.columns.get("codec", part.columns.get("attack"))
        sources = part.columns.get("utterance_id")
        for position, name in enumerate(part.files):
            if name in files:
                continue
            codec = (codecs is not None and codecs[position]) or UNKNOWN_CODEC
            if part.labels[position] == Label.BONA_FIDE:
                codec = REAL
            source = (sources is not None and sources[position]) or Path(name).stem
            files[name] = AuditedFile(name, part.path(position), codec, source)
    return list(files.values())


def _index_of(folder: Path) -> "AudioIndex":
    """The audio of the folder that was named with ``--real``."""
    from codecfake.detector.sources.audio_index import AudioIndex

    if not folder.is_dir():
        raise CodecfakeError(
            f"{folder} is no folder", next_step="name the folder of the bona fide files with --real"
        )
    return AudioIndex.scan(folder)


def _sources_of(fakes: "list[AuditedFile]", index: "AudioIndex") -> "list[AuditedFile]":
    """The files of a folder that are named as the sources of fakes are."""
    from codecfake.pipeline.audit.measuring import AuditedFile

    wanted = {file.utterance_id for file in fakes}
    found: dict[str, AuditedFile] = {}
    for path, stem in zip(index.paths(), index.stems.to_pylist(), strict=True):
        source = re.sub(MICROPHONE, "", stem)
        if source in wanted and source not in found:
            found[source] = AuditedFile(Path(path).name, index.root / path, REAL, source)
    return list(found.values())


def _seeded(utterance_id: str) -> bytes:
    return hashlib.sha256(f"{SEED}:{utterance_id}".encode()).digest()
