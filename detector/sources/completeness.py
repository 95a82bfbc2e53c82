"""What is missing from a downloaded dataset, by name, and what is known about its published copies."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from codecfake.detector.sources import find_source
from codecfake.detector.sources.audio_index import AudioIndex
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import TrialList
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.plain_files import open_plain

THREADS = 8
FILES_PER_TASK = 256


@dataclass(frozen=True)
class ListCheck:
    """How one list met the audio."""

    name: str
    trials: int
    published: int | None
    """Trials of this list as published, where that is known."""
    missing: list[str]
    """Files without audio that a published copy has."""
    undistributed: list[str]
    """Files without audio that no published copy has."""
    unreadable: list[str]
    """Files whose header cannot be read."""
    rates: dict[int, int]
    """Number of files by sampling rate in Hz."""

    @property
    def is_lacking(self) -> bool:
        """Whether files are missing or unreadable, or the list is shorter than published."""
        return bool(self.missing or self.unreadable) or self.trials < (self.published or 0)


@dataclass(frozen=True)
class CompletenessReport:
    """What was found in a downloaded dataset."""

    dataset: str
    lists: list[ListCheck]
    absent: list[str]
    """Published lists that have no label file here."""
    extra: list[str]
    """Audio that no list names, as paths relative to the folder."""
    notes: list[str]
    facts: list[str] = field(default_factory=list)
    """What is known about the published copies."""

    @property
    def is_whole(self) -> bool:
        """Whether everything that is distributed is there and can be opened."""
        return not (self.absent or any(part.is_lacking for part in self.lists))


def check_completeness(data: Path, advance: Callable[[int, int], None]) -> CompletenessReport:
    """Open the header of every file that a downloaded dataset's lists name.

    Args:
        data: The folder.
        advance: Told how many files are done, and how many there are; first with 0 done.

    Returns:
        The report. Nothing is written into the folder, which may be read-only.

    Raises:
        CodecfakeError: If the folder is no dataset that is known, or its lists are empty.
    """
    source = find_source(data)
    trials = source.read(Path(data).resolve())
    parts = [part for part in (trials.train, trials.dev, *trials.conditions.values()) if len(part)]
    if not parts:
        raise CodecfakeError(f"the lists of {data} are empty", cause="the download was cut short")
    total, done = sum(len(part) for part in parts), 0

    advance(0, total)

    def count(files: int) -> None:
        nonlocal done
        done += files
        advance(done, total)

    lists = [_check_list(part, source, count) for part in parts]
    present = {part.name for part in parts}
    return CompletenessReport(
        source.name,
        lists,
        [name for name in source.published_counts if name not in present],
        _extra(parts),
        trials.notes,
        list(source.facts),
    )


def _check_list(part: TrialList, source: Source, count: Callable[[int], None]) -> ListCheck:
    missing: list[str] = []
    undistributed: list[str] = []
    unreadable: list[str] = []
    rates: Counter[int] = Counter()
    for position, found in _read_headers(part, count):
        if isinstance(found, int):
            rates[found] += 1
        elif found == "missing":
            is_real = part.labels[position] == Label.BONA_FIDE
            known = is_real and part.name in source.undistributed
            (undistributed if known else missing).append(part.files[position])
        else:
            unreadable.append(part.files[position])
    return ListCheck(
        part.name,
        len(part),
        source.published_counts.get(part.name),
        missing,
        undistributed,
        unreadable,
        dict(sorted(rates.items())),
    )


def _read_headers(part: TrialList, count: Callable[[int], None]) -> Iterator[tuple[int, int | str]]:
    """Yield the position of every trial, with its sampling rate, ``missing`` or ``unreadable``."""

    def read_some(start: int) -> list[int | str]:
        return [_read_header(part.path(i)) for i in range(start, min(start + FILES_PER_TASK, len(part)))]

    with ThreadPoolExecutor(THREADS) as pool:
        for start, some in zip(
            range(0, len(part), FILES_PER_TASK),
            pool.map(read_some, range(0, len(part), FILES_PER_TASK)),
            strict=True,
        ):
            yield from enumerate(some, start=start)
            count(len(some))


def _read_header(path: Path) -> int | str:
    import soundfile

    try:
        open_plain(path).close()
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError):
        return "unreadable" if path.exists() else "missing"
    return info.samplerate if info.frames else "unreadable"


def _extra(parts: list[TrialList]) -> list[str]:
    """Audio below the folder that no list found."""
    root = parts[0].root
    named = {path for part in parts for path in part.relative_paths}
    return [path for path in AudioIndex.scan(root).paths() if path not in named]
