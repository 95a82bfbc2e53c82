"""Damaged and odd recordings: a reason code from every reader, whatever the bytes."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from corrupt_audio import encode
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import damaged
from speech import voice

from codecfake.detector.crop_reading import UnreadableAudioError, read_crop
from codecfake.detector.sources.completeness import _read_header
from codecfake.manifests.reasons import Reason
from codecfake.manifests.stage_clock import StageClock
from codecfake.pipeline.block_sources import BlockSources, Quarantined, read_source
from codecfake.pipeline.codec_training.speech_files import _header
from codecfake.pipeline.corpora.listing import ListedUtterance
from codecfake.pipeline.inspection import inspect_utterance, probe_utterance

PATH = "train/wav/SSB0005/SSB00050001.wav"
UTTERANCE = ListedUtterance("SSB00050001", "aishell3", "zh", "SSB0005", "F", None, PATH)
WAVE = voice(0.3, 16_000, seed=1)
CONTAINERS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
              ("AIFF", "PCM_16"), ("W64", "PCM_16"), ("CAF", "ALAC_16"), ("MP3", "MPEG_LAYER_III")]  # fmt: skip
ORIGINALS = [encode(WAVE, 16_000, container, subtype) for container, subtype in CONTAINERS]


def wav(
    rate: int = 16_000,
    channels: int = 1,
    *,
    bits: int = 16,
    kind: int = 1,
    claims: int | None = None,
    data=None,
) -> bytes:
    """A WAV file whose header says what it is told to."""
    data = (WAVE * 20_000).astype("<i2").tobytes() * channels if data is None else data
    block = channels * bits // 8
    size = len(data) if claims is None else claims
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * block % 2**32, block % 2**16, bits)
    head = b"RIFF" + struct.pack("<I", (size + 36) % 2**32) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", size) + data


def outcomes(root: Path, content: bytes) -> list[str | None]:
    """What every reader says of a file: a reason, or None if it takes it."""
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    rows = [inspect_utterance(root, UTTERANCE), probe_utterance(root, UTTERANCE)]
    assert all(row["reason"] is None or (Reason(row["reason"]) and row["message"]) for row in rows)
    try:
        window = read_crop(path)
        assert window.shape == (64_600,) and np.isfinite(window).all()
        crop = None
    except UnreadableAudioError as problem:
        crop = Reason(problem.reason)
    assert isinstance(_read_header(path), int | str)
    assert isinstance(_header(path), tuple | str)
    if rows[0]["reason"] is None:
        decoded, rate = read_source(root, rows[0])
        assert (decoded.shape, rate) == ((rows[0]["samples"], rows[0]["channels"]), rows[0]["sample_rate"])
    return [rows[0]["reason"], crop]


@given(content=damaged(*ORIGINALS))
def test_damaged_recordings_get_a_reason(tmp_path, content):
    outcomes(tmp_path, content)


@given(
    rate=st.integers(0, 2**32 - 1),
    channels=st.integers(0, 2**16 - 1),
    bits=st.sampled_from([0, 1, 8, 12, 16, 24, 32, 64, 65_535]),
    kind=st.sampled_from([0, 1, 2, 3, 6, 7, 17, 49, 85, 65_534]),
    claims=st.integers(0, 2**32 - 1),
    data=st.binary(max_size=4_000),
)
@example(rate=2**31 - 1, channels=1_024, bits=16, kind=1, claims=2**32 - 16, data=b"\1" * 4_000)
def test_lying_headers_get_a_reason(tmp_path, rate, channels, bits, kind, claims, data):
    outcomes(tmp_path, wav(rate, channels, bits=bits, kind=kind, claims=claims, data=data))


@pytest.mark.parametrize(
    ("content", "inspected", "cropped"),
    [
        (wav(), None, None),
        (wav(rate=0), "unreadable", "unreadable"),
        (wav(rate=1), "unreadable", "unreadable"),
        (wav(rate=1, data=bytes(10)), "unreadable", "unreadable"),
        (wav(rate=3_999), "unreadable", "unreadable"),
        (wav(rate=4_000), None, None),
        (wav(rate=768_000), "unreadable", "unreadable"),
        (wav(rate=2**31 - 1), "unreadable", "unreadable"),
        (wav(channels=0), "unreadable", "unreadable"),
        (wav(channels=32), None, None),
        (wav(channels=192), "unreadable", "unreadable"),
        (wav(channels=1_025), "unreadable", "unreadable"),
        (wav(claims=2**32 - 16), None, None),  # as written by a program that writes to a pipe
        (wav(claims=2**31 - 2**20), "truncated", None),
        (wav(claims=0, data=b""), "empty", "empty"),
        (wav(bits=0), "unreadable", "unreadable"),
        (wav(bits=32, kind=3, data=np.full(9_600, np.nan, "<f4").tobytes()), "non-finite", "non-finite"),
        (wav(bits=64, kind=3, data=np.full(9_600, 1e308, "<f8").tobytes()), "non-finite", "non-finite"),
        (wav(channels=2, bits=32, kind=3, data=np.full(9_600, 3e38, "<f4").tobytes()), "non-finite", "non-finite"),
    ],
)  # fmt: skip
def test_odd_headers(tmp_path, content, inspected, cropped):
    assert outcomes(tmp_path, content) == [inspected, cropped]


def test_an_utterance_that_became_something_else_is_quarantined(tmp_path):
    outcomes(tmp_path, wav())
    row = inspect_utterance(tmp_path, UTTERANCE)
    path = tmp_path / PATH
    path.unlink()
    for make in (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(path)):
        make()
        with pytest.raises(Quarantined) as problem:
            read_source(tmp_path, row)
        assert problem.value.reason is Reason.UNREADABLE
        path.rmdir() if path.is_dir() else path.unlink()


def test_what_a_block_keeps_in_memory_is_bounded(tmp_path, monkeypatch):
    outcomes(tmp_path, wav())
    row = inspect_utterance(tmp_path, UTTERANCE)
    rows = [row | {"utterance_id": f"SSB0005000{number}"} for number in range(4)]
    monkeypatch.setattr("codecfake.pipeline.block_sources.KEPT_SAMPLES", 2 * len(WAVE))
    sources = BlockSources({"aishell3": tmp_path}, 16_000, keep=True)
    first = [sources.read(one, StageClock()) for one in rows]
    again = [sources.read(one, StageClock()) for one in rows]
    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True, False, False]
    assert all((one.wave == other.wave).all() for one, other in zip(first, again, strict=True))


def test_a_flac_that_is_tiny_on_disk_is_refused_from_its_header(tmp_path):
    content = bytearray(encode(np.stack([WAVE] * 8, axis=1), 192_000, "FLAC"))
    samples = 2**28 // 8 + 1
    content[22:26] = samples.to_bytes(4)  # of STREAMINFO
    assert outcomes(tmp_path, bytes(content))[0] == "unreadable"
    content[22:26] = (samples - 1).to_bytes(4)
    assert outcomes(tmp_path, bytes(content))[0] == "truncated"
