"""Which files to train on: those of a folder, of LibriTTS, of a manifest, or spoken by espeak-ng."""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.plain_files import open_plain
from codecfake.pipeline.codec_training.espeak_speech import DEFAULT_SECONDS, speak_files

if TYPE_CHECKING:
    from codecfake.pipeline.monitor import Monitor

AUDIO_SUFFIXES = (
    *(".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg"),
    *(".opus", ".rf64", ".snd", ".sph", ".w64", ".wav", ".wave"),
)
"""Extensions, in lower case, of what libsndfile reads."""
TRAINING_SUBSETS = ("train-clean-100", "train-clean-360", "train-other-500")
ALL_SUBSETS = (*TRAINING_SUBSETS, "dev-clean", "dev-other", "test-clean", "test-other")
"""Folders at the root of LibriTTS, and of LibriSpeech."""
RUN_MANIFEST = "source.parquet"
HELD_OUT_FILES = 16
HEADER_READERS = 16
NAMED_FILES = 5
"""How many unreadable files a message names."""


@dataclass(frozen=True)
class SpeechFile:
    """One audio file, as its header describes it."""

    path: Path
    name: str
    """Relative to the folder or manifest that it was found through."""
    samples: int
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples / self.sample_rate


@dataclass(frozen=True)
class SpeechFiles:
    """What a training may read, sorted by name."""

    source: str
    """Where from, in words."""
    files: tuple[SpeechFile, ...]
    unreadable: dict[str, str]
    """Name to problem, of files that were left out."""
    is_synthetic: bool = False

    @property
    def seconds(self) -> float:
        """Duration of all files."""
        return sum(file.seconds for file in self.files)

    @property
    def digest(self) -> str:
        """Sha256 of names, lengths and rates; the samples are not read for it."""
        lines = (f"{file.name}\t{file.samples}\t{file.sample_rate}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def find_speech(
    data: str, *, subsets: Sequence[str] = (), seed: int, spoken: Path, monitor: "Monitor"
) -> SpeechFiles:
    """Find the files that ``--data`` names, and read their headers.

    Args:
        data: A folder, searched with all its subfolders; the root of LibriTTS; a run folder or its
            ``source.parquet``; a ``.txt`` of paths or a ``.csv`` with a column ``path``; ``espeak`` or
            ``espeak:SECONDS``.
        subsets: Of LibriTTS; its training subsets when empty.
        seed: Of what espeak-ng says.
        spoken: Folder that espeak-ng's files are kept in.
        monitor: Told about files that cannot be read.

    Raises:
        CodecfakeError: If there is no such place, or no readable audio in it.
    """
    engine, _, seconds = data.partition(":")
    if engine == "espeak":
        paths = speak_files(spoken, _seconds(seconds), seed, monitor)
        source = f"speech made by espeak-ng (espeakng-loader {version('espeakng-loader')}), seed {seed}"
        return _read_headers(source, [(path.name, path) for path in paths], monitor, is_synthetic=True)
    place = Path(data).expanduser()
    if not place.exists():
        raise CodecfakeError(
            f"--data {data}: there is no such folder or file",
            cause="the path is mistyped, or a disk is not mounted",
            next_step="give a folder of audio, the root of LibriTTS, a manifest, or espeak",
        )
    source, named = _list_manifest(place) if _is_manifest(place) else _list_folder(place, subsets)
    return _read_headers(source, sorted(named), monitor)


def hold_out(speech: SpeechFiles) -> tuple[SpeechFiles, SpeechFiles]:
    """Take some files, at most a tenth, away from the training to validate with: spread evenly over all.

    Returns:
        What to train on, and what was held out: nothing of fewer than ten files.
    """
    count = min(HELD_OUT_FILES, len(speech.files) // 10)
    out = {index * len(speech.files) // count for index in range(count)}
    train, held_out = (
        tuple(file for index, file in enumerate(speech.files) if (index in out) is wanted)
        for wanted in (False, True)
    )
    return replace(speech, files=train), replace(speech, files=held_out)


def audio_below(folder: Path) -> list[Path]:
    """Every audio file in a folder and its subfolders, sorted.

    Raises:
        CodecfakeError: If there is none.
    """
    paths = sorted(_walk(folder))
    if not paths:
        raise CodecfakeError(
            f"{folder} holds no audio file",
            cause="the path is mistyped" if not folder.is_dir() else "",
            next_step="give a folder of WAV, FLAC, OGG, Opus or MP3 files",
        )
    return paths


def _seconds(text: str) -> float:
    try:
        seconds = float(text or DEFAULT_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise CodecfakeError(f"espeak:{text} names no number of seconds", next_step="--data espeak:1800")
    return seconds


def _is_manifest(place: Path) -> bool:
    # The audio below a run folder is what codecs made.
    return place.is_file() or (place / RUN_MANIFEST).is_file()


def _list_folder(folder: Path, subsets: Sequence[str]) -> tuple[str, list[tuple[str, Path]]]:
    if not any((folder / subset).is_dir() for subset in ALL_SUBSETS):
        if subsets:
            raise CodecfakeError(
                f"{folder} is no root of LibriTTS: it holds none of {', '.join(ALL_SUBSETS)}",
                next_step="leave --subsets out, or give the folder that the subsets lie in",
            )
        return "a folder of audio", [(_name(path, folder), path) for path in _walk(folder)]
    wanted = subsets or [subset for subset in TRAINING_SUBSETS if (folder / subset).is_dir()]
    absent = [subset for subset in wanted if not (folder / subset).is_dir()]
    if absent or not wanted:
        here = [subset for subset in ALL_SUBSETS if (folder / subset).is_dir()]
        raise CodecfakeError(
            f"{folder} has no subset {', '.join(absent or TRAINING_SUBSETS)}; it has {', '.join(here)}",
            next_step="name what is there with --subsets, or unpack the others",
        )
    speakers: set[str] = set()
    named = []
    for subset in wanted:
        for path in sorted((folder / subset).glob("[0-9]*/[0-9]*/*")):
            if _is_audio(path):
                speakers.add(path.parts[-3])
                named.append((_name(path, folder), path))
    return f"LibriTTS layout, {', '.join(wanted)}, {len(speakers)} speakers", named


def _walk(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if _is_audio(path))


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _list_manifest(place: Path) -> tuple[str, list[tuple[str, Path]]]:
    path = place / RUN_MANIFEST if place.is_dir() else place
    if path.name == RUN_MANIFEST:
        return "the usable recordings of a run's source manifest", _read_run(path.parent)
    if path.suffix.lower() not in (".txt", ".csv"):
        raise CodecfakeError(
            f"--data {path}: neither a folder nor a manifest",
            next_step=f"a manifest is a run's {RUN_MANIFEST}, a .txt of paths, or a .csv with a column path",
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CodecfakeError(f"{path} is no UTF-8 text: {error}") from error
    names = _read_column(path, lines) if path.suffix.lower() == ".csv" else [line.strip() for line in lines]
    return f"a manifest, {path.name}", [
        (name, path.parent / Path(name).expanduser()) for name in names if name
    ]


def _read_column(path: Path, lines: Sequence[str]) -> list[str]:
    rows = csv.DictReader(lines)
    if "path" not in (rows.fieldnames or ()):
        raise CodecfakeError(
            f"{path} has no column path; its columns: {', '.join(rows.fieldnames or ())}",
            next_step="name the column of paths path; they are relative to the manifest, or absolute",
        )
    return [(row["path"] or "").strip() for row in rows]


def _read_run(run: Path) -> list[tuple[str, Path]]:
    from codecfake.pipeline.config import saved_config
    from codecfake.pipeline.corpora import list_corpora
    from codecfake.pipeline.object_store import is_url
    from codecfake.pipeline.source import corpus_roots, current_source

    config = saved_config(run)
    roots = corpus_roots(list_corpora(config.vctk, config.aishell3, config.microphone))
    if remote := [root for root in roots.values() if is_url(root)]:
        raise CodecfakeError(
            f"{run} was built from {remote[0]}, and codecs are trained from files on a disk",
            next_step="copy the corpus to a disk, and give its folder as --data",
        )
    rows = current_source(run).select(["corpus", "path", "reason"]).to_pylist()
    return [
        (f"{row['corpus']}/{row['path']}", roots[row["corpus"]] / row["path"])
        for row in rows
        if row["reason"] is None
    ]


def _read_headers(
    source: str, named: Sequence[tuple[str, Path]], monitor: "Monitor", *, is_synthetic: bool = False
) -> SpeechFiles:
    files: list[SpeechFile] = []
    unreadable: dict[str, str] = {}
    with ThreadPoolExecutor(HEADER_READERS) as readers:
        for (name, path), found in zip(named, readers.map(_header, [path for _, path in named]), strict=True):
            if isinstance(found, str):
                unreadable[name] = found
            else:
                files.append(SpeechFile(path, name, *found))
    if unreadable:
        monitor.say(tell_unreadable(unreadable, len(named)))
    if not files:
        raise CodecfakeError(
            f"no readable audio among {len(named)} files ({source})",
            cause="the folder is another one than meant, or its files are of a format that libsndfile lacks",
            next_step="give --data a folder of WAV, FLAC, OGG, Opus or MP3 files",
        )
    return SpeechFiles(source, tuple(files), unreadable, is_synthetic)


def tell_unreadable(unreadable: dict[str, str], files: int) -> str:
    """Say in one line how many files cannot be read, and which are the first."""
    shown = "; ".join(f"{name}: {problem}" for name, problem in list(unreadable.items())[:NAMED_FILES])
    more = "; ..." if len(unreadable) > NAMED_FILES else ""
    return f"{len(unreadable):,} of {files:,} files cannot be read and are left out: {shown}{more}"


def _header(path: Path) -> tuple[int, int] | str:
    """Samples per channel and rate, or what is wrong."""
    import soundfile

    try:
        open_plain(path).close()
        header = soundfile.info(path)
    except (OSError, RuntimeError) as error:
        return "not there" if not path.exists() else _reason(error)
    return (header.frames, header.samplerate) if header.frames else "no samples"


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
