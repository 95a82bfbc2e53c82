"""Files that are small and claim to be huge, or are huge: what each costs. Prints a JSON line for each.

``python tests/fuzz/oversized.py FOLDER`` takes its own address space down to 4 GiB first. One file is there at a time.
"""

import gzip
import json
import re
import resource
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from codecfake.detector.crop_reading import UnreadableAudioError, read_crop
from codecfake.detector.evaluation.score_formats import read_score_file
from codecfake.detector.sources.protocols import read_words
from codecfake.manifests.label_files import read_label_file
from codecfake.pipeline.block_sources import read_source
from codecfake.pipeline.corpora.listing import ListedUtterance
from codecfake.pipeline.inspection import inspect_utterance

ADDRESS_SPACE = 4 << 30
MILLION = 1_000_000


def write_wav(path: Path, seconds: int, *, bytes_there: int, rate: int = 16_000) -> None:
    """A header for ``seconds``, and a file of ``bytes_there`` that takes no disk."""
    size = seconds * rate * 2
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
    with path.open("wb") as file:
        file.write(head + b"data" + struct.pack("<I", size))
        file.truncate(44 + bytes_there)


def write_flac(path: Path, seconds: int, rate: int, channels: int, level: int) -> None:
    with soundfile.SoundFile(path, "w", rate, channels, format="FLAC", subtype="PCM_16") as sound:
        for _ in range(seconds):
            sound.write(np.full((rate, channels), level, np.int16))


def write_lines(path: Path, line: str, bad: bytes) -> None:
    lines = [line.format(number).encode() for number in range(MILLION)]
    lines[MILLION // 2] = bad
    path.write_bytes(b"".join(lines))


def write_gzip_of_one_line(path: Path) -> None:
    with gzip.open(path, "wb", 1) as file:
        file.write(b"".join(b"%d.wav 0.5 fake\n" % number for number in range(10)))
        for _ in range(500):
            file.write(bytes(1_000_000))


def use_recording(path: Path) -> str:
    """Inspect, read for a codec if usable, and read for a detector."""
    root = path.parents[3]
    row = inspect_utterance(root, ListedUtterance("SSB00050001", "aishell3", "zh", "", "", None, LISTED))
    if row["reason"] is None:
        read_source(root, row)
    try:
        read_crop(path)
        crop = "read"
    except UnreadableAudioError as problem:
        crop = str(problem.reason)
    return f"{row['reason'] or 'usable'}, window {crop}"


LISTED = "train/wav/SSB0005/SSB00050001.wav"
CASES: dict[str, tuple[Callable[[Path], None], Callable[[Path], str]]] = {
    "WAV of 44 bytes that claims 2 GB": (lambda p: write_wav(p, 62_500, bytes_there=0), use_recording),
    "WAV of 3 hours": (lambda p: write_wav(p, 10_800, bytes_there=345_600_000), use_recording),
    "FLAC of 3 hours of silence": (lambda p: write_flac(p, 10_800, 8_000, 1, 0), use_recording),
    "FLAC of 23 s, 8 channels, 655 kHz": (lambda p: write_flac(p, 23, 655_350, 8, 8_000), use_recording),
    "label file of a million lines, one bad": (
        lambda p: write_lines(p, "F01_p225_{:07d}.wav fake 1\n", b"\xff\xff x\n"),
        lambda p: "{0.entries.num_rows} labels, {0.bad_line_count} bad".format(read_label_file(p)),
    ),
    "protocol of a million lines, one bad": (
        lambda p: write_lines(p, "LA_0001 LA_E_{:07d} - A07 spoof\n", b"\xff\xff\n"),
        lambda p: f"{len(read_words(p, list('abcde'), []))} rows",
    ),
    "scores of a million lines, one bad": (
        lambda p: write_lines(p, "F01_p225_{:07d}.wav 0.5 fake\n", b"\xff\xff\n"),
        lambda p: f"{len((s := read_score_file(p)).files)} scores, {s.bad.counts.total()} bad",
    ),
    "scores of 0.5 GB in one line, gzipped": (
        write_gzip_of_one_line,
        lambda p: f"{len(read_score_file(p).files)} scores",
    ),
    "FLAC of 50 minutes of one value": (lambda p: write_flac(p, 3_000, 48_000, 1, 8_000), use_recording),
}


def measure(folder: Path) -> None:
    """Try every case under the limit."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    path = folder / LISTED
    path.parent.mkdir(parents=True)
    for name, (write, use) in CASES.items():
        write(path)
        size, began = path.stat().st_size, time.process_time()
        outcome = use(path)
        seconds = time.process_time() - began
        peak = peak_mebibytes()
        path.unlink()
        found = {"outcome": outcome, "seconds": round(seconds, 2), "peak_mib": peak}
        sys.stdout.write(json.dumps({"case": name, "bytes": size} | found) + "\n")


def peak_mebibytes() -> int:
    """Most memory of this process so far; `getrusage` would tell that of its parent if it was more."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
