import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from corrupt_audio import encode, write_corrupt_corpus
from speech import voice

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.corpora.aishell3 import list_aishell3
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.corpora.naming import name_problem
from codecfake.pipeline.corpora.published import explain_count
from codecfake.pipeline.corpora.report import CorporaReport
from codecfake.pipeline.corpora.vctk import list_vctk
from codecfake.pipeline.inspection import inspect_corpora

INFO_092 = (
    "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
    "p225  23  F    English    Southern  England\n"
    "p280  25  F    Unknown    France\t(mic2 files unavailable)  \n"
    "p315  18  M    American    New  England\n"
    "p362  29  F    American\n"
    "s5  24  F  British \n"
)
INFO_080 = "ID  AGE  GENDER  ACCENTS  REGION\n225  23  F    English    Southern  England\n226  22  M\n"


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write_text(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def findings_of(listing: CorpusListing) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {finding.code: (finding.count, finding.examples) for finding in listing.findings}


def ids_of(listing: CorpusListing) -> list[str]:
    return [utterance.utterance_id for utterance in listing.utterances]


@pytest.fixture
def vctk_092(tmp_path: Path) -> Path:
    root = tmp_path / "VCTK-Corpus-0.92"
    audio = "wav48_silence_trimmed"
    for speaker, numbers in {"p225": (1, 2), "p280": (1,), "p315": (1, 2), "p362": (1,), "s5": (1,)}.items():
        for number in numbers:
            for microphone in ("mic1",) if speaker in ("p280", "p315") else ("mic1", "mic2"):
                touch(root, f"{audio}/{speaker}/{speaker}_{number:03d}_{microphone}.flac")
    touch(root, f"{audio}/log.txt", f"{audio}/p225/._p225_001_mic1.flac")
    for name in ("p225_001", "p280_001", "p362_001", "p362_002", "s5_001", "p225_009"):
        write_text(root, f"txt/{name.split('_')[0]}/{name}.txt", "  Please call\n Stella. \n")
    write_text(root, "txt/p225/p225_002.txt", " \n")
    write_text(root, "speaker-info.txt", INFO_092)
    return root


@pytest.fixture
def vctk_080(tmp_path: Path) -> Path:
    root = tmp_path / "VCTK-Corpus"
    touch(root, "wav48/p225/p225_001.wav", "wav48/p226/p226_001.wav", "wav48/p280/p280_001.wav")
    touch(root, "wav48/p315/p315_001.wav", "wav48/p376/p376_295.raw")
    write_text(root, "txt/p225/p225_001.txt", "Please call Stella.\n")
    write_text(root, "speaker-info.txt", INFO_080)
    return root


@pytest.fixture
def aishell3(tmp_path: Path) -> Path:
    root = tmp_path / "data_aishell3"
    touch(root, "train/wav/SSB0005/SSB00050001.wav", "train/wav/SSB0005/SSB00050002.wav")
    touch(root, "test/wav/SSB0016/SSB00160001.wav", "test/wav/SSB0999/SSB09990001.wav")
    write_text(root, "train/content.txt", "SSB00050001.wav\t伦 lun2 敦 dun1\nSSB00059999.wav\t城 cheng2\n")
    write_text(root, "test/content.txt", "SSB00160001.wav\t花 huar1 儿 X 光 guang1 \n\n")
    write_text(root, "spk-info.txt", "# Speaker\n#c\nSSB0005\tB\tfemale \tnorth\nSSB0016\tB\tmale\tnorth \n")
    return root


def test_vctk_092_names_its_quirks(vctk_092):
    listing = list_vctk(vctk_092)
    assert (listing.corpus, listing.version, listing.root) == ("vctk", "0.92 mic1", vctk_092)
    assert ids_of(listing) == [
        "p225_001", "p225_002", "p280_001", "p315_001", "p315_002", "p362_001", "s5_001",
    ]  # fmt: skip
    assert findings_of(listing) == {
        "p280-no-mic2": (1, ("p280",)),
        "no-mic2": (1, ("p315",)),
        "other-microphone": (4, tuple(
            f"wav48_silence_trimmed/{name}_mic2.flac"
            for name in ("p225/p225_001", "p225/p225_002", "p362/p362_001", "s5/s5_001")
        )),
        "p315-no-text": (2, ("p315_001", "p315_002")),
        "no-text": (1, ("p225_002",)),
        "p362-partly-missing": (1, ("p362_002",)),
        "text-without-audio": (1, ("p225_009",)),
        "s5-only-in-0.92": (1, ("s5_001",)),
        "not-audio": (2, tuple(
            f"wav48_silence_trimmed/{name}" for name in ("log.txt", "p225/._p225_001_mic1.flac")
        )),
    }  # fmt: skip
    first = listing.utterances[0]
    assert first.path == "wav48_silence_trimmed/p225/p225_001_mic1.flac"
    assert (first.language, first.speaker, first.gender) == ("en", "p225", "F")
    assert first.transcript == "Please call Stella."
    assert {item.speaker: item.gender for item in listing.utterances} == {
        "p225": "F", "p280": "F", "p315": "M", "p362": "F", "s5": "F",
    }  # fmt: skip


def test_vctk_092_second_microphone(vctk_092):
    listing = list_vctk(vctk_092, "mic2")
    assert listing.version == "0.92 mic2"
    assert ids_of(listing) == ["p225_001", "p225_002", "p362_001", "s5_001"]
    assert listing.utterances[0].path.endswith("p225_001_mic2.flac")
    findings = findings_of(listing)
    assert findings["p280-no-mic2"] == (1, ("p280",))
    assert findings["text-without-audio"] == (1, ("p225_009",))  # p280 is explained by name


def test_vctk_080_is_told_by_its_folder_and_its_speaker_ids_have_no_p(vctk_080):
    listing = list_vctk(vctk_080)
    assert listing.version == "0.80"
    assert {item.utterance_id: item.gender for item in listing.utterances} == {
        "p225_001": "F", "p226_001": "M", "p280_001": "", "p315_001": "",
    }  # fmt: skip
    assert findings_of(listing) == {
        "p315-no-text": (1, ("p315_001",)),
        "no-text": (2, ("p226_001", "p280_001")),
        "unknown-gender": (2, ("p280", "p315")),
        "not-audio": (1, ("wav48/p376/p376_295.raw",)),
    }
    with pytest.raises(CodecfakeError, match="no mic2"):
        list_vctk(vctk_080, "mic2")


def test_aishell3_pools_train_and_test(aishell3):
    listing = list_aishell3(aishell3)
    assert (listing.corpus, listing.version) == ("aishell3", "test+train")
    found = [(item.utterance_id, item.speaker, item.gender, item.transcript) for item in listing.utterances]
    assert found == [
        ("SSB00050001", "SSB0005", "F", "伦敦"),
        ("SSB00050002", "SSB0005", "F", None),
        ("SSB00160001", "SSB0016", "M", "花儿X光"),
        ("SSB09990001", "SSB0999", "", None),
    ]
    assert findings_of(listing) == {
        "no-text": (2, ("SSB00050002", "SSB09990001")),
        "text-without-audio": (1, ("SSB00059999",)),
        "unknown-gender": (1, ("SSB0999",)),
    }


def test_aishell3_with_one_part_says_so(aishell3):
    (aishell3 / "test").rename(aishell3 / "set aside")
    assert findings_of(list_aishell3(aishell3))["part-missing"] == (1, ("test",))


def test_an_id_in_train_and_test_is_used_once_and_the_other_is_listed(aishell3):
    touch(aishell3, "test/wav/SSB0005/SSB00050001.wav")
    listing = list_aishell3(aishell3)
    copies = {item.utterance_id: item for item in listing.utterances if "SSB00050001" in item.path}
    assert {name: (item.path, name_problem(item)) for name, item in copies.items()} == {
        "SSB00050001": ("test/wav/SSB0005/SSB00050001.wav", ""),
        "SSB00050001#2": ("train/wav/SSB0005/SSB00050001.wav", "duplicate of SSB00050001"),
    }
    assert findings_of(listing)["duplicate-id"] == (1, ("train/wav/SSB0005/SSB00050001.wav",))


@pytest.mark.parametrize(
    "path",
    [
        "train/wav/SSB0005/我的 录音.wav",
        "train/wav/SSB0005/SSB00110001.wav",
        "train/wav/SSB0005/SSB0005001.wav",
        "train/wav/SSB0005/ SSB00050003.wav",
        "train/wav/SSB0005/SSB0005０００３.wav",
        "train/wav/SSB00050003.wav",
        "train/wav/SSB0005 (copy)/SSB00050001.wav",
    ],
)
def test_a_file_named_otherwise_is_listed_and_takes_nobodys_id(aishell3, path):
    touch(aishell3, path)
    listing = list_aishell3(aishell3)
    (odd,) = [item for item in listing.utterances if name_problem(item)]
    assert odd.path == path
    assert odd.transcript is None
    assert findings_of(listing)["bad-name"] == (1, (path,))
    good = {item.utterance_id: item.path for item in listing.utterances if not name_problem(item)}
    assert len(good) == 4
    assert good["SSB00050001"] == "train/wav/SSB0005/SSB00050001.wav"


def test_folders_and_dangling_links_named_like_audio_are_listed(aishell3):
    (aishell3 / "train/wav/SSB0005/SSB00050003.wav").mkdir()
    (aishell3 / "train/wav/SSB0005/SSB00050004.WAV").symlink_to("gone.wav")
    (aishell3 / "train/wav/SSB0005/old").mkdir()
    listing = list_aishell3(aishell3)
    assert {"SSB00050003", "SSB00050004"} < set(ids_of(listing))
    assert findings_of(listing)["folder-not-searched"] == (1, ("train/wav/SSB0005/old",))


def test_the_order_of_folder_entries_does_not_matter(aishell3, monkeypatch):
    expected = list_aishell3(aishell3)
    scandir = os.scandir

    class Backwards:
        def __init__(self, folder):
            with scandir(folder) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert list_aishell3(aishell3) == expected


def test_a_root_one_level_too_high_is_accepted(tmp_path, vctk_092, vctk_080, aishell3):
    assert list_aishell3(tmp_path).root == aishell3
    assert list_vctk(tmp_path).root == vctk_092
    (vctk_092).rename(tmp_path / "set aside")
    assert list_vctk(tmp_path).root == vctk_080


def test_a_wrong_root_says_what_was_looked_for_and_what_is_there(tmp_path, vctk_080):
    write_text(tmp_path, "other/notes.txt", "")
    with pytest.raises(CodecfakeError) as caught:
        list_vctk(tmp_path / "other")
    assert "looked for wav48_silence_trimmed/ or wav48/; found notes.txt" in caught.value.what
    assert caught.value.next_step == "codecfake corpora fetch vctk --out DIR"
    with pytest.raises(CodecfakeError, match="found no such folder"):
        list_aishell3(tmp_path / "nowhere")
    with pytest.raises(CodecfakeError, match="audio folder itself"):
        list_vctk(vctk_080 / "wav48")
    with pytest.raises(CodecfakeError, match="no corpus is given"):
        list_corpora(None, None)


def test_a_layout_without_recordings_is_an_error(tmp_path, shared):
    (tmp_path / "train/wav").mkdir(parents=True)
    with pytest.raises(CodecfakeError, match="no recording of AISHELL-3"):
        list_aishell3(tmp_path)
    with pytest.raises(CodecfakeError, match=r"no mic2 recording of VCTK 0\.92 among 28 audio files"):
        list_vctk(shared / "corpora", "mic2")


def test_the_real_clips(shared):
    corpora = list_corpora(shared / "corpora", shared / "corpora")
    by_id = {item.utterance_id: item for listing in corpora for item in listing.utterances}
    assert {listing.corpus: len(listing.utterances) for listing in corpora} == {"aishell3": 15, "vctk": 28}
    vctk = {item.speaker: item.gender for item in corpora[1].utterances}
    assert vctk == {"p225": "F", "p226": "M", "p227": "M", "p228": "F", "p295": "F", "p318": "F"}
    assert by_id["p228_003"].transcript is not None
    assert by_id["p225_003"].transcript == (
        "Six spoons of fresh snow peas, five thick slabs of blue cheese, "
        "and maybe a snack for her brother Bob."
    )
    assert by_id["SSB00160485"].transcript == "伦敦位列众城市之首"
    assert by_id["SSB02670376"].transcript == "我相信很好吃"
    assert by_id["SSB00730374"].gender == "M"
    assert findings_of(corpora[1])["no-text"][0] == 20
    assert "text-without-audio" not in findings_of(corpora[0])


def test_the_report_of_a_corpus_with_corrupt_files(tmp_path):
    write_corrupt_corpus(tmp_path)
    touch(tmp_path, "train/wav/SSB0005/readme.md")
    listings = list_corpora(None, tmp_path)
    report = CorporaReport.from_source(listings, inspect_corpora(listings, 1, lambda done, total: None))
    (summary,) = report.corpora
    assert (summary.recordings, summary.misnamed, summary.usable, summary.quarantined) == (22, 1, 9, 14)
    assert (summary.speakers, summary.genders) == (2, {"F": 1, "M": 1})
    assert summary.sample_rates == {8_000: 1, 44_100: 7, 96_000: 1}
    assert summary.hours == pytest.approx((3 * 0.6 + 6 * 0.5) / 3600)
    assert summary.transcripts == 2
    assert summary.meaning == "88,013 fewer than the 88,035 published: 0.02% of the corpus"
    assert report.reasons == {
        "bad-name": 1, "empty": 2, "missing": 1, "non-finite": 2, "not-a-file": 1,
        "silent": 1, "too-short": 1, "truncated": 2, "unreadable": 3,
    }  # fmt: skip
    assert len(report.quarantined) == 14
    assert report.notes == {
        "8000 Hz": 1, "96000 Hz": 1, "FLAC named .wav": 1, "PCM_24": 1, "PCM_U8": 1, "stereo": 1,
    }  # fmt: skip
    loaded = json.loads(json.dumps(report.to_dict()))
    assert loaded["corpora"][0]["sample_rates"] == {"8000": 1, "44100": 7, "96000": 1}
    titles = [section.title for section in report.sections()]
    assert titles == ["Corpora", "Findings", "Quarantined: 14 files", "Odd but usable: 6 files"]
    assert all(len(row) == len(section.columns) for section in report.sections() for row in section.rows)


def test_the_report_of_the_real_clips(shared):
    listings = list_corpora(shared / "corpora", shared / "corpora")
    report = CorporaReport.from_source(listings, inspect_corpora(listings, 1, lambda done, total: None))
    aishell3, vctk = report.corpora
    assert (vctk.recordings, vctk.published, vctk.speakers, vctk.published_speakers) == (28, 44_455, 6, 110)
    assert (aishell3.recordings, aishell3.published, aishell3.published_speakers) == (15, 88_035, 218)
    assert (vctk.codecfake, aishell3.codecfake) == (44_242, 88_035)
    assert vctk.sample_rates == {16_000: 28}
    assert report.quarantined == ()
    assert report.notes == {"16000 Hz": 28}


@pytest.mark.parametrize(
    ("corpus", "version", "recordings", "words"),
    [
        ("vctk", "0.80", 44_242, "complete: the count of the published Codecfake"),
        ("vctk", "0.80", 44_070, "172 fewer"),
        ("vctk", "0.92 mic1", 44_455, "213 more here"),
        ("vctk", "0.92 mic1", 44_456, "1 more than the 44,455 published"),
        ("vctk", "0.92 mic2", 43_701, "no count is published"),
        ("aishell3", "test+train", 88_035, "complete: 63,262 train + 24,773 test"),
        ("aishell3", "train", 63_262, "only the train part"),
        ("aishell3", "test+train", 86_525, "23,262 test utterances"),
    ],
)
def test_what_a_count_means(corpus, version, recordings, words):
    assert words in explain_count(corpus, version, recordings)


def test_a_transcript_in_odd_bytes_is_read_all_the_same(aishell3):
    content = b"\xef\xbb\xbfSSB00050001.wav\t\xe4\xbc\xa6 lun2\r\nSSB00050002.wav\t\xff dun1\r\n"
    (aishell3 / "train/content.txt").write_bytes(content)
    texts = {item.utterance_id: item.transcript for item in list_aishell3(aishell3).utterances}
    assert (texts["SSB00050001"], texts["SSB00050002"]) == ("伦", "\ufffd")


def test_wav_instead_of_flac_and_the_other_way_round_is_accepted(tmp_path):
    wave = voice(0.2, 48_000, seed=1)
    for path, container in {
        "wav48_silence_trimmed/p225/p225_001_mic1.wav": "WAV",
        "wav48_silence_trimmed/p225/p225_002_mic1.FLAC": "FLAC",
    }.items():
        touch(tmp_path, path)
        (tmp_path / path).write_bytes(encode(wave, 48_000, container))
    rows = inspect_corpora([list_vctk(tmp_path)], 1, lambda done, total: None).to_pylist()
    assert [(row["utterance_id"], row["reason"], row["notes"]) for row in rows] == [
        ("p225_001", None, ""),
        ("p225_002", None, ""),
    ]


def test_name_problems_follow_from_path_and_id_alone(aishell3):
    first = list_aishell3(aishell3).utterances[0]
    assert name_problem(first) == ""
    assert name_problem(replace(first, utterance_id="SSB00050001#2")) == "duplicate of SSB00050001"
