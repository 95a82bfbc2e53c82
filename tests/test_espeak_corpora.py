import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.espeak import EspeakVoice, synthesise
from codecfake.pipeline.espeak_corpora import write_espeak_corpora
from codecfake.pipeline.espeak_sentences import ENGLISH, MANDARIN


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two English and four Mandarin speakers with two sentences each."""
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("espeak")
    write(root, utterances_per_speaker=2)
    return root


def write(root: Path, utterances_per_speaker: int) -> None:
    write_espeak_corpora(
        root / "vctk",
        root / "aishell3",
        english_speakers=2,
        mandarin_speakers=4,
        utterances_per_speaker=utterances_per_speaker,
    )


def digests(root: Path, pattern: str = "*") -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob(pattern)
        if path.is_file()
    }


def test_vctk_has_the_layout_of_the_original(corpora: Path) -> None:
    root = corpora / "vctk"
    assert sorted(digests(root)) == sorted(
        ["speaker-info.txt"]
        + [f"txt/{name}/{name}_{number}.txt" for name in ("p225", "p226") for number in ("001", "002")]
        + [
            f"wav48_silence_trimmed/{name}/{name}_{number}_mic1.flac"
            for name in ("p225", "p226")
            for number in ("001", "002")
        ]
    )
    header, *rows = (root / "speaker-info.txt").read_text(encoding="utf-8").splitlines()
    assert header.split() == ["ID", "AGE", "GENDER", "ACCENTS", "REGION", "COMMENTS"]
    assert [row.split()[:3] for row in rows] == [["p225", "20", "F"], ["p226", "21", "M"]]
    assert (root / "txt/p225/p225_001.txt").read_text(encoding="utf-8").strip() == ENGLISH[0]


def test_aishell3_has_the_layout_of_the_original(corpora: Path) -> None:
    root = corpora / "aishell3"
    names = {path.name for path in (root / "train/wav").iterdir()}
    assert names == {"SSB0005", "SSB0009", "SSB0011"}
    assert {path.name for path in (root / "test/wav").iterdir()} == {"SSB0012"}
    first = (root / "train/content.txt").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("SSB00050001.wav\t今 jin1 天 tian1 早 zao3")
    listed = [
        line.split("\t")[0]
        for part in ("train", "test")
        for line in (root / part / "content.txt").read_text(encoding="utf-8").splitlines()
    ]
    assert sorted(listed) == sorted(path.name for path in root.rglob("*.wav"))


def test_audio_is_of_the_original_kind(corpora: Path) -> None:
    for pattern, rate, container in (("*.flac", 48_000, "FLAC"), ("*.wav", 44_100, "WAV")):
        for path in corpora.rglob(pattern):
            found = soundfile.info(path)
            assert (found.samplerate, found.channels, found.format, found.subtype) == (
                rate,
                1,
                container,
                "PCM_16",
            )
            assert 1.5 < found.duration < 6


def test_no_two_files_are_alike_and_none_is_digitally_silent(corpora: Path) -> None:
    audio = {**digests(corpora, "*.flac"), **digests(corpora, "*.wav")}
    assert len(set(audio.values())) == len(audio) == 12
    peaks = []
    for name in audio:
        wave, rate = soundfile.read(corpora / name)
        head = wave[: rate // 50]
        assert 1e-5 < np.sqrt(np.mean(head**2)) < 2e-2
        peaks.append(np.abs(wave).max())
    assert max(peaks) < 1.0
    assert len({round(float(peak), 2) for peak in peaks}) > 6


def test_another_run_of_another_size_gives_the_same_bytes(corpora: Path, tmp_path: Path) -> None:
    write(tmp_path, utterances_per_speaker=1)
    before, after = digests(corpora), digests(tmp_path)
    shared = [name for name in after if not name.endswith("content.txt")]
    assert len(shared) == 2 + 2 + 6
    assert all(after[name] == before[name] for name in shared)


def test_every_character_has_its_syllable() -> None:
    assert all(len(characters) == len(pinyin.split()) for characters, pinyin in MANDARIN)
    assert len(set(MANDARIN)) == len(MANDARIN) >= 40
    assert len(set(ENGLISH)) == len(ENGLISH) >= 40


def test_missing_engine_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CodecfakeError) as caught:
        write(tmp_path, utterances_per_speaker=1)
    assert caught.value.next_step == "pip install 'codecfake[demo]'"
    assert not any(tmp_path.iterdir())


def test_more_speakers_than_there_are_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    with pytest.raises(CodecfakeError, match="13 English speakers: there are 0 to 12"):
        write_espeak_corpora(tmp_path / "v", tmp_path / "a", english_speakers=13)


def test_unknown_voice_is_named() -> None:
    pytest.importorskip("espeakng_loader")
    with pytest.raises(CodecfakeError, match="no voice named 'xx-nowhere'"):
        synthesise("Hello.", EspeakVoice("xx-nowhere"))
