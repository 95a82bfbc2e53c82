"""Robustness conditions keep place, length and scale, leave the split as it is, and are read by all that read one."""

import json
import re
import shutil
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import speech
from exported_run import SPLIT, built_run, digests, export
from run_helpers import StopAfter, cut_small_shards
from typer.testing import CliRunner

from codecfake.detector.evaluation.assembling import assemble
from codecfake.detector.evaluation.report import publish_evaluation
from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.detector.sources import codecfake as codecfake_tree
from codecfake.detector.sources import open_trials
from codecfake.detector.trials import TrialList
from codecfake.flows.audit_material import gather
from codecfake.flows.cli import app
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.pipeline.conditions import coders
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.processing import Utterance
from codecfake.pipeline.conditions.reverberation import room_response
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.verification import verify

RATE = 16_000
TELEPHONE_BAND = (300, 3400)
CODED = ("opus16", "opus8", "mp3-32", "mp3-128", "amr-nb", "gsm")
LATE = {"opus8": 2}
"""Samples of 16 kHz: at 8 kbit/s Opus works in narrow band inside, whose resampler adds about 0.1 ms."""
NEEDS_PYAV = tuple(name for name in CODED if name != "gsm")


def setting_of(name: str):
    if name in NEEDS_PYAV:
        pytest.importorskip("av", reason="PyAV carries the encoder")
    return parse_setting(name)


def utterance_of(wave: np.ndarray, seed: int = 0) -> Utterance:
    others = [speech.voice(1.0, RATE, seed) for seed in (7, 8, 9)]
    return Utterance(wave, RATE, np.random.default_rng(seed), lambda: iter(others))


def lag(clean: np.ndarray, processed: np.ndarray) -> int:
    """Samples by which ``processed`` is late: peak of the cross-correlation, whitened, in the telephone band.

    Whitened, because the high-pass filters of Opus and AMR shift the phase of the lowest harmonics, which carry most
    of the power, and so the peak of a plain cross-correlation by up to 6 samples.
    """
    size = 2 * len(clean)
    cross = np.fft.rfft(processed, size) * np.conj(np.fft.rfft(clean, size))
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    cross[(frequency < TELEPHONE_BAND[0]) | (frequency > TELEPHONE_BAND[1])] = 0
    correlation = np.fft.irfft(cross / (np.abs(cross) + 1e-12), size)
    peak = int(np.argmax(correlation))
    return peak if peak < len(clean) else peak - size


def decibels(wave: np.ndarray) -> float:
    return 10 * np.log10(np.mean(wave.astype(np.float64) ** 2))


@pytest.mark.parametrize("name", CODED)
def test_a_codec_keeps_length_level_and_place(name):
    setting = setting_of(name)
    for seed, seconds in ((1, 1.234), (2, 0.1)):
        wave = speech.voice(seconds, RATE, seed)
        processed = setting.apply(utterance_of(wave))
        assert processed.shape == wave.shape
        assert not np.array_equal(processed, wave)
        assert np.array_equal(processed, setting.apply(utterance_of(wave)))
    wave = speech.voice(2.0, RATE, 3)
    processed = setting.apply(utterance_of(wave))
    assert abs(lag(wave, processed)) <= LATE.get(name, 0)
    assert abs(decibels(processed) - decibels(wave)) < 2


def test_codecs_keep_their_place_in_real_speech(shared):
    pytest.importorskip("av", reason="PyAV carries the encoder")
    clips = sorted(shared.glob("corpora/**/*.flac"))[:1] + sorted(shared.glob("corpora/**/*.wav"))[:1]
    assert clips
    for clip in clips:
        recording, rate = soundfile.read(clip, dtype="float32")
        wave = coders.resample(recording[: 3 * rate], rate, RATE)
        for name in ("opus16", "mp3-32", "amr-nb", "amr-nb-4.75", "gsm"):
            assert lag(wave, setting_of(name).apply(utterance_of(wave))) == 0, (clip.name, name)


def test_other_sample_rates_keep_their_length_and_place():
    wave = speech.voice(1.0, 44_100, 4)
    for name in ("opus24", "mp3-64", "amr-nb", "gsm"):
        if name != "gsm":
            pytest.importorskip("av", reason="PyAV carries the encoder")
        utterance = Utterance(wave, 44_100, np.random.default_rng(0), lambda: iter(()))
        processed = parse_setting(name).apply(utterance)
        assert processed.shape == wave.shape
        assert abs(lag(wave, processed)) <= 1  # of 44.1 kHz


@pytest.mark.parametrize("kind", ["noise", "pink", "babble"])
@pytest.mark.parametrize("snr", [-5, 10])
def test_noise_has_the_stated_ratio_and_the_speech_stays(kind, snr):
    wave = speech.voice(1.3, RATE, 5)
    noise = parse_setting(f"{kind}-snr{snr}").apply(utterance_of(wave)) - wave
    assert decibels(wave) - decibels(noise) == pytest.approx(snr, abs=0.01)
    octaves = np.abs(np.fft.rfft(noise)) ** 2
    slope = 10 * np.log10(octaves[400:800].mean() / octaves[1600:3200].mean())
    if kind != "babble":
        assert slope == pytest.approx({"noise": 0, "pink": 6}[kind], abs=1)


@pytest.mark.parametrize("rt60", [0.2, 0.4, 1.0])
def test_a_room_decays_as_stated_and_starts_at_once(rt60):
    response = room_response(rt60, RATE, np.random.default_rng(1))
    assert np.argmax(np.abs(response)) == 0
    assert np.sum(response**2) == pytest.approx(1, abs=1e-5)
    remaining = np.cumsum(response[40:][::-1].astype(np.float64) ** 2)[::-1]
    curve = 10 * np.log10(remaining / remaining[0])
    time = np.arange(len(curve)) / RATE
    fitted = (curve < -5) & (curve > -25)
    assert -60 / np.polyfit(time[fitted], curve[fitted], 1)[0] == pytest.approx(rt60, rel=0.15)
    impulse = np.zeros(RATE, np.float32)
    impulse[100] = 1
    processed = parse_setting(f"reverb-rt60-{rt60}").apply(utterance_of(impulse))
    assert np.argmax(np.abs(processed)) == 100
    assert not np.abs(processed[:100]).max() > 1e-5


def test_names_carry_their_setting_and_wrong_ones_say_what_is_right(monkeypatch):
    assert parse_setting("reverb").name == "reverb-rt60-0.4"
    assert setting_of("amr-nb").name == "amr-nb-12.2"
    for wrong, hint in (
        ("noise-snr99", "-10 to 60 dB"),
        ("reverb-rt60-9", "0.1 to 3.0 s"),
        ("nois-snr10", "did you mean noise-snr10"),
        ("amr-wb", "carry no encoder"),
        ("../gsm", "there is no robustness condition"),
    ):
        with pytest.raises(CodecfakeError, match=hint):
            parse_setting(wrong)
    monkeypatch.setattr(coders, "find_spec", lambda name: None)
    with pytest.raises(CodecfakeError, match="pip install"):
        parse_setting("opus16")
    listed = json.loads(CliRunner().invoke(app, ["conditions", "--list", "--json"]).stdout)
    available = {row["setting"]: row["available"] for row in listed}
    assert available["gsm"] and available["noise-snr10"] and not available["opus16"]


@pytest.fixture(scope="module")
def built(corpora, tmp_path_factory):
    with built_run(tmp_path_factory.mktemp("conditions"), corpora) as run_dir:
        yield run_dir


@pytest.fixture
def run(built, tmp_path):
    return shutil.copytree(built, tmp_path / "run", ignore=shutil.ignore_patterns(".lock*"))


def derive(run, *names, chosen=None, monitor=None):
    settings = [parse_setting(name) for name in names]
    return derive_conditions(run, SPLIT, settings, chosen, monitor or Monitor())


def test_conditions_are_scored_beside_the_split_and_leave_it_as_it_is(run, built):
    before = open_trials(built, SPLIT)
    result, _ = derive(run, "gsm", "babble-snr10")
    after = open_trials(run, SPLIT)
    assert after.digest == before.digest
    assert digests(run / "splits" / SPLIT / "Codecfake") == digests(built / "splits" / SPLIT / "Codecfake")
    assert (after.train.files, after.dev.files) == (before.train.files, before.dev.files)
    assert list(after.conditions) == [
        *("C4", "C-X1", "C4-babble-snr10", "C-X1-babble-snr10", "C4-gsm", "C-X1-gsm"),
    ]
    for name, clean in before.conditions.items():
        processed = after.conditions[f"{name}-gsm"]
        assert processed.processing == "gsm"
        assert processed.labels.tolist() == clean.labels.tolist()
        assert result.conditions[f"{name}-gsm"]["real"] == clean.count(Label.BONA_FIDE)
        for at, file in enumerate(clean.files):
            ours, theirs = (soundfile.info(trials.path(at)) for trials in (clean, processed))
            for fact in ("frames", "samplerate", "channels", "format", "subtype"):
                assert getattr(ours, fact) == getattr(theirs, fact)
            assert processed.files[at] == file.replace(".wav", "-gsm.wav")
            assert processed.path(at).read_bytes() != clean.path(at).read_bytes()
    assert not {file for part in after.conditions.values() if part.processing for file in part.files} & {
        *(after.train.files + after.dev.files),
        *(file for part in after.conditions.values() if not part.processing for file in part.files),
    }


def test_a_stopped_call_is_finished_by_the_next_to_the_same_files(run, built, tmp_path, monkeypatch):
    cut_small_shards(monkeypatch)
    with pytest.raises(Stopped):
        derive(run, "noise-snr10", monitor=StopAfter(7))
    assert not [name for name in open_trials(run, SPLIT).conditions if "noise" in name]
    store = run / "splits" / SPLIT / "conditions" / "noise-snr10"
    draft = store / "shards" / "X1" / ".tmp-000-00000-dead"
    (draft / "audio").mkdir(parents=True)
    (resumed,) = derive(run, "noise-snr10", chosen=["C4"])
    assert resumed.kept > 0
    assert not draft.exists()
    (widened,) = derive(run, "noise-snr10")
    assert widened.kept == resumed.kept + resumed.derived
    assert (derive(run, "noise-snr10")[0].derived) == 0

    whole = shutil.copytree(built, tmp_path / "whole", ignore=shutil.ignore_patterns(".lock*"))
    derive(whole, "noise-snr10")
    manifest = f"splits/{SPLIT}/conditions/noise-snr10/manifest.parquet"
    assert (run / manifest).read_bytes() == (whole / manifest).read_bytes()


def test_a_condition_of_which_fakes_are_missing_is_no_condition_yet(run, monkeypatch):
    cut_small_shards(monkeypatch)
    with pytest.raises(Stopped):
        derive(run, "noise-snr10", chosen=["C-X1"], monitor=StopAfter(7))
    derive(run, "noise-snr10", chosen=["C4"])
    names = [name for name in open_trials(run, SPLIT).conditions if "noise" in name]
    assert names == ["C4-noise-snr10"]
    derive(run, "noise-snr10", chosen=["C-X1"])
    assert "C-X1-noise-snr10" in open_trials(run, SPLIT).conditions


def test_an_encoder_that_is_not_there_is_named():
    with pytest.raises(CodecfakeError, match="no encoder"):
        coders.Coder("nosuchencoder", "ogg", RATE).check()


def test_files_that_cannot_be_processed_are_quarantined_with_reasons(run):
    fakes = open_trials(run, SPLIT).conditions["C-X1"]
    gone, changed = (fakes.path(at) for at in np.flatnonzero(fakes.labels == Label.SPOOF)[:2])
    gone.unlink()
    pcm, rate = soundfile.read(changed, dtype="int16")
    soundfile.write(changed, pcm[::-1], rate)
    (result,) = derive(run, "gsm")
    found = {row["file"]: row["reason"] for row in result.quarantined}
    assert found == {f"{gone.stem}-gsm.wav": "missing", f"{changed.stem}-gsm.wav": "damaged"}
    assert len(open_trials(run, SPLIT).conditions["C-X1-gsm"]) == len(fakes) - 2


def test_files_that_were_mended_since_are_processed_by_the_same_call(run, built, tmp_path):
    fakes = open_trials(run, SPLIT).conditions["C-X1"]
    lost = [fakes.path(at) for at in np.flatnonzero(fakes.labels == Label.SPOOF)]
    before = {path: path.read_bytes() for path in lost}
    for path in lost:
        path.write_bytes(before[path][:-2])
    lost[0].unlink()
    (result,) = derive(run, "noise-snr10")
    assert len(result.quarantined) == len(lost) and "C-X1-noise-snr10" not in result.conditions
    (result,) = derive(run, "noise-snr10")
    assert result.derived == 0 and len(result.quarantined) == len(lost)

    for mended in (lost[1:], lost[:1]):
        for path in mended:
            path.write_bytes(before[path])
        (result,) = derive(run, "noise-snr10")
        assert result.derived == len(mended)
    assert not result.quarantined
    assert derive(run, "noise-snr10")[0].derived == 0
    whole = shutil.copytree(built, tmp_path / "whole", ignore=shutil.ignore_patterns(".lock*"))
    (expected,) = derive(whole, "noise-snr10")
    assert result.conditions == expected.conditions
    ours, theirs = (
        pq.read_table(folder / f"splits/{SPLIT}/conditions/noise-snr10/manifest.parquet")
        for folder in (run, whole)
    )
    assert ours.drop_columns("path") == theirs.drop_columns("path")
    assert verify(run, [], Monitor()).is_whole


def test_stores_of_files_of_16_khz_stay_valid_and_bear_no_rate(run):
    derive(run, "noise-snr10")
    record = json.loads((run / f"splits/{SPLIT}/conditions/noise-snr10/condition.json").read_text())
    assert list(record) == ["setting", "description", "versions", "manifest_sha256", "shards"]


def command(*arguments):
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, ["conditions", *map(str, arguments)])


def test_what_comes_next_can_be_pasted(run, tmp_path):
    folder = run.rename(tmp_path / "my run")
    shown = command(folder, "--add", "gsm", "--split", SPLIT).output
    named = f"'{folder}' --split {SPLIT}"
    assert f"Next: codecfake score {named}, codecfake evaluate {named}" in shown
    assert f"codecfake score '{folder}', codecfake" in command(folder, "--add", "gsm").output


def test_a_folder_that_does_not_exist_is_told(tmp_path):
    for arguments in (["conditions", "nowhere", "--add", "gsm"], ["export", "tree", "nowhere", "out"]):
        with pytest.raises(CodecfakeError, match="nowhere is no folder"):
            CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_verify_names_what_is_wrong_with_conditions_and_a_repeated_call_mends_it(run):
    derive(run, "gsm")
    assert verify(run, [], Monitor()).is_whole
    processed = open_trials(run, SPLIT).conditions["C4-gsm"].path(0)
    processed.write_bytes(processed.read_bytes()[:-100])
    report = verify(run, [], Monitor())
    assert [damage.path for damage in report.damage] == [processed.relative_to(run).as_posix()]
    assert not report.damage[0].utterance_id  # a retry must not redo what it was made from

    shutil.rmtree(processed.parents[1])
    (problem,) = verify(run, [], Monitor()).damage
    assert "codecfake conditions RUN --add gsm" in problem.problem
    derive(run, "gsm")
    assert verify(run, [], Monitor()).is_whole


def test_other_library_versions_do_not_mix(run):
    derive(run, "gsm", chosen=["C4"])
    path = run / "splits" / SPLIT / "conditions" / "gsm" / "condition.json"
    path.write_text(path.read_text().replace(coders.gsm_versions()["libsndfile"], "libsndfile-0.9"))
    with pytest.raises(CodecfakeError, match="made in another way"):
        derive(run, "gsm")
    with pytest.raises(CodecfakeError, match="no condition 'C9'"):
        derive(run, "noise-snr10", chosen=["C9"])


def test_exports_hold_the_conditions_apart(run, tmp_path):
    derive(run, "gsm", "reverb-rt60-0.4")
    export(run, tmp_path / "tree", "tree")
    expected = open_trials(run, SPLIT).conditions
    found = codecfake_tree.read(tmp_path / "tree" / "Codecfake").conditions
    assert {name: sorted(part.files) for name, part in found.items()} == {
        name: sorted(part.files) for name, part in expected.items()
    }

    export(run, tmp_path / "hf", "hf")
    names = Counter(path.name.split("-00000-of-")[0] for path in (tmp_path / "hf" / "data").iterdir())
    assert {"test-real", "test-real-gsm", "test-C4-gsm", "test-C-X1-reverb-rt60-0.4"} <= names.keys()
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "data/test-real-?????-of-*" in card and "data/test-*" not in card
    assert card.count("data/test-real-gsm-?????-of-*") == 2  # of C4-gsm and of C-X1-gsm
    table = pq.read_table(tmp_path / "hf" / "data" / "test-C4-gsm-00000-of-00001.parquet")
    assert set(table["processing"].to_pylist()) == {"gsm"}
    lines = (tmp_path / "hf" / "audiofolder" / "test" / "metadata.jsonl").read_text().splitlines()
    tested = sum(
        pq.read_metadata(path).num_rows
        for name in ("test-real", "test-C4", "test-C-X1")
        for path in (tmp_path / "hf" / "data").glob(f"{name}-00000-of-*")
    )
    audio = list((tmp_path / "hf" / "audiofolder" / "test").rglob("*.wav"))
    assert len(lines) == len(audio) == tested

    export(run, tmp_path / "protocols", "asvspoof")
    lines = (tmp_path / "protocols/Codecfake_cm_protocols/Codecfake.cm.eval.trl.txt").read_text().splitlines()
    channels = Counter(line.split()[2] for line in lines)
    assert channels["gsm"] == channels["-"] == channels["reverb-rt60-0.4"]


def test_an_audit_looks_at_one_condition_at_a_time(run, built):
    derive(run, "gsm")
    assert [file.name for file in gather(run, SPLIT, None, 0).files] == [
        file.name for file in gather(built, SPLIT, None, 0).files
    ]
    processed = gather(run, SPLIT, None, 0, "gsm")
    assert processed.files and all(file.name.endswith("-gsm.wav") for file in processed.files)
    sources = {file.utterance_id for file in processed.files if file.codec == "real"}
    assert {file.utterance_id for file in processed.files} == sources
    with pytest.raises(CodecfakeError, match="it has gsm"):
        gather(run, SPLIT, None, 0, "opus16")


def scored(part: TrialList, shift: float) -> ScoredTrials:
    random = np.random.default_rng(len(part.name))
    scores = random.standard_normal(len(part)) - shift * part.labels
    return ScoredTrials(part.name, part.files, scores, part.labels, part.columns)


def assembled(parts):
    about = {"detector": "any", "split": SPLIT, "dev": None, "threshold": 0.0, "threshold_origin": "given"}
    return assemble(**about, conditions=parts, rounds=0)


def test_a_mean_over_some_of_the_conditions_says_so(run):
    derive(run, "gsm", chosen=["C4"])
    derive(run, "noise-snr10")
    parts = [scored(part, 2.0) for part in open_trials(run, SPLIT).conditions.values()]
    results = assembled(parts)
    assert list(results.averages) == ["mean under gsm (1 of 2 conditions)", "mean under noise-snr10"]


def test_mean_and_pool_stay_those_of_the_clean_conditions(run, built):
    derive(run, "gsm")

    def evaluation(folder):
        parts = [scored(part, 2.0) for part in open_trials(folder, SPLIT).conditions.values()]
        results = assembled(parts)
        publish_evaluation(folder, results, parts)
        return results

    ours, theirs = evaluation(run), evaluation(built)
    assert ours.mean_eer_percent == theirs.mean_eer_percent
    assert ours.pooled == theirs.pooled
    assert ours.breakdown == theirs.breakdown
    under = [result.eer_percent for result in ours.conditions if result.condition.endswith("-gsm")]
    assert ours.averages["mean under gsm"] == pytest.approx(np.mean(under))
    # The curves of each setting are a figure of their own, and the clean figure stays as it was.
    for name in ("evaluation.det.svg", "evaluation.scores.svg"):
        assert (run / name).read_bytes() == (built / name).read_bytes()
    shown = re.findall(r"\((evaluation\S+)\)", (run / "evaluation.md").read_text())
    assert shown == [
        f"evaluation.{kind}{setting}.png" for setting in ("", ".gsm") for kind in ("det", "scores")
    ]
    assert all((run / name).is_file() for name in shown)
