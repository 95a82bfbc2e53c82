import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corrupt_audio import RATE, encode, write_corrupt_corpus
from speech import voice

from codecfake.manifests.reasons import Reason
from codecfake.manifests.schema import check_schema, source_schema
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.corpora.listing import ListedUtterance
from codecfake.pipeline.inspection import (
    inspect_corpora,
    inspect_utterance,
    probe_corpora,
    probe_utterance,
)

PATH = "train/wav/SSB0005/SSB00050001.wav"
UTTERANCE = ListedUtterance("SSB00050001", "aishell3", "zh", "SSB0005", "F", "你好", PATH)


def ignore_progress(done: int, total: int) -> None:
    pass


def inspect_bytes(root: Path, content: bytes) -> dict:
    (root / PATH).parent.mkdir(parents=True, exist_ok=True)
    (root / PATH).write_bytes(content)
    return inspect_utterance(root, UTTERANCE)


def test_each_corrupt_file_gets_its_reason_and_each_good_one_none(tmp_path):
    expected = write_corrupt_corpus(tmp_path)
    assert len(expected) == 23
    table = inspect_corpora(list_corpora(None, tmp_path), 2, ignore_progress)
    check_schema(table, source_schema(), "test")
    rows = table.to_pylist()
    assert {row["path"]: row["reason"] for row in rows} == expected
    assert all(row["message"] for row in rows if row["reason"])
    notes = {row["utterance_id"]: row["notes"] for row in rows if row["notes"]}
    assert notes == {
        "SSB00050108": "PCM_U8",
        "SSB00050109": "PCM_24",
        "SSB00050110": "stereo",
        "SSB00050111": "8000 Hz",
        "SSB00050112": "96000 Hz",
        "SSB00050118": "FLAC named .wav",
    }


def test_a_probe_finds_what_headers_tell_and_hashes_nothing(tmp_path):
    expected = write_corrupt_corpus(tmp_path)
    table = probe_corpora(list_corpora(None, tmp_path), 2, ignore_progress)
    check_schema(table, source_schema(), "test")
    only_decoding_shows = {Reason.NON_FINITE, Reason.SILENT}
    for row in table.to_pylist():
        wanted = expected[row["path"]]
        if wanted in only_decoding_shows or row["path"].endswith("117.flac"):
            wanted = None
        assert row["reason"] == wanted, row["path"]
        assert row["sha256"] is None


def test_messages_say_what_is_wrong_and_hold_no_memory_addresses(tmp_path):
    write_corrupt_corpus(tmp_path)
    rows = inspect_corpora(list_corpora(None, tmp_path), 1, ignore_progress).to_pylist()
    messages = {row["utterance_id"]: row["message"] for row in rows}
    assert messages["SSB00050113"] == "Format not recognised."
    assert messages["SSB00050102"] == "22,028 of 44,100 bytes of audio"
    assert messages["SSB00050104"] == "no samples, 44,100 bytes promised"
    assert messages["SSB00050117"] == "22,050 samples promised: flac decoder lost sync."
    assert messages["SSB00050115"] == "broken symbolic link"
    assert messages["我的 录音 01"] == "not named <speaker>/<speaker>NNNN.wav"
    assert not any("0x" in (message or "") for message in messages.values())


def test_a_good_recording_is_measured_exactly(tmp_path):
    content = encode(voice(0.5, RATE, seed=1))
    row = inspect_bytes(tmp_path, content)
    assert row == {
        "utterance_id": "SSB00050001",
        "corpus": "aishell3",
        "language": "zh",
        "speaker": "SSB0005",
        "gender": "F",
        "transcript": "你好",
        "path": PATH,
        "seconds": 0.5,
        "samples": 22_050,
        "sample_rate": 44_100,
        "channels": 1,
        "subtype": "PCM_16",
        "sha256": hashlib.sha256(content).hexdigest(),
        "reason": None,
        "message": None,
        "notes": "",
    }
    assert probe_utterance(tmp_path, UTTERANCE) == row | {"sha256": None}


def test_the_shortest_and_the_quietest_recordings_that_are_still_used(tmp_path):
    wave = voice(0.1, RATE, seed=1)
    assert inspect_bytes(tmp_path, encode(wave[:4_410]))["reason"] is None
    assert inspect_bytes(tmp_path, encode(wave[:4_409]))["reason"] == Reason.TOO_SHORT
    assert inspect_bytes(tmp_path, encode(wave * 2.1e-4, subtype="FLOAT"))["reason"] is None
    assert inspect_bytes(tmp_path, encode(wave * 1.9e-4, subtype="FLOAT"))["reason"] == Reason.SILENT


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_one_odd_sample_among_many_is_found(tmp_path, odd, channels):
    wave = np.repeat(voice(4.0, RATE, seed=1)[:, None], channels, axis=1)
    assert inspect_bytes(tmp_path, encode(wave, subtype="FLOAT"))["reason"] is None
    wave[100_000, -1] = odd
    assert inspect_bytes(tmp_path, encode(wave, subtype="FLOAT"))["reason"] == Reason.NON_FINITE


def test_channels_that_cancel_each_other_are_silence(tmp_path):
    wave = voice(0.2, RATE, seed=1)
    assert inspect_bytes(tmp_path, encode(np.stack([wave, -wave], axis=1)))["reason"] == Reason.SILENT


def test_a_wav_written_to_a_pipe_is_not_truncated(tmp_path):
    content = encode(voice(0.5, RATE, seed=1))
    row = inspect_bytes(tmp_path, content[:4] + b"\xff" * 4 + content[8:40] + b"\xff" * 4 + content[44:])
    assert (row["reason"], row["samples"]) == (None, 22_050)


def test_a_flac_of_unknown_length_is_refused_before_memory_is_taken_for_it(tmp_path):
    content = bytearray(encode(voice(0.5, RATE, seed=1), container="FLAC"))
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that give the number of samples
    content[22:26] = bytes(4)
    row = inspect_bytes(tmp_path, bytes(content))
    assert row["reason"] == Reason.UNREADABLE
    assert "length" in row["message"]


def test_more_than_an_hour_is_refused_from_the_header(tmp_path):
    row = inspect_bytes(tmp_path, encode(np.zeros(3_601 * 100, np.float32), 100))
    assert row["reason"] == Reason.UNREADABLE
    assert "3,600 s" in row["message"]


def test_more_than_two_gibibytes_are_refused_unread(tmp_path):
    inspect_bytes(tmp_path, encode(voice(0.5, RATE, seed=1)))
    os.truncate(tmp_path / PATH, 2 * 1024**3 + 1)  # sparse: takes no disk
    row = inspect_utterance(tmp_path, UTTERANCE)
    assert row["reason"] == Reason.UNREADABLE
    assert "2,147,483,649 bytes" in row["message"]


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_damaged_bytes_never_raise(tmp_path, container):
    random = np.random.default_rng(7)
    content = encode(voice(0.2, RATE, seed=1), container=container)
    for trial in range(150):
        damaged = bytearray(content[: random.integers(1, len(content) + 1)] if trial % 2 else content)
        for position in random.integers(0, min(len(damaged), 120), size=4):
            damaged[position] = random.integers(256)
        row = inspect_bytes(tmp_path, bytes(damaged))
        assert row["reason"] is None or row["message"]


def test_a_pipe_named_like_audio_does_not_block(tmp_path):
    (tmp_path / PATH).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / PATH)
    assert inspect_utterance(tmp_path, UTTERANCE)["reason"] == Reason.NOT_A_FILE


def test_a_vanished_corpus_gives_rows(tmp_path):
    assert inspect_utterance(tmp_path / "gone", UTTERANCE)["reason"] == Reason.MISSING


def test_a_file_name_that_is_not_text_is_quarantined(tmp_path):
    write_corrupt_corpus(tmp_path)
    (tmp_path / os.fsdecode(b"test/wav/SSB0016/\xc2\xbc\xd2\xf4.wav")).write_bytes(b"")
    rows = inspect_corpora(list_corpora(None, tmp_path), 1, ignore_progress).to_pylist()
    (row,) = [row for row in rows if "\\x" in row["path"]]
    assert row["reason"] == Reason.BAD_NAME
    again = {name: row[name] for name in ListedUtterance.__dataclass_fields__}
    assert inspect_utterance(tmp_path, ListedUtterance(**again))["reason"] == Reason.BAD_NAME


def test_the_real_clips_are_all_usable_and_the_table_does_not_depend_on_workers(shared):
    listings = list_corpora(shared / "corpora", shared / "corpora")
    seen = []
    table = inspect_corpora(listings, 1, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 43) for done in range(1, 44)]
    assert table.equals(inspect_corpora(listings[::-1], 3, ignore_progress))
    rows = table.to_pylist()
    assert [row["reason"] for row in rows] == [None] * 43
    assert [row["notes"] for row in rows] == [""] * 15 + ["16000 Hz"] * 28
    by_id = {row["utterance_id"]: row for row in rows}
    assert by_id["p225_003"]["samples"] == 96_161
    assert by_id["SSB00050112"]["samples"] == 237_915
    path = shared / "corpora/VCTK-Corpus-0.92" / by_id["p225_003"]["path"]
    assert by_id["p225_003"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_ids_are_unique_over_both_corpora(tmp_path):
    write_corrupt_corpus(tmp_path)
    stray = tmp_path / "train/wav/SSB0005/p225_001.wav"
    stray.write_bytes(b"")
    (listing,) = list_corpora(None, tmp_path)
    vctk_path = "wav48/p225/p225_001.wav"
    other = replace(UTTERANCE, utterance_id="p225_001", corpus="vctk", path=vctk_path)
    both = [listing, replace(listing, corpus="vctk", utterances=(other,))]
    rows = {row["path"]: row for row in inspect_corpora(both, 1, ignore_progress).to_pylist()}
    assert rows[vctk_path]["utterance_id"] == "p225_001"
    assert rows["train/wav/SSB0005/p225_001.wav"]["utterance_id"] == "p225_001#2"
    assert len({row["utterance_id"] for row in rows.values()}) == len(rows)
