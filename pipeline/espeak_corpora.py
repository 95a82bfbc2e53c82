"""Small corpora in the layouts of VCTK 0.92 and AISHELL-3, spoken by espeak-ng: for demonstration and tests.

Their "real" speech is synthetic. Whoever shows numbers made from them must say so.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.atomic import publish_text, published
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.espeak import EspeakVoice, require_espeak, synthesise
from codecfake.pipeline.espeak_sentences import ENGLISH, MANDARIN

if TYPE_CHECKING:
    import numpy as np

VCTK_SAMPLE_RATE = 48_000
AISHELL3_SAMPLE_RATE = 44_100
FIRST_VCTK_SPEAKER = 225


@dataclass(frozen=True)
class _Speaker:
    gender: str
    accent: str
    voice: EspeakVoice


_ENGLISH_SPEAKERS = (
    _Speaker("F", "English", EspeakVoice("en-gb-x-rp+f1", 160, 55, 45)),
    _Speaker("M", "English", EspeakVoice("en+m3", 155, 35, 50)),
    _Speaker("M", "English", EspeakVoice("en-gb-x-rp+m7", 175, 42, 40)),
    _Speaker("F", "Scottish", EspeakVoice("en-gb-scotland+f4", 165, 60, 55)),
    _Speaker("F", "American", EspeakVoice("en-us+linda", 170, 50, 50)),
    _Speaker("M", "American", EspeakVoice("en-us+m2", 150, 45, 35)),
    _Speaker("F", "English", EspeakVoice("en-gb-x-gbclan+Annie", 165, 48, 60)),
    _Speaker("M", "Scottish", EspeakVoice("en-gb-scotland+m5", 180, 50, 45)),
    _Speaker("F", "American", EspeakVoice("en-us+f4", 150, 72, 40)),
    _Speaker("M", "American", EspeakVoice("en-us+Andy", 165, 40, 55)),
    _Speaker("F", "English", EspeakVoice("en-gb-x-gbcwmd+belinda", 160, 58, 50)),
    _Speaker("M", "English", EspeakVoice("en+m6", 170, 30, 60)),
)
_MANDARIN_SPEAKERS = (
    _Speaker("female", "north", EspeakVoice("cmn+f4", 165, 60, 50)),
    _Speaker("male", "north", EspeakVoice("cmn+m3", 160, 40, 45)),
    _Speaker("female", "south", EspeakVoice("cmn+linda", 170, 52, 55)),
    _Speaker("male", "south", EspeakVoice("cmn+Andy", 155, 38, 50)),
    _Speaker("female", "north", EspeakVoice("cmn+f1", 175, 58, 45)),
    _Speaker("male", "north", EspeakVoice("cmn+m7", 165, 48, 40)),
    _Speaker("female", "north", EspeakVoice("cmn+Annie", 160, 50, 60)),
    _Speaker("male", "south", EspeakVoice("cmn+m2", 180, 44, 55)),
    _Speaker("female", "others", EspeakVoice("cmn+belinda", 165, 64, 50)),
    _Speaker("male", "north", EspeakVoice("cmn+m5", 150, 34, 45)),
)
_AISHELL3_NUMBERS = (5, 9, 11, 12, 16, 18, 33, 38, 43, 57)
_SENTENCE_STRIDE = 11
_TEST_EVERY = 4
"""Every fourth Mandarin speaker is in AISHELL-3's test part."""


def write_espeak_corpora(
    vctk_root: Path,
    aishell3_root: Path,
    *,
    english_speakers: int = 12,
    mandarin_speakers: int = 10,
    utterances_per_speaker: int = 8,
) -> None:
    """Write both corpora; the same arguments give the same bytes on every run.

    Args:
        vctk_root: Folder that becomes a VCTK-Corpus-0.92; made when missing.
        aishell3_root: Folder that becomes a data_aishell3; made when missing.
        english_speakers: How many pseudo-speakers read English, at most 12.
        mandarin_speakers: How many read Mandarin, at most 10.
        utterances_per_speaker: Sentences of each; no speaker says one twice, so at most 42.

    Raises:
        CodecfakeError: espeakng_loader is not installed, or more was asked for than there is.
    """
    require_espeak()
    for what, asked, available in (
        ("English speakers", english_speakers, len(_ENGLISH_SPEAKERS)),
        ("Mandarin speakers", mandarin_speakers, len(_MANDARIN_SPEAKERS)),
        ("utterances per speaker", utterances_per_speaker, min(len(ENGLISH), len(MANDARIN))),
    ):
        if not 0 <= asked <= available:
            raise CodecfakeError(f"{asked} {what}: there are 0 to {available}")
    _write_vctk(vctk_root, _ENGLISH_SPEAKERS[:english_speakers], utterances_per_speaker)
    _write_aishell3(aishell3_root, _MANDARIN_SPEAKERS[:mandarin_speakers], utterances_per_speaker)


def _write_vctk(root: Path, speakers: tuple[_Speaker, ...], utterances: int) -> None:
    lines = ["ID  AGE  GENDER  ACCENTS  REGION COMMENTS "]
    for index, speaker in enumerate(speakers):
        name = f"p{FIRST_VCTK_SPEAKER + index}"
        lines.append(f"{name}  {20 + index}  {speaker.gender}    {speaker.accent}    espeak-ng")
        for number in range(1, utterances + 1):
            utterance_id = f"{name}_{number:03d}"
            text = ENGLISH[_sentence(index, number) % len(ENGLISH)]
            publish_text(root / "txt" / name / f"{utterance_id}.txt", text + "\n")
            path = root / "wav48_silence_trimmed" / name / f"{utterance_id}_mic1.flac"
            _write_utterance(path, utterance_id, text, speaker.voice, VCTK_SAMPLE_RATE)
    publish_text(root / "speaker-info.txt", "\n".join(lines) + "\n")


def _write_aishell3(root: Path, speakers: tuple[_Speaker, ...], utterances: int) -> None:
    lines = ["# Speaker\tage group\tgender\taccent", "# A: under 14, B: 14-25, C: 26-40, D: over 41"]
    contents: dict[str, list[str]] = {"train": [], "test": []}
    for index, speaker in enumerate(speakers):
        name = f"SSB{_AISHELL3_NUMBERS[index]:04d}"
        part = "test" if index % _TEST_EVERY == _TEST_EVERY - 1 else "train"
        lines.append(f"{name}\tB\t{speaker.gender}\t{speaker.accent}")
        for number in range(1, utterances + 1):
            utterance_id = f"{name}{number:04d}"
            characters, pinyin = MANDARIN[_sentence(index, number) % len(MANDARIN)]
            pairs = " ".join(f"{one} {two}" for one, two in zip(characters, pinyin.split(), strict=True))
            contents[part].append(f"{utterance_id}.wav\t{pairs}")
            path = root / part / "wav" / name / f"{utterance_id}.wav"
            _write_utterance(path, utterance_id, characters, speaker.voice, AISHELL3_SAMPLE_RATE)
    for part, rows in contents.items():
        publish_text(root / part / "content.txt", "".join(f"{row}\n" for row in rows))
    publish_text(root / "spk-info.txt", "\n".join(lines) + "\n")


def _sentence(speaker: int, number: int) -> int:
    """Choose what the ``number``-th utterance says, whatever the size of the corpus."""
    return speaker * _SENTENCE_STRIDE + number - 1


def _write_utterance(path: Path, utterance_id: str, text: str, voice: EspeakVoice, sample_rate: int) -> None:
    import soundfile

    wave = _record(utterance_id, text, voice, sample_rate)
    container = {".flac": "FLAC", ".wav": "WAV"}[path.suffix]
    with published(path) as temporary:
        soundfile.write(temporary, wave, sample_rate, format=container, subtype="PCM_16")


def _record(utterance_id: str, text: str, voice: EspeakVoice, sample_rate: int) -> "np.ndarray":
    """Speak as into a microphone, float32, shape (T,).

    Padding, level and noise floor differ by utterance and are drawn from its id: without them the silences are
    digital zeros and every peak is the engine's, which no recording has.
    """
    import numpy as np

    from codecfake.codec_adapters.resampling import resample

    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(utterance_id.encode()).digest()[:8], "little"))
    spoken, native_rate = synthesise(text, voice)
    spoken = resample(spoken, native_rate, sample_rate)
    before, after = (int(seconds * sample_rate) for seconds in rng.uniform(0.05, 0.25, 2))
    wave = np.pad(spoken, (before, after))
    wave *= 10 ** (rng.uniform(-12.0, -2.0) / 20) / max(float(np.abs(wave).max()), 1e-3)
    noise = rng.standard_normal(wave.size) * 10 ** (rng.uniform(-72.0, -60.0) / 20)
    return (wave + noise).astype(np.float32)
