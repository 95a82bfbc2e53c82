"""The listening page: who is chosen, what is measured and drawn, what a missing cell says, which files it takes."""

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from listening_run import DETECTOR, HOSTILE, QUARANTINED, make_listening_run
from PIL import Image

from codecfake.flows.report.listening import build_listening_page
from codecfake.flows.report.pages import Site
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.listening.choosing import Candidate, choose_utterances
from codecfake.pipeline.listening.drawing import BANDS, draw_difference, draw_spectrogram, mel_decibels
from codecfake.pipeline.listening.measuring import nearness
from codecfake.pipeline.listening.playing import copy_playable

RATE = 16_000


class Text(HTMLParser):
    """What a reader sees, per element with a class or a data attribute of interest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str, name: str) -> list[str]:
        return [attributes[name] for found, attributes in self.tags if found == tag and name in attributes]


def build(
    data: Path, out: Path, *, real: Path | None = None, count: int = 4, wanted: tuple[str, ...] = ()
) -> Text:
    build_listening_page(Site(out), data, None, real, count, wanted, 0)
    return Text((out / "listen.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_listening_run(tmp_path_factory.mktemp("listening") / "run")


@pytest.fixture(scope="module")
def report(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    build(run, out, wanted=(QUARANTINED,))
    return out


@pytest.fixture(scope="module")
def page(report: Path) -> Text:
    return Text((report / "listen.html").read_text(encoding="utf-8"))


def candidates(languages: dict[str, int], per_speaker: int = 5) -> list[Candidate]:
    return [
        Candidate(f"{language}{speaker}_{number}", f"{language}{speaker}", language, number == 0)
        for language, speakers in languages.items()
        for speaker in range(speakers)
        for number in range(per_speaker)
    ]


def test_the_choice_is_balanced_over_languages_and_speakers_and_prefers_the_evaluation() -> None:
    everyone = candidates({"en": 40, "zh": 6})
    chosen = choose_utterances(everyone, 12, seed=0)
    by_id = {one.utterance_id: one for one in everyone}
    assert Counter(by_id[name].language for name in chosen) == {"en": 6, "zh": 6}
    assert len({by_id[name].speaker for name in chosen}) == 12
    assert all(by_id[name].is_evaluated for name in chosen)


def test_the_choice_depends_on_the_seed_and_not_on_the_order() -> None:
    everyone = candidates({"en": 40, "zh": 6})
    assert choose_utterances(everyone, 8, 0) == choose_utterances(everyone[::-1], 8, 0)
    assert choose_utterances(everyone, 8, 0) != choose_utterances(everyone, 8, 1)


def test_a_small_language_gives_its_places_to_the_others() -> None:
    everyone = candidates({"en": 9, "zh": 1}, per_speaker=2)
    chosen = choose_utterances(everyone, 10, 0)
    assert sum(name.startswith("zh") for name in chosen) == 2
    assert len(choose_utterances(everyone, 999, 0)) == len(set(chosen)) + 10


def test_every_cell_has_audio_as_it_is_and_a_spectrogram(run: Path, report: Path, page: Text) -> None:
    audio, pictures = page.all("audio", "src"), page.all("img", "src")
    assert len(audio) == 5 * 3 - 1
    assert len(pictures) == len(audio) + sum("real" not in name for name in audio)
    for name in [*audio, *pictures, *page.all("script", "src"), *page.all("link", "href")]:
        assert name.startswith(("listen/", "static/", "data:")), name
    for name in audio:
        number, codec = name.rsplit("_", 2)[-2:]
        codec = codec.removesuffix(".wav")
        file = f"p225_{number}.wav" if codec == "real" else f"{codec}_p225_{number}.wav"
        source = run / "shards" / codec / "00000" / "audio" / file
        assert (report / name).read_bytes() == source.read_bytes()
    assert all((report / name).is_file() for name in pictures)


def test_the_wanted_utterance_comes_first_and_its_quarantined_fake_says_why(page: Text) -> None:
    assert page.all("tr", "data-utterance")[0] == QUARANTINED
    assert "F04 is missing codec-silent: the output is silent" in page.text


def test_the_page_tells_seed_bitrate_measures_and_scores(page: Text) -> None:
    assert "chosen with seed 0" in page.text
    assert "EnCodec 24 kHz, 6 kbps 6 kbit/s" in page.text
    assert all(name in page.text for name in ("SI-SDR", "Mel distance", "STOI", "Level"))
    assert f"{DETECTOR} +1.25" in page.text
    assert "score of this detector; higher = bona fide" in page.text


def test_names_and_words_of_others_stay_text(run: Path, tmp_path: Path) -> None:
    page = build(run, tmp_path, wanted=("p225_008",))
    html = (tmp_path / "listen.html").read_text(encoding="utf-8")
    assert HOSTILE in page.text
    assert HOSTILE not in html
    assert "x" not in page.all("img", "src")


def test_an_unknown_id_is_refused_with_those_near_it(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CodecfakeError, match=r"no utterance 'p225_0O8'; did you mean .*p225_008"):
        build(run, tmp_path, wanted=("p225_0O8",))


def test_scores_of_another_version_of_the_split_are_left_out(tmp_path: Path) -> None:
    run = make_listening_run(tmp_path / "run")
    description = run / "detectors" / DETECTOR / "model.json"
    description.write_text(description.read_text().replace('"manifest_sha256": "', '"manifest_sha256": "0'))
    assert "No detector has scored this data yet" in build(run, tmp_path / "out").text


def test_an_unreadable_file_stops_nothing(tmp_path: Path) -> None:
    run = make_listening_run(tmp_path / "run")
    (run / "shards" / "F07" / "00000" / "audio" / "F07_p225_007.wav").write_bytes(b"RIFF no audio")
    page = build(run, tmp_path / "out", wanted=("p225_007",))
    assert "F07 is missing unreadable" in page.text


def test_an_id_as_long_as_file_names_may_be_stops_nothing(tmp_path: Path) -> None:
    wave = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    number = "1" * 225
    for codec in ("encodec_24khz", "SpeechTokenizer"):
        soundfile.write(_made(tmp_path / "fakes" / f"{codec}+p225_{number}.flac"), wave / 2, RATE)
    soundfile.write(_made(tmp_path / "sources" / f"p225_{number}.flac"), wave, RATE)
    page = build(tmp_path / "fakes", tmp_path / "out", real=tmp_path / "sources")
    assert page.all("tr", "data-utterance") == [f"p225_{number}"]
    named = [*page.all("audio", "src"), *page.all("img", "src")]
    assert len(set(named)) == 3 + 5 and all((tmp_path / "out" / name).is_file() for name in named)


def test_without_bona_fide_files_the_page_says_what_to_type(run: Path, tmp_path: Path) -> None:
    wave = np.sin(np.arange(RATE) / 9).astype(np.float32)
    for codec in ("encodec_24khz", "SpeechTokenizer"):
        soundfile.write(_made(tmp_path / "fakes" / f"{codec}+p225_001.flac"), wave, RATE)
    page = build(tmp_path / "fakes", tmp_path / "out")
    assert "No bona fide file belongs to the fakes" in page.text
    assert "--real FOLDER" in page.text


def test_fakes_beside_a_folder_of_their_sources(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wave = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    soundfile.write(_made(tmp_path / "sources" / "p225_001_mic1.flac"), wave, RATE)
    soundfile.write(_made(tmp_path / "fakes" / "encodec_24khz+p225_001.flac"), wave / 2, 24_000)
    page = build(tmp_path / "fakes", tmp_path / "out", real=tmp_path / "sources")
    assert page.all("tr", "data-utterance") == ["p225_001"]
    assert "1.5 kbit/s" in page.text
    assert "24 kHz" in page.text
    assert "0.667 s" in page.text


def test_the_published_fifteen_beside_their_sources(shared: Path, tmp_path: Path) -> None:
    page = build(shared / "reference_resynthesis", tmp_path, real=shared / "corpora", count=1)
    assert len(page.all("audio", "src")) == 16
    assert all(name.endswith(".flac") for name in page.all("audio", "src"))
    assert "bitrate not known" not in page.text


def test_a_fake_at_half_the_level_is_near_in_all_but_level() -> None:
    rng = np.random.default_rng(1)
    wave = (0.1 * rng.standard_normal(2 * RATE)).astype(np.float32)
    found = nearness(wave, wave / 2)
    assert found.si_sdr > 60
    assert found.level_db == pytest.approx(-6.02, abs=0.01)
    assert found.mel_distance == pytest.approx(6.02, abs=0.2)


def test_too_little_speech_has_no_intelligibility() -> None:
    wave = (0.1 * np.random.default_rng(2).standard_normal(RATE // 4)).astype(np.float32)
    assert nearness(wave, wave).stoi is None


def test_a_tone_is_drawn_at_its_height_and_on_the_time_axis_of_the_row(tmp_path: Path) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.float32)
    mel = mel_decibels(tone, 2 * RATE)
    draw_spectrogram(tmp_path / "tone.png", mel, mel.max())
    pixels = np.asarray(Image.open(tmp_path / "tone.png").convert("L"), dtype=int)
    assert pixels.shape == (BANDS, 201)
    height = (BANDS - 1 - pixels[:, 50].argmax()) / BANDS
    assert height == pytest.approx(0.352, abs=0.02)
    assert pixels[:, 120:].max() < 10


def test_a_difference_is_clear_where_both_agree_and_coloured_by_its_sign(tmp_path: Path) -> None:
    source = np.full((BANDS, 30), -20.0)
    fake = source.copy()
    fake[:, 10:20] += 40
    fake[:, 20:] -= 40
    draw_difference(tmp_path / "difference.png", source, fake, 0.0)
    pixels = np.asarray(Image.open(tmp_path / "difference.png").convert("RGBA"), dtype=int)[40]
    assert pixels[5, 3] < 3
    red, _, blue, opacity = pixels[15]
    assert opacity == 255
    assert red > blue
    red, _, blue, opacity = pixels[25]
    assert opacity == 255
    assert blue > red


def test_what_browsers_cannot_play_becomes_a_wave_file(tmp_path: Path) -> None:
    wave = (0.3 * np.sin(np.arange(RATE) / 9)).astype(np.float32)
    soundfile.write(tmp_path / "float.wav", wave, RATE, subtype="DOUBLE")
    name = copy_playable(tmp_path / "float.wav", tmp_path, "copy")
    assert soundfile.info(tmp_path / name).subtype == "PCM_16"
    assert soundfile.read(tmp_path / name)[0] == pytest.approx(wave, abs=1e-4)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
