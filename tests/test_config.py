"""Settings are checked, explained, saved and read back."""

from pathlib import Path

import pytest

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.config import make_config, read_settings, save_config, saved_config


def test_a_yaml_and_a_toml_file_describe_the_same_run(tmp_path):
    (tmp_path / "run.yaml").write_text("vctk: corpora/vctk\nout: run\ncodecs: [F07, F04]\nlimit: 5\n")
    (tmp_path / "run.toml").write_text(
        'vctk = "corpora/vctk"\nout = "run"\ncodecs = ["F07", "F04"]\nlimit = 5\n'
    )
    first, second = (make_config(read_settings(tmp_path / name)) for name in ("run.yaml", "run.toml"))
    assert first == second
    assert first.vctk == tmp_path / "corpora" / "vctk"
    assert (first.codecs, first.limit, first.sample_rate) == (("F07", "F04"), 5, 16_000)


def test_a_saved_configuration_survives_moving_the_run_folder(tmp_path):
    config = make_config({"vctk": tmp_path / "vctk", "out": tmp_path / "run", "codecs": "dac-44khz-8kbps"})
    assert config.codecs == ("F07",)
    save_config(config)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert saved_config(tmp_path / "moved") == config.model_copy(update={"out": tmp_path / "moved"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vtck": "x"}, "unknown setting 'vtck', did you mean 'vctk'"),
        ({"sample_rate": 100}, 'sample_rate: must be "native" or between 8000 and 192000 Hz'),
        ({"sample_rate": "fast"}, "sample_rate"),
        ({"codecs": ["F04", "F08"]}, "there is no codec 'F08'; did you mean"),
        ({"limit": 0}, "limit"),
        ({"microphone": "mic3"}, "microphone"),
        ({"device": "tpu"}, "device: must be auto, cpu, cuda, or one GPU such as cuda:1"),
        ({"vctk": None}, "no corpus given"),
        ({"preset": "codecfake15"}, "there is no preset 'codecfake15'; did you mean codecfake-15"),
        ({"presett": "codecfake"}, "unknown setting 'presett', did you mean 'preset'"),
        ({"backend": "theirs"}, "backend"),
        ({"input_peak": "F04=2"}, "a peak lies above 0"),
        ({"input_peak": "F04"}, "input_peak"),
        ({"out": None}, "out: Input is not a valid path"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(CodecfakeError, match=message.replace("(", "\\(")):
        make_config({"vctk": Path("vctk"), "out": Path("run")} | settings)


def test_presets_are_the_papers_codecs():
    def codecs(**settings):
        return make_config({"vctk": "vctk", "out": "run"} | settings).codecs

    assert codecs() == codecs(preset="codecfake") == ("F01", "F02", "F03", "F04", "F05", "F06", "F07")
    assert " ".join(codecs(preset="codecfake-15")) == "A B1 B2 B3 C D1 D2 D3 E F1 F2 F3 F4 F5 F6"
    assert " ".join(codecs(preset="codecfake-bitrates")) == "C3-1 C3-2 C3-3 C3-4 C4-1 C4-2 C4-3"
    assert codecs(preset="codecfake", codecs="F07,D1")[-2:] == ("F07", "D1")


def test_peaks_are_given_per_codec():
    config = make_config({"vctk": "vctk", "out": "run", "input_peak": "B1=0.95, B3=0.9"})
    assert config.input_peak == {"B1": 0.95, "B3": 0.9}


@pytest.mark.parametrize("text", ["- a list\n", "just words", "vctk: [unclosed", "\x00"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(CodecfakeError, match=r"run\.yaml"):
        read_settings(tmp_path / "run.yaml")


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(CodecfakeError, match="is no run folder"):
        saved_config(tmp_path)


def test_weights_are_found_from_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "c.toml").write_text('vctk = "vctk"\nout = "run"\nweights = "w"\n')
    assert make_config(read_settings(tmp_path / "conf" / "c.toml")).weights == str(tmp_path / "conf" / "w")
    given = {"vctk": tmp_path / "vctk", "out": tmp_path / "run"}
    save_config(make_config(given | {"weights": "codec/weights"}))
    monkeypatch.chdir(tmp_path / "conf")
    assert saved_config(tmp_path / "run").weights == str(tmp_path / "codec" / "weights")
    for name in ("official", "mini"):
        save_config(make_config(given | {"weights": name}))
        assert saved_config(tmp_path / "run").weights == name


def test_a_run_with_codecs_of_others_can_be_read_but_not_made(tmp_path):
    (tmp_path / "run.yaml").write_text("vctk: vctk\ncodecs: [F04, mycodec]\n")
    assert saved_config(tmp_path).codecs == ("F04", "mycodec")
    with pytest.raises(CodecfakeError, match="built with the codec mycodec of another package") as caught:
        saved_config(tmp_path, needs_codecs=True)
    assert "install it" in caught.value.next_step
    with pytest.raises(CodecfakeError, match="there is no codec 'mycodec'"):
        make_config(read_settings(tmp_path / "run.yaml") | {"out": tmp_path})
    (tmp_path / "run.yaml").write_text("vctk: vctk\ncodecs: [../../mycodec]\n")
    with pytest.raises(CodecfakeError, match="there is no codec"):
        saved_config(tmp_path)
