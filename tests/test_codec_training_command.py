"""`codecs train`: speech in, a checkpoint that `--weights` takes out, whatever happens between."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import speech as test_speech
import torch
from run_helpers import Listener
from speech import voice

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.codec_adapters.resampling import resample
from codecfake.codec_adapters.training import recipes
from codecfake.codec_adapters.training.initialisation import initialise_from_data
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.codec_training import augmentation, loop, speech
from codecfake.pipeline.codec_training.augmentation import samples_needed, vary
from codecfake.pipeline.codec_training.espeak_speech import speak_files
from codecfake.pipeline.codec_training.export import SMALL_BYTES, choose_storage, codec_with, restore_level
from codecfake.pipeline.codec_training.settings import TrainingSettings, training_recipe
from codecfake.pipeline.codec_training.speech import TrainingSpeech
from codecfake.pipeline.codec_training.speech_files import SpeechFiles, find_speech, hold_out
from codecfake.pipeline.codec_training.validation import Clip, compare, mean_scores, read_clips, validate
from codecfake.pipeline.config import make_config, save_config
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.source import ensure_source, list_sources
from codecfake.pipeline.weights import find_checkpoint, load_codec

RATE = 16_000
CODECS = [f"F0{number}" for number in range(1, 8)]
STEPS = 60

PATCH = """
from dataclasses import replace
from codecfake.codec_adapters.training import recipes
from codecfake.codec_adapters.training.initialisation import initialise_from_data

published = recipes.recipe_for

def tiny(codec, kind):
    recipe = published(codec, kind)
    network = {**recipe.network, "filters": 2, "dimension": 8, "codebook_size": 32}
    stages = {"steps": 60, "warmup_steps": 20, "opening_steps": 30}
    return replace(recipe, network=network, crop_samples=3200, batch_size=2, **stages)

recipes.recipe_for = tiny
"""
"""A network of the shape of F02's that trains within seconds."""
COMMAND = f"{PATCH}\nfrom codecfake.flows.cli import main\nif __name__ == '__main__':\n    main()\n"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "recipe_for", recipes.recipe_for)
    exec(PATCH, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve utterances of speech-like audio of 1 to 2 s."""
    folder = tmp_path_factory.mktemp("speech")
    for index in range(12):
        write(folder / f"{index:02d}.wav", seconds=1 + index / 12, seed=index)
    return folder


def write(path: Path, seconds: float = 1.0, seed: int = 0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, voice(seconds, rate, seed), rate, format=path.suffix[1:].upper())
    return path


def find(data: object, **options: object) -> SpeechFiles:
    given = {"seed": 0, "spoken": Path("nowhere"), "monitor": Monitor()} | options
    return find_speech(str(data), **given)


def names(found: SpeechFiles) -> list[str]:
    return [file.name for file in found.files]


def crops(found: SpeechFiles, **options: object) -> TrainingSpeech:
    given = {"sample_rate": RATE, "crop_samples": 3200, "batch_size": 3, "seed": 5} | options
    return TrainingSpeech(found, **given)


def settings(folder: Path, out: Path, **changes: object) -> TrainingSettings:
    return TrainingSettings(**({"codec": "F02", "data": str(folder), "out": out, "device": "cpu"} | changes))


# Which files


def test_libritts_gives_its_training_subsets_and_no_other(tmp_path: Path) -> None:
    for name in (
        "train-clean-100/19/198/19_198_000000_000000",
        "train-other-500/20/1/20_1_0",
        "dev-clean/84/1/84_1_0",
    ):
        write(tmp_path / "LibriTTS" / f"{name}.wav")
    (tmp_path / "LibriTTS/train-clean-100/19/198/19_198_000000_000000.normalized.txt").write_text("words")
    found = find(tmp_path / "LibriTTS")
    assert names(found) == [
        "train-clean-100/19/198/19_198_000000_000000.wav",
        "train-other-500/20/1/20_1_0.wav",
    ]
    assert found.source == "LibriTTS layout, train-clean-100, train-other-500, 2 speakers"
    assert not found.is_synthetic
    chosen = find(tmp_path / "LibriTTS", subsets=["dev-clean"])
    assert names(chosen) == ["dev-clean/84/1/84_1_0.wav"]
    with pytest.raises(
        CodecfakeError, match=r"no subset train-clean-360; it has train-clean-100, train-other-500"
    ):
        find(tmp_path / "LibriTTS", subsets=["train-clean-360"])
    with pytest.raises(CodecfakeError, match="no root of LibriTTS"):
        find(tmp_path / "LibriTTS/train-clean-100", subsets=["train-clean-100"])


def test_a_folder_is_searched_for_every_format_and_bad_files_are_counted_and_named(tmp_path: Path) -> None:
    for name in ("a.wav", "deep/er/b.FLAC", "c.ogg", ".hidden.wav", "._c.ogg"):
        write(tmp_path / name)
    (tmp_path / "no.wav").write_text("This is not a recording.")
    (tmp_path / "empty.flac").touch()
    (tmp_path / "read me.txt").touch()
    monitor = Listener()
    found = find(tmp_path, monitor=monitor)
    assert names(found) == ["a.wav", "c.ogg", "deep/er/b.FLAC"]
    assert set(found.unreadable) == {"no.wav", "empty.flac"}
    (line,) = monitor.lines
    assert line.startswith("2 of 5 files cannot be read and are left out: empty.flac: ")
    assert "no.wav: " in line


def test_no_audio_and_no_place_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CodecfakeError, match="no readable audio among 0 files"):
        find(tmp_path)
    with pytest.raises(CodecfakeError, match="there is no such folder or file"):
        find(tmp_path / "nowhere")
    with pytest.raises(CodecfakeError, match="espeak:long names no number of seconds"):
        find("espeak:long")


def test_manifests_of_paths_are_relative_to_themselves(tmp_path: Path) -> None:
    for name in ("one.wav", "sub/two.wav", "three.wav"):
        write(tmp_path / "audio" / name)
    (tmp_path / "list.txt").write_text(f"audio/sub/two.wav\n\n{tmp_path}/audio/one.wav\naudio/gone.wav\n")
    found = find(tmp_path / "list.txt")
    assert [file.path.name for file in found.files] == ["one.wav", "two.wav"]
    assert found.unreadable == {"audio/gone.wav": "not there"}
    (tmp_path / "list.csv").write_text("speaker,path\np1,audio/three.wav\n")
    assert names(find(tmp_path / "list.csv")) == ["audio/three.wav"]
    (tmp_path / "bad.csv").write_text("speaker,file\np1,audio/three.wav\n")
    with pytest.raises(CodecfakeError, match="no column path; its columns: speaker, file"):
        find(tmp_path / "bad.csv")
    with pytest.raises(CodecfakeError, match="neither a folder nor a manifest"):
        find(tmp_path / "audio/one.wav")


def test_a_run_gives_its_usable_recordings_and_none_of_its_fakes(tmp_path: Path) -> None:
    vctk = test_speech.write_vctk(tmp_path / "vctk", speakers=2, utterances=2)
    broken = vctk / "wav48_silence_trimmed/p225/p225_002_mic1.flac"
    broken.write_bytes(broken.read_bytes()[:900])
    config = make_config({"vctk": vctk, "out": tmp_path / "run"})
    save_config(config)
    ensure_source(config, list_sources(config), Monitor())
    write(tmp_path / "run/shards/F04/F04_p225_001.wav")
    expected = [
        f"vctk/wav48_silence_trimmed/{name}_mic1.flac"
        for name in ("p225/p225_001", "p226/p226_001", "p226/p226_002")
    ]
    assert names(find(tmp_path / "run")) == names(find(tmp_path / "run/source.parquet")) == expected


def test_held_out_files_are_not_trained_on(folder: Path) -> None:
    found = find(folder)
    train, held_out = hold_out(found)
    assert names(held_out) == ["00.wav"]
    assert names(train) == names(found)[1:]
    assert hold_out(replace(found, files=found.files[:9]))[1].files == ()


def test_espeak_says_the_same_for_a_seed_and_says_it_once(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    first = speak_files(tmp_path / "a", 6, 1, Monitor())
    again = speak_files(tmp_path / "b", 6, 1, Monitor())
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    written = {path: path.stat().st_mtime_ns for path in first}
    longer = speak_files(tmp_path / "a", 9, 1, Monitor())
    assert longer[: len(first)] == first
    assert {path: path.stat().st_mtime_ns for path in first} == written
    other = speak_files(tmp_path / "a", 1, 2, Monitor())
    assert other[0].read_bytes() != first[0].read_bytes()
    assert soundfile.info(first[0]).samplerate == 22_050


# Crops


@pytest.mark.parametrize("synthetic", [False, True])
def test_crops_are_a_function_of_seed_step_and_rank(folder: Path, synthetic: bool) -> None:
    found = replace(find(folder), is_synthetic=synthetic)
    batch = crops(found).batch(7)
    assert batch.shape == (3, 3200)
    assert batch.dtype == np.float32
    used = crops(found)
    for step in (0, 3):
        used.batch(step)
    np.testing.assert_array_equal(used.batch(7), batch)
    others = [crops(found).batch(8), crops(found, seed=6).batch(7), crops(found, rank=1).batch(7)]
    assert all(not np.array_equal(other, batch) for other in others)
    ahead = list(crops(found).batches(5, 9, threads=3))
    assert len(ahead) == 4
    np.testing.assert_array_equal(ahead[2], batch)
    np.testing.assert_array_equal(next(iter(crops(found).batches(7, 8, threads=0))), batch)


def test_crops_of_recordings_are_pieces_of_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(folder)
    batch = crops(found).batch(0)
    waves = [soundfile.read(file.path, dtype="float32")[0] for file in found.files]
    windows = np.concatenate([np.lib.stride_tricks.sliding_window_view(wave, 3200)[:, :8] for wave in waves])
    assert all((windows == crop[:8]).all(axis=1).any() for crop in batch)
    monkeypatch.setattr(speech, "MEMORY_BYTES", 0)  # every crop from its file
    np.testing.assert_array_equal(crops(found).batch(0), batch)


@pytest.mark.parametrize("rate", [44_100, 8_000])
def test_a_crop_read_from_its_file_is_a_piece_of_the_resampled_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    write(tmp_path / "a.flac", seconds=2.0, rate=rate)
    whole = resample(soundfile.read(tmp_path / "a.flac", dtype="float32")[0], rate, RATE)
    windows = np.lib.stride_tricks.sliding_window_view(whole, 3200)
    monkeypatch.setattr(speech, "MEMORY_BYTES", 0)
    for crop in crops(find(tmp_path)).batch(0):
        # It begins at a sample of the file, which is up to half a sample beside one of the resampled file.
        distance = np.sqrt(np.square(windows - crop).mean(axis=1)).min()
        assert distance < 0.15 * crop.std()


def test_a_short_file_is_set_among_zeros(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", seconds=0.1)
    wave, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    for crop in crops(find(tmp_path)).batch(0):
        assert np.count_nonzero(crop) == pytest.approx(np.count_nonzero(wave), abs=1)
        np.testing.assert_allclose(np.sort(np.abs(crop))[-1600:], np.sort(np.abs(wave)))


def test_audio_that_turns_out_broken_is_passed_over(tmp_path: Path) -> None:
    good = write(tmp_path / "good.wav")
    nan = voice(1.0, RATE, 1)
    nan[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", nan, RATE, subtype="FLOAT")
    write(tmp_path / "cut.flac", seconds=2.0)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "cut.flac").read_bytes()[:3000])
    reader = crops(find(tmp_path), batch_size=20)
    assert np.isfinite(reader.batch(0)).all()
    assert set(reader.unreadable) == {"nan.wav", "cut.flac"}
    good.unlink()
    with pytest.raises(CodecfakeError, match="files drawn one after the other cannot be read"):
        crops(find(tmp_path), batch_size=20).batch(0)


# Augmentation


def buzz(rate: int = RATE) -> np.ndarray:
    """A pulse train at 100 Hz, as regular as an engine."""
    wave = np.zeros(samples_needed(rate, rate), np.float32)
    wave[:: rate // 100] = 0.5
    return wave


def power(wave: np.ndarray, rate: int, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    frequencies = np.fft.rfftfreq(len(wave), 1 / rate)
    return float(spectrum[(frequencies >= low) & (frequencies < high)].sum())


def test_breath_hides_the_harmonics_of_the_upper_band_and_leaves_the_lower_one() -> None:
    def harmonicity(wave: np.ndarray, low: float, high: float) -> float:
        spectrum = np.abs(np.fft.rfft(wave[:RATE])) ** 2  # bins of 1 Hz
        band = spectrum[int(low) : int(high)]
        return float(band[::100].sum() / band.sum())

    wave = buzz()
    breathed = [augmentation.aspirate(wave, RATE, np.random.default_rng(seed)) for seed in range(20)]
    assert harmonicity(wave, 7000, 8000) > 0.99
    assert np.median([harmonicity(found, 7000, 8000) for found in breathed]) < 0.9
    assert np.median([harmonicity(found, 100, 1000) for found in breathed]) > 0.95
    for found in breathed:
        assert power(found, RATE, 0, 8000) == pytest.approx(power(wave, RATE, 0, 8000), rel=0.35)


def test_hiss_fills_only_the_band_that_the_engine_lacks() -> None:
    rate = 44_100
    wave = resample(buzz(22_050), 22_050, rate)
    extended = augmentation.extend_band(wave, rate, np.random.default_rng(0))
    assert power(extended, rate, 13_000, 22_000) > 100 * power(wave, rate, 13_000, 22_000)
    assert power(extended - wave, rate, 0, 6000) < 1e-3 * power(wave, rate, 0, 6000)
    np.testing.assert_array_equal(augmentation.extend_band(buzz(), RATE, np.random.default_rng(0)), buzz())


def test_a_room_answers_after_the_sound_and_dies_away() -> None:
    click = np.zeros(RATE, np.float32)
    click[1000] = 1.0
    for seed in range(10):
        answer = augmentation.add_room(click, RATE, np.random.default_rng(seed))
        assert np.abs(answer[:1000]).max() < 1e-4
        assert answer[1000] == pytest.approx(1.0, abs=1e-3)
        assert 10 ** (-21 / 10) < np.sum(answer[1001:] ** 2) < 10 ** (-2.9 / 10)
        assert np.sum(answer[1016:3000] ** 2) > np.sum(answer[3000:] ** 2)


def test_noise_stays_far_below_the_speech_and_the_level_is_what_recordings_have() -> None:
    rng = np.random.default_rng(0)
    wave = voice(1.0, RATE, 3)
    for _ in range(20):
        noise = augmentation.add_noise_floor(wave, rng) - wave
        assert -76 < 20 * np.log10(noise.std() / wave.std()) < -29
    peaks = [float(np.abs(augmentation.set_level(wave, rng)).max()) for _ in range(200)]
    assert 0.04 < min(peaks) < 0.1
    assert 0.8 < max(peaks) <= 1.0
    pause = np.zeros(RATE, np.float32)
    assert np.abs(augmentation.set_level(augmentation.add_noise_floor(pause, rng), rng)).max() < 0.5


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_varied_speech_is_finite_and_as_long_as_asked(rate: int) -> None:
    wave = np.resize(voice(2.0, rate, 1), samples_needed(rate, rate)).astype(np.float32)
    for seed in range(30):
        varied = vary(wave, rate, rate, np.random.default_rng(seed))
        assert varied.shape == (rate,)
        assert varied.dtype == np.float32
        assert np.isfinite(varied).all()
        assert 0.03 < np.abs(varied).max() <= 1.0


# Validation


def test_the_measures_of_known_signals() -> None:
    wave = voice(2.0, RATE, 1)
    same = compare(wave, wave)
    assert same.stoi == pytest.approx(1.0, abs=1e-3)
    assert same.si_sdr > 100
    assert same.mel_distance == 0
    half = compare(wave, 0.5 * wave)
    assert half.si_sdr > 100
    assert half.mel_distance == pytest.approx(6.02, abs=0.3)
    noise = np.random.default_rng(0).standard_normal(wave.size).astype(np.float32)
    centred = wave - wave.mean()
    noise -= noise.mean()
    noise -= (noise @ centred) / (centred @ centred) * centred
    noise *= np.sqrt(0.1 * (centred @ centred) / (noise @ noise))
    noisy = compare(wave, wave + noise)
    assert noisy.si_sdr == pytest.approx(10.0, abs=0.01)
    assert 0.3 < noisy.stoi < 0.99
    assert compare(wave, np.zeros_like(wave)).si_sdr is None


def test_pesq_of_known_signals(shared: Path) -> None:
    pytest.importorskip("pesq")
    (clip,) = read_clips(sorted((shared / "corpora/VCTK-Corpus-0.92").rglob("*.flac")), 1)
    assert compare(clip.wave, clip.wave).pesq == pytest.approx(4.64, abs=0.02)
    noise = np.random.default_rng(0).standard_normal(clip.wave.size).astype(np.float32)
    assert compare(clip.wave, clip.wave + 0.05 * noise).pesq < 2
    assert compare(np.zeros_like(clip.wave), clip.wave).pesq is None


def test_means_leave_out_what_could_not_be_measured(folder: Path) -> None:
    wave = voice(1.0, RATE, 1)
    results = [
        loop.validate(PassThrough(), [Clip("a", wave, RATE)])[0],
        loop.validate(PassThrough(0.0), [Clip("b", wave, RATE)])[0],
    ]
    means = mean_scores(results)
    assert means.si_sdr == results[0].scores.si_sdr
    assert means.mel_distance == pytest.approx(results[1].scores.mel_distance / 2)
    assert mean_scores([]).stoi is None
    clips = read_clips([*sorted(folder.iterdir()), folder / "gone.wav"], 4)
    assert [clip.name for clip in clips] == ["00", "03", "06", "09"]


class PassThrough:
    """A codec that changes the level alone."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def resynthesize(self, waves: list[np.ndarray], sample_rate: int, output_rate: int) -> list[np.ndarray]:
        assert sample_rate == output_rate
        return [self.gain * wave for wave in waves]


# Export


def clip_of(seed: int) -> Clip:
    return Clip(str(seed), voice(1.0, RATE, seed), RATE)


def untrained(codec: str, **sizes: int) -> CodecAdapter:
    """A mini network at the beginning of its training, with codebooks."""
    torch.manual_seed(0)
    recipe = recipes.recipe_for(codec, "mini")
    network = find_codec(codec)().build({**recipe.network, **sizes})
    adapter = codec_with(codec, network, recipe)
    waves = waves_of(adapter, clip_of(7))
    initialise_from_data(network.encoder, network.decoder, waves[:, None])
    if codec != "F07":  # whose codebooks are not empty at first
        network.quantizer.draw_codebooks(network.latents(waves), torch.Generator().manual_seed(0))
    return adapter


def waves_of(adapter: CodecAdapter, clip: Clip) -> torch.Tensor:
    return torch.from_numpy(adapter.prepare(clip.wave, clip.sample_rate).wave)[None]


@pytest.mark.parametrize("codec", CODECS)
def test_mini_networks_fit_and_speak_as_loud_as_they_are_spoken_to(codec: str) -> None:
    adapter = untrained(codec)
    assert 2 * sum(tensor.numel() for tensor in adapter.network.state_dict().values()) < SMALL_BYTES
    clips = [clip_of(seed) for seed in range(3)]
    restore_level(adapter, clips)
    ratios = [result.decoded.std() / result.original.std() for result in validate(adapter, clips)]
    assert np.median(ratios) == pytest.approx(1.0, abs=0.1)


def test_what_half_precision_would_change_is_stored_in_single_precision() -> None:
    adapter = untrained("F02", codebook_size=64, codebooks=2)
    stored = choose_storage(adapter, [clip_of(1)], None)
    assert stored.codes_changed <= 0.01
    assert not stored.full_parts
    assert {tensor.dtype for tensor in stored.tensors.values()} == {torch.float16}
    latents = adapter.network.latents(waves_of(adapter, clip_of(1)))[0, :, :32].T
    shift = 1e-4 * torch.randn_like(latents)  # each latent lies half way between two codewords
    adapter.network.quantizer.codebooks[0] = torch.cat([latents + shift, latents - shift])
    stored = choose_storage(adapter, [clip_of(1)], None)
    assert stored.codes_changed <= 0.01
    assert "encoder." in stored.full_parts
    precisions = {name.split(".")[0]: tensor.dtype for name, tensor in stored.tensors.items()}
    assert (precisions["encoder"], precisions["decoder"]) == (torch.float32, torch.float16)
    tight = choose_storage(adapter, [clip_of(1)], limit=1)
    assert not tight.full_parts
    assert tight.codes_changed > 0.01


# Training


def test_fewer_steps_shorten_every_stage(tmp_path: Path) -> None:
    whole = recipes.recipe_for("F07", "mini")
    short = training_recipe(
        settings(tmp_path, tmp_path, codec="F07", steps=whole.steps // 10, precision="bf16")
    )
    assert short.steps == whole.steps // 10
    assert short.warmup_steps == pytest.approx(whole.warmup_steps / 10, abs=1)
    assert short.precision == "bf16"


def test_a_training_publishes_weights_that_a_build_takes(tiny: None, folder: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "clips/other.flac", seconds=1.5, seed=99, rate=44_100).parent
    monitor = Listener()
    result = loop.train(settings(folder, tmp_path / "out", validate=(other,)), monitor)
    assert (result.step, result.steps) == (STEPS, STEPS)
    assert list(result.metrics) == ["held out", "clips"]
    assert any(
        line.startswith(f"step {STEPS}/{STEPS}  loss ") and "s of audio/s" in line for line in monitor.lines
    )

    description = json.loads((tmp_path / "out/F02.json").read_text())
    assert description["metrics"] == result.metrics
    assert description["steps"] == STEPS
    assert description["data"]["files"] == 11
    checkpoint = find_checkpoint(find_codec("F02").card, str(tmp_path / "out"))
    assert checkpoint.network == description["config"]
    assert (
        load_codec("F02", checkpoint, "cpu").working_level == recipes.recipe_for("F02", "mini").working_level
    )
    again = validate(load_codec("F02", checkpoint, "cpu"), read_clips([other / "other.flac"], 1))
    assert mean_scores(again).mel_distance == pytest.approx(result.metrics["clips"]["mel_distance"], abs=1e-4)
    assert (tmp_path / "out/F02.safetensors").stat().st_mode & 0o044 == 0o044

    done = Listener()
    repeated = loop.train(settings(folder, tmp_path / "out", validate=(other,)), done)
    assert repeated == result
    assert any(f"going on after step {STEPS} of {STEPS}" in line for line in done.lines)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, r"seed +0 +1"),
        ({"steps": 30}, r"recipe steps +60 +30"),
        ({"precision": "bf16"}, r"recipe precision +fp32 +bf16"),
        ({"data": "less"}, r"data files +12 +11"),
    ],
)
def test_a_training_with_other_settings_is_not_gone_on_with(
    tiny: None, folder: Path, tmp_path: Path, changes: dict, told: str
) -> None:
    loop.train(settings(folder, tmp_path / "out", minutes=0), Monitor())
    if "data" in changes:
        for path in sorted(folder.iterdir())[1:]:
            (tmp_path / "less").mkdir(exist_ok=True)
            (tmp_path / "less" / path.name).symlink_to(path)
        changes = {"data": str(tmp_path / "less")}
    with pytest.raises(CodecfakeError, match=told):
        loop.train(settings(folder, tmp_path / "out", **changes), Monitor())


def test_time_is_up_before_there_are_codebooks(tiny: None, folder: Path, tmp_path: Path) -> None:
    monitor = Listener()
    result = loop.train(settings(folder, tmp_path / "out", minutes=0), monitor)
    assert (result.step, result.weights, result.metrics) == (1, None, {})
    assert monitor.lines[-1] == "No weights yet: codebooks come after step 20. Repeat the command."
    assert not (tmp_path / "out/F02.safetensors").exists()
    result = loop.train(settings(folder, tmp_path / "out", minutes=0), Monitor())
    assert result.step == 2


def test_a_damaged_checkpoint_is_named(tiny: None, folder: Path, tmp_path: Path) -> None:
    for _ in range(3):
        loop.train(settings(folder, tmp_path / "out", minutes=0), Monitor())
    checkpoints = sorted((tmp_path / "out/F02-training").glob("step-*.pt"))
    assert [path.name for path in checkpoints] == ["step-000000002.pt", "step-000000003.pt"]
    checkpoints[-1].write_bytes(checkpoints[-1].read_bytes()[:1000])
    with pytest.raises(
        CodecfakeError, match=r"step-000000003.pt cannot be read(.|\n)*goes on from step-000000002.pt"
    ):
        loop.train(settings(folder, tmp_path / "out", minutes=0), Monitor())


def test_a_loss_that_is_no_number_ends_the_training(
    tiny: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = TrainingSpeech.batch
    monkeypatch.setattr(
        TrainingSpeech, "batch", lambda self, step: batch(self, step) * (np.nan if step == 5 else 1)
    )
    with pytest.raises(CodecfakeError, match="not finite at step 6"):
        loop.train(settings(folder, tmp_path / "out"), Monitor())


def test_tensorboard_shows_losses_and_lets_hear_the_clips(
    tiny: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr("codecfake.pipeline.codec_training.progress.REPORT_STEPS", 10)
    loop.train(settings(folder, tmp_path / "out", checkpoint_minutes=0, steps=20), Monitor())
    events = reader.EventAccumulator(str(tmp_path / "out/F02-training/tensorboard")).Reload()
    tags = events.Tags()
    assert {"loss/total", "loss/envelope", "training/learning_rate", "held out/stoi"} <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("loss/total")] == [10, 20]
    assert tags["images"] == ["held out/00 (above: original)"]
    assert sorted(tags["audio"]) == ["held out/00 decoded", "held out/00 original"]
    rows = (tmp_path / "out/F02-training/history.csv").read_text().splitlines()
    assert rows[0].startswith("step,seconds,learning_rate,")
    assert len(rows) == 3


# As typed


def start(folder: Path, out: Path, *options: object, script: Path | None = None) -> subprocess.Popen:
    typed = ["codecs", "train", "F02", "--data", folder, "--out", out, "--device", "cpu", *options]
    command = [sys.executable, *([script] if script else ["-c", COMMAND]), *typed]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.Popen(list(map(str, command)), start_new_session=True, env=environment, **pipes)


def wait_for_checkpoint(process: subprocess.Popen, out: Path, later_than: int = 0) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        steps = [int(path.stem.removeprefix("step-")) for path in (out / "F02-training").glob("step-*.pt")]
        if steps and max(steps) > later_than:
            return max(steps)
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint: {process.communicate()[1]}")


def losses(out: Path) -> list[dict[str, str]]:
    with (out / "F02-training/history.csv").open() as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


def test_a_killed_training_ends_as_an_undisturbed_one(folder: Path, tmp_path: Path) -> None:
    calm, out = tmp_path / "calm", tmp_path / "out"
    undisturbed = start(folder, calm)
    output, errors = undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0, errors
    assert f"F02 after {STEPS} of {STEPS} steps" in output
    assert "STOI" in output
    step = 0
    for _ in range(2):
        process = start(folder, out, "--checkpoint-minutes", 0.001)
        step = wait_for_checkpoint(process, out, later_than=step + 3)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert step < STEPS
    process = start(folder, out)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "going on after step" in errors
    assert (out / "F02.safetensors").read_bytes() == (calm / "F02.safetensors").read_bytes()
    facts, calm_facts = (json.loads((place / "F02.json").read_text()) for place in (out, calm))
    assert {**facts, "minutes": 0} == {**calm_facts, "minutes": 0}
    assert losses(out) == losses(calm)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_keeps_it(folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = start(folder, tmp_path, "--steps", 100_000, "--checkpoint-minutes", 0.001)
    step = wait_for_checkpoint(process, tmp_path)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    newest = max((tmp_path / "F02-training").glob("step-*.pt"))
    assert torch.load(newest, weights_only=True)["step"] >= step


def test_two_processes_train_one_network(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    process = start(folder, tmp_path / "out", "--devices", 2, "--steps", 20, script=script)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.count("F02 after 20 of 20 steps") == 1
    assert errors.count("step 20/20") == 1
    assert find_checkpoint(find_codec("F02").card, str(tmp_path / "out")).network["filters"] == 2


def test_wrong_choices_are_refused(folder: Path, tmp_path: Path) -> None:
    process = start(folder, tmp_path, "--recipe", "medium")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "'medium' is not paper or mini" in errors
