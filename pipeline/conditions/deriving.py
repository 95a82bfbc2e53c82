"""One file of a split under one setting: read, processed, and written beside its row; or a reason why not."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codecfake.codec_adapters.resampling import Wave, resample, to_mono
from codecfake.manifests.derived import derived_file
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.audio import decode, encode_wav, to_pcm16
from codecfake.pipeline.block_sources import Quarantined
from codecfake.pipeline.conditions.processing import Setting, Silent, Utterance

Row = dict[str, Any]
"""One row of the split's manifest."""


@dataclass(frozen=True)
class Deriver:
    """Processes the files of a split.

    Args:
        run_dir: The run, to which the paths of the rows are relative.
        setting: What to do to them.
        voices: Rows of the bona fide evaluation files, for babble.
    """

    run_dir: Path
    setting: Setting
    voices: Sequence[Row]

    def derive(self, row: Row, audio: Path) -> dict[str, Any]:
        """Write the processed file of a row.

        Args:
            row: What to process.
            audio: Folder to write into.

        Returns:
            A row in the item schema, with a reason where nothing could be written.
        """
        file = derived_file(row["file"], self.setting.name)
        item = {name: row[name] for name in ("utterance_id", "codec", "samples", "seconds", "sample_rate")}
        item |= {"file": file, "path": None, "reason": None, "message": None}
        item |= {"source_sha256": row["sha256"], "sha256": None, "clipped_samples": 0}
        try:
            pcm, clipped = to_pcm16(self._process(row))
        except Quarantined as problem:
            return item | {"reason": str(problem.reason), "message": problem.message}
        content = encode_wav(pcm, row["sample_rate"])
        path = audio / file
        path.write_bytes(content)
        return item | {"sha256": hashlib.sha256(content).hexdigest(), "clipped_samples": clipped}

    def _process(self, row: Row) -> Wave:
        wave = self._read(row)
        random = _seeded(self.setting.name, row["file"])
        utterance = Utterance(wave, row["sample_rate"], random, lambda: self._other_voices(row, random))
        try:
            result = self.setting.apply(utterance)
        except Silent as error:
            raise Quarantined(Reason.SILENT, str(error)) from error
        except MemoryError:
            raise
        except Exception as error:  # whatever an encoder says about one file stops no other
            refuse_exhaustion(error)
            raise Quarantined(Reason.CODEC_ERROR, f"{type(error).__name__}: {error}") from error
        if not np.isfinite(result).all():
            raise Quarantined(Reason.CODEC_NON_FINITE, "the result holds NaN or infinite samples")
        return result

    def _read(self, row: Row) -> Wave:
        try:
            with open_plain(self.run_dir / row["path"]) as file:
                content = file.readall()
        except OSError as error:
            refuse_exhaustion(error)
            gone = isinstance(error, FileNotFoundError)
            raise Quarantined(Reason.MISSING if gone else Reason.UNREADABLE, error.strerror or "") from error
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise Quarantined(Reason.DAMAGED, "it is not the file that the split's manifest names")
        return _decoded(content, row)

    def _other_voices(self, row: Row, random: np.random.Generator) -> Iterator[Wave]:
        for index in random.permutation(len(self.voices)):
            voice = self.voices[index]
            if voice["speaker"] == row["speaker"]:
                continue
            try:
                wave = self._read(voice)
            except Quarantined:
                continue
            if wave.any():
                yield resample(wave, voice["sample_rate"], row["sample_rate"])


def _decoded(content: bytes, row: Row) -> Wave:
    try:
        wave, rate = decode(content)
    except RuntimeError as error:  # soundfile's errors are RuntimeErrors
        raise Quarantined(Reason.UNREADABLE, str(error)) from error
    if not len(wave):
        raise Quarantined(Reason.EMPTY, "no samples")
    if (len(wave), rate) != (row["samples"], row["sample_rate"]):
        raise Quarantined(Reason.DAMAGED, f"{len(wave)} samples at {rate} Hz, not as in the manifest")
    if not np.isfinite(wave).all():
        raise Quarantined(Reason.NON_FINITE, "holds NaN or infinite samples")
    return to_mono(wave)


def _seeded(setting: str, file: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{setting}/{file}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
