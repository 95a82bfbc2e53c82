"""Corpora and downloads with pipes, devices, loops and unspeakable names in them: nothing hangs, all is listed."""

import os
import socket
from pathlib import Path

import pytest
import soundfile
from speech import voice, write_aishell3, write_vctk

from codecfake.detector.crop_reading import UnreadableAudioError, read_crop
from codecfake.detector.sources import open_trials
from codecfake.detector.sources.completeness import check_completeness
from codecfake.manifests.plain_files import open_plain
from codecfake.manifests.reasons import Reason
from codecfake.pipeline.codec_training.speech_files import _header
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.inspection import inspect_corpora, probe_corpora

pytestmark = pytest.mark.timeout(60)
RTL = "\u202etxt.vaw"


def mknod(path: Path, device: str) -> None:
    """Make a device node, which only root may."""
    status = Path(device).stat()
    try:
        os.mknod(path, status.st_mode, status.st_rdev)
    except PermissionError:
        path.symlink_to(device)


def listen(path: Path) -> None:
    """Leave a socket under a name, which may not be as long as a path."""
    here = os.open(path.parent, os.O_RDONLY)
    socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def inspect(root: Path) -> dict[str, str | None]:
    listings = list_corpora(None, root)
    rows = inspect_corpora(listings, 2, lambda done, total: None).to_pylist()
    assert len(rows) == len(probe_corpora(listings, 2, lambda done, total: None))
    assert all(row["reason"] is None or (Reason(row["reason"]) and row["message"]) for row in rows)
    assert len({row["utterance_id"] for row in rows}) == len(rows)
    return {row["path"].rpartition("/")[2]: row["reason"] for row in rows}


def test_what_is_no_file_is_listed_with_its_reason(tmp_path):
    root = write_aishell3(tmp_path / "aishell3", speakers=2, utterances=2)
    folder = root / "train/wav/SSB0005"
    os.mkfifo(folder / "SSB00050101.wav")
    mknod(folder / "SSB00050102.wav", "/dev/zero")
    mknod(folder / "SSB00050103.wav", "/dev/null")
    (folder / "SSB00050104.wav").symlink_to("SSB00050104.wav")
    (folder / "SSB00050105.wav").symlink_to("..")
    (folder / "SSB00050106.wav").symlink_to("/dev/urandom")
    (folder / "SSB00050107.wav").symlink_to("/proc/self/mem")
    listen(folder / "SSB00050108.wav")
    (root / "train/wav/loop").symlink_to("loop")
    (root / "train/wav/up").symlink_to("..")
    os.mkfifo(root / "train/wav/pipe")
    found = inspect(root)
    assert {name: reason for name, reason in found.items() if reason} == {
        "SSB00050101.wav": "not-a-file",
        "SSB00050102.wav": "not-a-file",
        "SSB00050103.wav": "not-a-file",
        "SSB00050104.wav": "missing",
        "SSB00050105.wav": "not-a-file",
        "SSB00050106.wav": "not-a-file",
        "SSB00050107.wav": found["SSB00050107.wav"],
        "SSB00050108.wav": "not-a-file",
    }
    assert found["SSB00050107.wav"] in ("empty", "unreadable")


def test_names_that_nobody_should_give_are_listed_once_each(tmp_path):
    root = write_aishell3(tmp_path / "aishell3", speakers=2, utterances=2)
    folder = os.fsencode(root / "train/wav/SSB0005")
    names = [b"SSB00050001\n.wav", b"SSB0005\n0001.wav", RTL.encode() + b".wav", b"\x1b[31mred\x07.wav",
             b"\xff\xfe.wav", b"\xff\xff.wav", b"x" * 251 + b".wav", b"[red]x.wav", b"=cmd().wav", b"SSB00050001 .wav",
             b" .wav", "SSB0005０００１.wav".encode(), "\u0308.wav".encode(), b"-rf.wav", b"%s%n.wav",
             b"'\";--.wav"]  # fmt: skip
    for name in names:
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(b"x")  # noqa: PTH118
    os.mkdir(os.path.join(os.fsencode(root / "train/wav"), b"\xff\n"))  # noqa: PTH102, PTH118
    found = inspect(root)
    bad = {name for name, reason in found.items() if reason}
    assert {found[name] for name in bad} == {"bad-name"}
    assert len(bad) == len(names)
    assert not any("\n" in name or "\x1b" in name or not name.isprintable() for name in bad - {"\u0308.wav"})


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.write_bytes(b"\xff\n" * 99),
    ],
)
def test_texts_of_a_corpus_that_are_none_are_passed_over(tmp_path, make):
    vctk = write_vctk(tmp_path / "vctk", speakers=1, utterances=2)
    aishell3 = write_aishell3(tmp_path / "aishell3", speakers=1, utterances=2)
    (vctk / "txt/p225").mkdir(parents=True)
    for path in (vctk / "speaker-info.txt", aishell3 / "spk-info.txt", aishell3 / "train/content.txt"):
        path.unlink()
        make(path)
    make(vctk / "txt/p225/p225_001.txt")
    listings = list_corpora(vctk, aishell3)
    assert [len(listing.utterances) for listing in listings] == [2, 2]
    assert {item.gender for listing in listings for item in listing.utterances} == {""}


def test_a_text_beyond_all_measure_is_not_read(tmp_path):
    root = write_aishell3(tmp_path / "aishell3", speakers=1, utterances=2)
    os.truncate(root / "train/content.txt", 1 << 40)  # sparse: takes no disk
    assert [item.transcript for item in list_corpora(None, root)[0].utterances] == [None, None]


def write_download(root: Path) -> Path:
    (root / "label").mkdir(parents=True)
    (root / "test/C1").mkdir(parents=True)
    for name in ("a", "F01_a"):
        soundfile.write(root / "test/C1" / f"{name}.wav", voice(0.3, 16_000, 1), 16_000)
    (root / "label/C1.txt").write_text("a.wav real 0\nF01_a.wav fake 1\nb.wav real 0\nloop.wav fake 1\n")
    return root


def test_a_download_with_pipes_and_loops_is_checked_to_the_end(tmp_path):
    root = write_download(tmp_path / "Codecfake")
    os.mkfifo(root / "test/C1/b.wav")
    (root / "test/C1/loop.wav").symlink_to("loop.wav")
    (root / "test/up").symlink_to("..")
    (root / "test/self").symlink_to("self")
    os.mkfifo(root / "label/train.txt")
    os.mkfifo(root / "label/dev.txt")
    (root / "label/C2.txt").symlink_to("/dev/zero")
    (root / os.fsdecode(b"\xff.wav")).write_bytes(b"")
    trials = open_trials(root)
    (check,) = check_completeness(root, lambda done, total: None).lists
    assert (check.trials, check.missing, check.unreadable) == (4, ["loop.wav"], ["b.wav"])
    assert sorted(trials.conditions) == ["C1"]
    for position, name in enumerate(trials.conditions["C1"].files):
        path = trials.conditions["C1"].path(position)
        if name in ("b.wav", "loop.wav"):
            with pytest.raises(UnreadableAudioError):
                read_crop(path)
            assert isinstance(_header(path), str)
        else:
            assert read_crop(path).any()


def test_a_folder_in_the_place_of_a_file_leaves_nothing_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(OSError):
            open_plain(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
