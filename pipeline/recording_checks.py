"""What makes a recording unusable: checks of the entry, the header, and the samples."""

import errno
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.reasons import Reason
from codecfake.manifests.recording_limits import format_problem
from codecfake.pipeline.corpora.listing import ListedUtterance
from codecfake.pipeline.corpora.naming import name_problem

if TYPE_CHECKING:
    import soundfile

MINIMUM_SECONDS = 0.1
MAXIMUM_SECONDS = 3600.0
MAXIMUM_BYTES = 2 * 1024**3
SILENCE_PEAK = 1e-4
BLOCK_SAMPLES = 1 << 16

DATA_CHUNK = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
STREAMED_BYTES = 0x7FFF_0000
"""Programs that write WAV to a pipe promise at least this much, because they cannot know better."""


class UnusableError(Exception):
    """A recording cannot be used; the reason, and in words what is wrong."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check_entry(path: Path, utterance: ListedUtterance) -> None:
    """Check what needs no reading: that there is a file, its name, its size."""
    problem = name_problem(utterance)
    try:
        status = path.stat()
    except OSError as error:
        if problem:  # a name that no manifest can hold is gone when its row is inspected again
            raise UnusableError(Reason.BAD_NAME, problem) from error
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            raise
        what = "broken symbolic link" if path.is_symlink() else "no such file"
        raise UnusableError(Reason.MISSING, what) from error
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "neither a file nor a folder"
        raise UnusableError(Reason.NOT_A_FILE, what)
    if problem:
        raise UnusableError(Reason.BAD_NAME, problem)
    if status.st_size == 0:
        raise UnusableError(Reason.EMPTY, "zero bytes")
    if status.st_size > MAXIMUM_BYTES:
        raise UnusableError(Reason.UNREADABLE, f"{status.st_size:,} bytes, more than {MAXIMUM_BYTES:,}")


def check_header(sound: "soundfile.SoundFile") -> None:
    """Refuse what would not fit into memory."""
    if sound.frames / sound.samplerate > MAXIMUM_SECONDS:
        raise UnusableError(
            Reason.UNREADABLE, f"the header gives no length, or more than {MAXIMUM_SECONDS:,.0f} s"
        )
    if problem := format_problem(sound.samplerate, sound.channels, sound.frames):
        raise UnusableError(Reason.UNREADABLE, problem)


def check_complete(sound: "soundfile.SoundFile") -> None:
    """Compare the length that a WAV header promises with the bytes that follow it."""
    chunk = DATA_CHUNK.search(sound.extra_info)
    promised, present = (int(chunk[1]), int(chunk[2])) if chunk else (0, 0)
    short = present < promised < STREAMED_BYTES
    if not sound.frames:
        raise UnusableError(Reason.EMPTY, "no samples" + (f", {promised:,} bytes promised" if short else ""))
    if short:
        raise UnusableError(Reason.TRUNCATED, f"{present:,} of {promised:,} bytes of audio")


def check_length(sound: "soundfile.SoundFile") -> None:
    """Refuse what is too short to be speech."""
    seconds = sound.frames / sound.samplerate
    if seconds < MINIMUM_SECONDS:
        raise UnusableError(Reason.TOO_SHORT, f"{seconds:.3f} s, less than {MINIMUM_SECONDS} s")


def check_content(sound: "soundfile.SoundFile") -> None:
    """Decode everything, block by block so that memory does not follow the length."""
    import numpy as np
    import soundfile

    decoded, peak = 0, 0.0
    try:
        while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            decoded += len(block)
            with np.errstate(over="ignore"):
                mono = block[:, 0] if sound.channels == 1 else block.mean(axis=1)
            extremes = [block.min(), block.max(), mono.min(), mono.max()]  # all are NaN if any sample is
            if not np.isfinite(extremes).all():
                raise UnusableError(Reason.NON_FINITE, "holds NaN or infinite samples, or their mean is none")
            peak = max(peak, float(mono.max()), -float(mono.min()))
    except soundfile.LibsndfileError as error:
        text = error.error_string.strip().removeprefix("Error : ")
        raise UnusableError(Reason.TRUNCATED, f"{sound.frames:,} samples promised: {text}") from error
    if decoded < sound.frames:
        raise UnusableError(Reason.TRUNCATED, f"{decoded:,} of {sound.frames:,} samples")
    check_length(sound)
    if peak < SILENCE_PEAK:
        raise UnusableError(Reason.SILENT, f"peak {peak:.1e} of full scale, less than {SILENCE_PEAK:.0e}")
