"""The shortcut audit: planted shortcuts are named with a cure, clean data is not accused, bad files stop nothing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from run_helpers import build_here, settings
from typer.testing import CliRunner

from codecfake.codec_adapters.resampling import resample
from codecfake.detector.audit.separation import Kind, separate
from codecfake.flows.commands.audit import audit
from codecfake.pipeline.audit.file_features import read_features
from codecfake.pipeline.audit.measuring import AuditedFile, measure_files
from codecfake.pipeline.audit.pair_quality import codec_quality
from codecfake.pipeline.config import make_config
from codecfake.pipeline.monitor import Monitor

RATE = 16_000
UTTERANCES = 12
CURES = {
    "sampling rate": "--sample-rate 16000",
    "whole number of 20 ms": "length contract",
    "RMS level": "level contract",
    "leading silence": "trim both classes",
    "DC offset": "take the mean",
}


def run_audit(*arguments: object) -> dict:
    app = typer.Typer()
    app.command()(audit)
    result = CliRunner().invoke(app, [*map(str, arguments), "--json", "--rounds", "200"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def named(report: dict, kind: Kind = Kind.SHORTCUT) -> set[tuple[str, str]]:
    return {(entry["codec"], entry["feature"]) for entry in report["separations"] if entry["kind"] == kind}


def speech_like(seed: int) -> np.ndarray:
    """Noise with syllables, of a length and a level of its own."""
    rng = np.random.default_rng(seed)
    samples = int(rng.integers(9_000, 16_000)) // 160 * 160 + 37
    envelope = np.interp(np.arange(samples), np.arange(0, samples + 800, 800), rng.random(samples // 800 + 2))
    return (0.3 * rng.uniform(0.3, 1) * envelope * rng.standard_normal(samples) / 4).astype(np.float32)


def write_pairs(folder: Path, codecs: dict, utterances: int = UTTERANCES) -> Path:
    """A folder as CodecFake's; every codec is a function of wave and rate that gives wave and rate."""
    for number in range(utterances):
        wave = speech_like(number)
        for codec, change in {"genuine": lambda wave, rate: (wave, rate), **codecs}.items():
            path = folder / codec / f"{codec}+p{225 + number}_{number:03d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, *change(wave, RATE), subtype="PCM_16")
    return folder


def noisy(wave: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    noise = np.random.default_rng(len(wave)).standard_normal(len(wave))
    return wave + 0.1 * np.abs(wave) * noise.astype(np.float32), rate


def test_planted_shortcuts_are_named_each_with_its_cure_and_a_clean_codec_is_not(tmp_path):
    def frames(wave, rate):
        return np.pad(wave, (0, -len(wave) % 320)), rate

    data = write_pairs(
        tmp_path,
        {
            "clean": noisy,
            "rate": lambda wave, rate: (np.repeat(wave, 2), 2 * rate),
            "frames": frames,
            "loud": lambda wave, rate: (wave * 0.95 / np.abs(wave).max(), rate),
            "padded": lambda wave, rate: (np.concatenate([np.zeros(4_800, np.float32), wave[:-4_800]]), rate),
            "offset": lambda wave, rate: (wave + np.float32(0.02), rate),
        },
    )
    report = run_audit(data)
    found = named(report)
    assert not {feature for codec, feature in found if codec == "clean"}
    assert {("rate", "sampling rate"), ("loud", "peak level"), ("loud", "RMS level")} <= found
    assert {feature for codec, feature in found if codec == "frames"} == {
        "whole number of 10 ms",
        "whole number of 20 ms",
    }
    assert ("padded", "leading silence") in found
    assert ("offset", "DC offset") in named(report, Kind.CODEC_TRACE)
    for entry in report["separations"]:
        if entry["kind"] != Kind.NONE and entry["feature"] in CURES:
            assert CURES[entry["feature"]] in entry["cure"]
            assert entry["interval_percent"]["high"] < 40
    text = (data / "audit" / "audit.md").read_text()
    assert "shortcuts found" in text and "--sample-rate 16000" in text


def test_quality_control_counts_and_lists(tmp_path):
    def one_bad(wave, rate):
        if np.array_equal(wave, speech_like(3)):
            return speech_like(99)[: len(wave)], rate
        return noisy(wave, rate)

    def sometimes_broken(wave, rate):
        if np.array_equal(wave, speech_like(5)):
            return np.zeros_like(wave), rate
        if np.array_equal(wave, speech_like(6)):
            return wave * 50, rate
        return wave, rate

    report = run_audit(write_pairs(tmp_path, {"one-bad": one_bad, "broken": sometimes_broken}))
    quality = {entry["codec"]: entry for entry in report["quality"]}
    assert {outlier["file"] for outlier in quality["one-bad"]["outliers"]} == {"one-bad+p228_003.wav"}
    # Noise at a tenth of every sample: an SI-SDR of 20 dB.
    assert quality["one-bad"]["si_sdr"] == pytest.approx(20, abs=1)
    assert (quality["broken"]["silent_files"], quality["broken"]["clipped_files"]) == (1, 1)
    assert (quality["real"]["silent_files"], quality["real"]["pairs"]) == (0, 0)


def test_bad_files_are_told_and_stop_nothing(tmp_path):
    data = write_pairs(tmp_path, {"clean": noisy}, utterances=4)
    (data / "clean" / "clean+p226_001.wav").write_bytes(b"RIFF, and nothing else")
    soundfile.write(data / "genuine" / "genuine+p227_002.wav", np.zeros(0), RATE)
    report = run_audit(data)
    assert set(report["unreadable"]) == {"clean+p226_001.wav", "genuine+p227_002.wav"}
    quality = {entry["codec"]: entry for entry in report["quality"]}
    assert (quality["clean"]["unreadable"], quality["clean"]["pairs"]) == (1, 2)
    rows = list(csv.DictReader((data / "audit" / "files.csv").open()))
    assert len(rows) == 8 and sum(bool(row["problem"]) for row in rows) == 2


def test_fakes_alone_need_the_folder_of_their_sources(tmp_path):
    data = write_pairs(
        tmp_path / "all", {"loud": lambda wave, rate: (wave * 0.95 / np.abs(wave).max(), rate)}
    )
    real = tmp_path / "corpus"
    real.mkdir()
    for path in (data / "genuine").iterdir():
        path.rename(real / f"{path.stem.removeprefix('genuine+')}_mic1.wav")
    app = typer.Typer()
    app.command()(audit)
    result = CliRunner().invoke(app, [str(data)])
    assert f"codecfake audit {data} --real FOLDER" in str(result.exception)
    report = run_audit(data, "--real", real, "--out", tmp_path / "report")
    assert ("loud", "peak level") in named(report)
    assert (tmp_path / "report" / "audit.json").is_file() and not (data / "audit").exists()


def test_sources_that_no_list_can_name_are_counted(tmp_path):
    data = write_pairs(tmp_path / "all", {"clean": noisy}, utterances=4)
    real = tmp_path / "corpus"
    (data / "genuine").rename(real)
    for path in real.iterdir():
        path.rename(real / path.name.removeprefix("genuine+"))
    for odd in ("p225\u202e_000.wav", "p225\u00a0_000.wav", "p225\n_000.wav"):
        (real / odd).write_bytes(b"RIFF")
    report = run_audit(data, "--real", real, "--out", tmp_path / "report")
    assert [note for note in report["notes"] if note.startswith("corpus: 3 audio files have characters")]
    assert report["utterances"] == 4


def test_a_file_as_the_folder_of_the_report_is_refused_before_the_work(tmp_path, monkeypatch):
    data = write_pairs(tmp_path / "data", {"clean": noisy}, utterances=1)
    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    app = typer.Typer()
    app.command()(audit)
    result = CliRunner().invoke(app, [str(data), "--out", "taken"])
    assert result.exit_code == 2
    assert "is a file" in " ".join(result.output.split()) and "Measuring" not in result.output


def test_a_sample_of_utterances_keeps_sources_with_their_fakes(tmp_path):
    data = write_pairs(tmp_path, {"clean": noisy})
    report = run_audit(data, "--limit", 5)
    assert (report["utterances"], report["all_utterances"]) == (5, UTTERANCES)
    assert [(entry["files"], entry["codec"]) for entry in report["quality"]] == [(5, "real"), (5, "clean")]
    assert run_audit(data, "--limit", 5) == report


def test_a_run_and_its_tree_are_audited_alike(corpora, outside, tmp_path):
    build_here(settings(corpora, outside, tmp_path / "run"))
    of_run = run_audit(tmp_path / "run")
    (tree,) = (tmp_path / "run" / "splits").glob("*/Codecfake")
    of_tree = run_audit(tree, "--out", tmp_path / "of-tree")
    assert (tmp_path / "run" / "audit" / "audit.md").is_file()
    assert {entry["codec"] for entry in of_run["quality"]} == {"real", "X1"}
    rates = [
        [(entry["feature"], entry["eer_percent"]) for entry in report["separations"]]
        for report in (of_run, of_tree)
    ]
    assert rates[0] == rates[1]


def columns_of(**changed: np.ndarray) -> dict[str, np.ndarray]:
    """Measurements of as many files as the first change has, equal in all else."""
    count = len(next(iter(changed.values())))
    same = dict.fromkeys(("file_bytes", "samples", "peak_db", "rms_db", "dc_db", "bandwidth"), np.ones(count))
    same |= dict.fromkeys(("leading_silence", "trailing_silence"), np.zeros(count))
    rate, form = np.full(count, RATE), np.full(count, "WAV", dtype=object)
    return same | {"seconds": np.full(count, 1.0001), "sample_rate": rate, "form": form} | changed


def separations(values: np.ndarray, codecs: list[str], groups: list[int], margin: float = 10.0) -> dict:
    found = separate(
        columns_of(rms_db=values), np.array(codecs, dtype=object), np.array(groups), margin=margin, rounds=200
    )
    return {entry.codec: entry for entry in found if entry.feature == "RMS level"}


def test_a_feature_counts_by_its_whole_interval_and_in_either_direction():
    rng = np.random.default_rng(0)
    real = rng.normal(-20, 3, 200)
    codecs = ["real"] * 200 + ["quieter"] * 200 + ["louder"] * 200 + ["little"] * 200 + ["same"] * 200
    values = np.concatenate([real, real - 4, real + 4, real + 1, real])
    found = separations(values, codecs, list(range(200)) * 5)
    assert found["quieter"].kind is found["louder"].kind is Kind.SHORTCUT
    assert found["quieter"].eer_percent == pytest.approx(found["louder"].eer_percent, abs=1)
    assert found["little"].kind is found["same"].kind is Kind.NONE
    assert found["same"].eer_percent == 50
    assert separations(values, codecs, list(range(200)) * 5, margin=30)["quieter"].kind is Kind.NONE


def test_with_few_utterances_only_what_tells_all_files_apart_is_named():
    codecs = ["real"] * 3 + ["shifted"] * 3 + ["apart"] * 3
    values = np.array([-30.0, -25, -20, -29.9, -24.9, -19.9, -5, -4, -3])
    found = separations(values, codecs, [0, 1, 2] * 3)
    assert found["shifted"].kind is Kind.NONE
    assert found["apart"].kind is Kind.SHORTCUT and found["apart"].eer_percent == 0


def test_a_rate_that_no_bona_fide_file_has_tells_all_fakes_of_two_corpora():
    groups = np.array([*range(20), *range(20)])
    rates = np.array([48_000] * 12 + [44_100] * 8 + [24_000] * 20)
    codecs = np.array(["real"] * 20 + ["codec"] * 20, dtype=object)
    found = separate(columns_of(sample_rate=rates), codecs, groups, rounds=200)
    (entry,) = (entry for entry in found if entry.feature == "sampling rate")
    assert (entry.eer_percent, entry.bona_fide, entry.fake) == (0, "48000 (12 of 20)", "24000")


def test_fakes_of_quiet_utterances_are_no_quiet_codec():
    rng = np.random.default_rng(0)
    quiet, loud = rng.normal(-40, 1, 20), rng.normal(-20, 1, 20)
    values = np.concatenate([quiet, loud, quiet])
    found = separations(values, ["real"] * 40 + ["codec"] * 20, [*range(40), *range(20)])
    assert found["codec"].kind is Kind.NONE


def test_features_of_a_known_file(tmp_path):
    narrow = resample(np.random.default_rng(0).standard_normal(4_000).astype(np.float32), RATE // 2, RATE)
    wave = np.concatenate([np.zeros(1_600), 0.5 * narrow / np.abs(narrow).max(), np.zeros(3_200)])
    soundfile.write(tmp_path / "narrow.wav", wave, RATE, subtype="PCM_16")
    features, read = read_features(tmp_path / "narrow.wav")
    assert (features.samples, features.sample_rate, len(read)) == (12_800, RATE, 12_800)
    assert features.form == "WAV PCM_16, 1 ch, 44 header bytes"
    assert (features.leading_silence, features.trailing_silence) == (0.1, 0.2)
    assert features.peak_db == pytest.approx(-6.02, abs=0.01)
    assert features.bandwidth == pytest.approx(RATE / 4, abs=300)
    assert features.clipped == 0


def test_a_silent_file_and_a_missing_one_are_measured_and_told(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), RATE)
    files = [AuditedFile(name, tmp_path / name, "F01", name) for name in ("silent.wav", "gone.wav")]
    gone, silent = measure_files(files, Monitor())
    assert gone.features is None and gone.problem == "no such file"
    assert silent.features.rms_db == -100
    assert codec_quality("F01", [gone, silent]).silent_files == 1


def test_the_published_outputs_of_codecfake_show_their_shortcuts(shared, tmp_path):
    data = shared / "reference_resynthesis"
    if not data.is_dir():
        pytest.skip("the published outputs are not there")
    report = run_audit(data, "--real", shared / "corpora" / "VCTK-Corpus-0.92", "--out", tmp_path)
    found = named(report)
    rates = {codec for codec, feature in found if feature == "sampling rate"}
    assert rates == {
        "academicodec_hifi_24k_320d",
        "audiodec_24k_320d",
        "descript-audio-codec-24khz",
        "descript-audio-codec-44khz",
        "encodec_24khz",
    }
    # The length laws of the original code, see benchmarks/reference_resynthesis.py.
    lengths = {
        (codec, feature.removeprefix("whole number of ")) for codec, feature in found if "whole" in feature
    }
    assert lengths == {
        *(("SpeechTokenizer", hop) for hop in ("10 ms", "20 ms")),
        *(("academicodec_hifi_16k_320d", hop) for hop in ("10 ms", "20 ms")),
        *(("academicodec_hifi_16k_320d_large_uni", hop) for hop in ("10 ms", "20 ms")),
        ("academicodec_hifi_24k_320d", "13.3 ms"),
        ("audiodec_24k_320d", "12.5 ms"),
    }
    # HiFi-Codec was given every utterance at a peak of 0.95.
    assert {codec for codec, feature in found if feature == "RMS level"} == {
        "academicodec_hifi_16k_320d",
        "academicodec_hifi_16k_320d_large_uni",
        "academicodec_hifi_24k_320d",
    }


def test_a_default_build_of_real_clips_has_no_shortcut(shared, tmp_path):
    corpora = shared / "corpora"
    config = make_config(
        {
            "vctk": corpora / "VCTK-Corpus-0.92",
            "aishell3": corpora / "data_aishell3",
            "out": tmp_path / "run",
            "weights": "mini",
            "codecs": "F04",
            "limit": 20,
            "device": "cpu",
        }
    )
    build_here(config)
    report = run_audit(config.out)
    assert report["shortcuts"] == 0, named(report)
    assert report["utterances"] == 20
