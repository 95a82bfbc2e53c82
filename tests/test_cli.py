"""What a person types: help with examples, errors without tracebacks, JSON where a table is printed."""

import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from run_helpers import run_command
from typer.testing import CliRunner

from codecfake.flows.cli import COMMANDS, app

SCRIPT = Path(sys.executable).parent / "codecfake"


def test_help_answers_in_half_a_second():
    def seconds_used() -> float:
        """Of the processor: other work on the machine does not count."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([SCRIPT, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    seconds_used()
    assert statistics.median(seconds_used() for _ in range(5)) < 0.5


@pytest.mark.parametrize(
    ("group", "name", "function", "example"), COMMANDS, ids=lambda value: str(value)[:20]
)
def test_every_command_has_help_with_one_example(group, name, function, example):
    path = example.split()[1 : 2 if group is app else 3]
    assert path[-1] == name
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert result.output.count("Example:") == 1
    assert example in " ".join(result.output.split())


def test_the_whole_way_from_corpora_to_a_table_by_hand(corpora, outside, tmp_path):
    run = tmp_path / "run"
    build = ("build", *corpora.options, "--out", run, "--codecs", "X1", "--weights", outside.weights)

    def command(*arguments: object) -> str:
        result = run_command(*arguments, environment=outside.environment)
        assert result.returncode == 0, result.stderr
        return result.stdout

    plan = json.loads(command("plan", *corpora.options, "--out", run, "--codecs", "X1", "--json"))
    assert [part["utterances"] for part in plan["codecs"]] == [21, 21]
    assert not run.exists()
    check = json.loads(command("corpora", "check", *corpora.options, "--json"))
    assert [corpus["usable"] for corpus in check["corpora"]] == [9, 12]
    assert "C-X1" in command(*build, "--no-prefect")
    status = json.loads(command("status", run, "--json"))
    assert status["is_complete"] and [codec["utterances"] for codec in status["codecs"]] == [21, 21]
    assert "Everything is as it was published." in command("verify", run)
    assert "Nothing to retry." in command("retry", run, "--no-prefect")
    split = json.loads(command("splits", run, "--policy", "speaker-disjoint", "--seed", "3", "--json"))
    assert split["name"] == "speaker-disjoint-seed3"
    labels = run / "splits" / "published-seed0" / "Codecfake" / "label"
    assert json.loads(command("splits", run, "--labels", labels, "--json"))["name"].startswith("labels-")


def test_errors_say_what_where_and_what_next(corpora, outside, tmp_path):
    def command(*arguments: object) -> str:
        result = run_command(*arguments, environment=outside.environment)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        return result.stderr

    assert "no run folder" in command("status", tmp_path)
    assert "did you mean F07" in command("codecs", "describe", "F77")
    text = command("build", "--vctk", tmp_path, "--out", tmp_path / "run", "--no-prefect", "--codecs", "X1",
                   "--weights", outside.weights)  # fmt: skip
    assert "does not hold the vctk corpus" in text and "codecfake corpora fetch vctk" in text
    text = command("build", *corpora.options, "--out", tmp_path / "run", "--no-prefect", "--codecs", "X1",
                   "--weights", tmp_path / "nowhere")  # fmt: skip
    assert "no weights for X1" in text


def test_a_configuration_file_is_overridden_by_options(corpora, outside, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(f"vctk: {corpora.vctk}\nout: run\ncodecs: [X1]\nweights: {outside.weights}\nlimit: 4\n")
    result = run_command(
        "build", "--config", config, "--limit", 3, "--no-prefect", environment=outside.environment
    )
    assert result.returncode == 0, result.stderr
    assert "limit: 3" in (tmp_path / "run" / "run.yaml").read_text()
    config.write_text(config.read_text() + "sampel_rate: 8000\n")
    result = run_command("build", "--config", config, "--no-prefect", environment=outside.environment)
    assert "unknown setting 'sampel_rate', did you mean 'sample_rate'" in result.stderr


def test_a_path_that_is_no_folder_is_named_and_none_is_made(corpora, tmp_path):
    (tmp_path / "afile").touch()
    commands = [
        ("splits", tmp_path / "afile"),
        ("splits", tmp_path / "nowhere"),
        ("score", tmp_path / "nowhere"),
        (
            "build",
            *corpora.options,
            "--codecs",
            "F07",
            "--weights",
            "mini",
            "--no-prefect",
            "--out",
            tmp_path / "afile",
        ),
    ]
    for command in commands:
        ended = subprocess.run([SCRIPT, *map(str, command)], capture_output=True, text=True)
        assert ended.returncode == 1
        assert "is no folder" in ended.stderr and "the path is mistyped" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["afile"]


def test_a_device_that_is_not_there_does_not_become_that_of_the_run(corpora, outside, tmp_path):
    run = tmp_path / "run"
    build = ("build", *corpora.options, "--out", run, "--codecs", "X1", "--weights", outside.weights)

    def command(*arguments: object) -> subprocess.CompletedProcess:
        return run_command(*arguments, "--no-prefect", environment=outside.environment)

    assert command(*build, "--limit", 3, "--device", "cpu").returncode == 0
    ended = command("build", "--config", run / "run.yaml", "--out", run, "--device", "cuda:99")
    assert ended.returncode == 1 and "--device cuda:99" in ended.stderr
    assert "device: cpu" in (run / "run.yaml").read_text()
