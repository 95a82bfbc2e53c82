"""Look at every recording once: is it usable, how long is it, what is its hash."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.reasons import Reason
from codecfake.manifests.schema import source_schema
from codecfake.pipeline.corpora.listing import CorpusListing, ListedUtterance, printable
from codecfake.pipeline.corpora.naming import claim_unique_ids
from codecfake.pipeline.object_store import Location
from codecfake.pipeline.recording_checks import (
    UnusableError,
    check_complete,
    check_content,
    check_entry,
    check_header,
    check_length,
)
from codecfake.pipeline.staging import staged

if TYPE_CHECKING:
    import pyarrow as pa
    import soundfile

CHUNK_UTTERANCES = 64

EXPECTED_SAMPLE_RATE = {"vctk": 48_000, "aishell3": 44_100}
EXPECTED_SUBTYPE = "PCM_16"
CONTAINERS = {".wav": ("WAV", "WAVEX"), ".flac": ("FLAC",)}


def inspect_utterance(root: Path, utterance: ListedUtterance) -> dict[str, Any]:
    """Read, hash and decode one recording; bad input gives a reason, never an exception.

    Args:
        root: Root of the corpus.
        utterance: What to look at.

    Returns:
        One row of the source table.
    """
    return _examine(root, utterance, decode=True)


def probe_utterance(root: Path, utterance: ListedUtterance) -> dict[str, Any]:
    """Read only the header of one recording.

    Returns:
        One row of the source table without ``sha256``; what only decoding shows goes unnoticed.
    """
    return _examine(root, utterance, decode=False)


def inspect_corpora(
    listings: Sequence[CorpusListing], workers: int, report: Callable[[int, int], None]
) -> "pa.Table":
    """Inspect all recordings of all corpora.

    Args:
        listings: The corpora; ids that two of them share are told apart here.
        workers: Number of threads.
        report: Called in the calling thread after every recording with the number done and the total.

    Returns:
        The source table, sorted by corpus and utterance id: the same for any number of workers.
    """
    return _collect(listings, workers, report, inspect_utterance)


def probe_corpora(
    listings: Sequence[CorpusListing], workers: int, report: Callable[[int, int], None]
) -> "pa.Table":
    """Do as `inspect_corpora` from headers alone: fast, for a plan, and ``sha256`` is null throughout."""
    return _collect(listings, workers, report, probe_utterance)


def _collect(
    listings: Sequence[CorpusListing],
    workers: int,
    report: Callable[[int, int], None],
    examine: Callable[[Path, ListedUtterance], dict[str, Any]],
) -> "pa.Table":
    import pyarrow as pa

    roots = {listing.corpus: listing.root for listing in listings}
    utterances = claim_unique_ids(item for listing in listings for item in listing.utterances)
    rows: list[dict[str, Any]] = []
    # Threads: reading, hashing and decoding release the interpreter lock, and processes gain nothing more.
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        tasks = [pool.submit(_examine_part, roots, part, examine) for part in _chunks(utterances)]
        for task in as_completed(tasks):
            for row in task.result():
                rows.append(row)
                report(len(rows), len(utterances))
    finally:
        pool.shutdown(cancel_futures=True)
    rows.sort(key=lambda row: (row["corpus"], row["utterance_id"]))
    return pa.Table.from_pylist(rows, schema=source_schema())


def _examine_part(
    roots: Mapping[str, Location],
    part: Sequence[ListedUtterance],
    examine: Callable[[Path, ListedUtterance], dict[str, Any]],
) -> list[dict[str, Any]]:
    with staged(roots, ((item.corpus, item.path) for item in part)) as local:
        return [examine(local[item.corpus], item) for item in part]


def _chunks(utterances: Sequence[ListedUtterance]) -> Iterator[Sequence[ListedUtterance]]:
    for start in range(0, len(utterances), CHUNK_UTTERANCES):
        yield utterances[start : start + CHUNK_UTTERANCES]


def _examine(root: Path, utterance: ListedUtterance, *, decode: bool) -> dict[str, Any]:
    import soundfile

    row: dict[str, Any] = {
        "utterance_id": utterance.utterance_id,
        "corpus": utterance.corpus,
        "language": utterance.language,
        "speaker": utterance.speaker,
        "gender": utterance.gender,
        "transcript": utterance.transcript,
        "path": printable(utterance.path),
        "seconds": 0.0,
        "samples": 0,
        "sample_rate": 0,
        "channels": 0,
        "subtype": "",
        "sha256": None,
        "reason": None,
        "message": None,
        "notes": "",
    }
    path = root / utterance.path
    try:
        check_entry(path, utterance)
        with (
            path.open("rb", buffering=0) as file,
            soundfile.SoundFile(file.fileno(), closefd=False) as sound,
        ):
            check_header(sound)
            row |= _describe_format(sound)
            if decode:
                row["sha256"] = _digest_beside(file)
            check_complete(sound)
            (check_content if decode else check_length)(sound)
    except UnusableError as problem:
        row |= {"reason": problem.reason.value, "message": str(problem)}
    except soundfile.LibsndfileError as error:
        row |= {"reason": Reason.UNREADABLE.value, "message": error.error_string.strip()}
    except (OSError, soundfile.SoundFileError) as error:
        refuse_exhaustion(error)
        gone = isinstance(error, FileNotFoundError)
        reason = Reason.MISSING if gone else Reason.UNREADABLE
        row |= {"reason": reason.value, "message": getattr(error, "strerror", None) or str(error)}
    if row["reason"] is None:
        row["notes"] = ", ".join(_describe_oddities(row, path.suffix, sound.format))
    return row


def _digest_beside(file: FileIO) -> str:
    """Hash a file that libsndfile reads through the same descriptor, whose position it has to find again."""
    position = file.tell()
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(position)
    return digest


def _describe_format(sound: "soundfile.SoundFile") -> dict[str, Any]:
    return {
        "seconds": sound.frames / sound.samplerate,
        "samples": sound.frames,
        "sample_rate": sound.samplerate,
        "channels": sound.channels,
        "subtype": sound.subtype,
    }


def _describe_oddities(row: dict[str, Any], suffix: str, container: str) -> Iterator[str]:
    """Name in what a usable file differs from its corpus."""
    if container not in CONTAINERS.get(suffix.lower(), (container,)):
        yield f"{container} named {suffix}"
    if row["channels"] != 1:
        yield "stereo" if row["channels"] == 2 else f"{row['channels']} channels"
    if row["sample_rate"] != EXPECTED_SAMPLE_RATE[row["corpus"]]:
        yield f"{row['sample_rate']} Hz"
    if row["subtype"] != EXPECTED_SUBTYPE:
        yield row["subtype"]
