"""The utterances of a block of shards: read, checked and resampled once for all codecs of the block."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codecfake.codec_adapters.base import SourceWave
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import read_plain
from codecfake.manifests.reasons import Reason
from codecfake.manifests.stage_clock import StageClock
from codecfake.pipeline.audio import decode
from codecfake.pipeline.recording_checks import MAXIMUM_BYTES
from codecfake.pipeline.shards import SourceRow

KEPT_SAMPLES = 1 << 28
"""Four blocks of ordinary utterances, 1 GiB; beyond it, utterances are read again for each codec."""


class Quarantined(Exception):
    """This utterance cannot be part of the dataset; the run goes on."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class BlockSources:
    """Gives utterances at the input rate of a block's codecs.

    Args:
        corpus_roots: Folder of each corpus.
        rate: Input rate in Hz; ``None`` keeps that of the recording.
        keep: Whether to keep what was read, for the other codecs of the block. 1,800 s at 24 kHz take 173 MB.
    """

    def __init__(self, corpus_roots: Mapping[str, Path], rate: int | None, *, keep: bool) -> None:
        self._roots = corpus_roots
        self._rate = rate
        self._keep = keep
        self._kept: dict[str, SourceWave | Quarantined] = {}
        self._room = KEPT_SAMPLES

    def read(self, source: SourceRow, clock: StageClock) -> SourceWave:
        """Read an utterance, or give what was read for another codec.

        Args:
            source: Row of the source manifest.
            clock: Counts the time as "read" and "resample".

        Raises:
            Quarantined: If it is gone, unreadable or not the same file any more.
        """
        known = self._kept.get(source["utterance_id"])
        if known is None:
            try:
                with clock.measure("read"):
                    wave, rate = read_source(self._roots[source["corpus"]], source)
                with clock.measure("resample"):
                    known = SourceWave.at_rate(wave, rate, self._rate or rate)
            except Quarantined as problem:
                known = problem
            size = 0 if isinstance(known, Quarantined) else len(known.wave)
            if self._keep and size <= self._room:
                self._room -= size
                self._kept[source["utterance_id"]] = known
        if isinstance(known, Quarantined):
            raise known
        return known


def read_source(corpus_root: Path, source: SourceRow) -> tuple[np.ndarray, int]:
    """Read an utterance, and make sure that it is the file that the source manifest names.

    Returns:
        Samples of shape (T, channels), float32, and the sample rate in Hz.

    Raises:
        Quarantined: If it is gone, unreadable or not the same file any more.
    """
    path = corpus_root / source["path"]
    try:
        content = read_plain(path, MAXIMUM_BYTES)
    except FileNotFoundError as error:
        raise Quarantined(Reason.MISSING, f"{path} is gone since the corpus was read") from error
    except OSError as error:
        refuse_exhaustion(error)
        raise Quarantined(Reason.UNREADABLE, f"{path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != source["sha256"]:
        raise Quarantined(
            Reason.SOURCE_CHANGED, f"{path} is not the file that was read for the source manifest"
        )
    import soundfile

    try:
        wave, rate = decode(content)
    except soundfile.SoundFileError as error:
        raise Quarantined(Reason.UNREADABLE, f"{path}: {error}") from error
    if (len(wave), rate) != (source["samples"], source["sample_rate"]):
        raise Quarantined(Reason.UNREADABLE, f"{path} gives another length or rate in memory than from disk")
    return wave, rate
