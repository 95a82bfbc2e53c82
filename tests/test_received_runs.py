"""A run folder of somebody else: whatever commands do with it, none of its files is run, or leads out of it."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
from pool_cluster import SCRIPT
from run_helpers import SMALL_SHARDS, build_here, settings, tree
from test_pool_checks import answering

from codecfake.detector.figures import publish_figure
from codecfake.detector.training.folder import DetectorFolder
from codecfake.manifests.errors import CodecfakeError

LOGGING = """
version: 1
disable_existing_loggers: false
handlers:
  h:
    "()": subprocess.call
    args: [touch, {trace}]
loggers:
  prefect: {{handlers: [h], level: INFO}}
"""


@pytest.fixture
def received(corpora, outside, tmp_path) -> Path:
    build_here(settings(corpora, outside, tmp_path / "run", limit=3))
    return tmp_path / "run"


def retry_in(folder: Path, run: str, environment: Mapping[str, str]) -> str:
    """What `codecfake retry` prints, with Prefect."""
    kept = {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-P", "-c", SMALL_SHARDS, "retry", run]
    ended = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_files_of_prefect_in_a_run_are_not_read_and_links_among_them_not_followed(
    received, outside, tmp_path, states_folder
):
    home, victim = received / ".prefect", tmp_path / "victim"
    home.mkdir()
    victim.mkdir()
    (home / "logging.yml").write_text(LOGGING.format(trace=tmp_path / "trace"))
    sqlite3.connect(victim / "places.db").close()
    (home / "prefect.db").symlink_to(victim / "places.db")
    (home / "memo_store.toml").symlink_to(victim / "memo.toml")
    before = tree(received)
    assert "Nothing to retry." in retry_in(tmp_path, str(received), outside.environment)
    assert not (tmp_path / "trace").exists()
    assert tree(victim) == ["places.db"] and (victim / "places.db").stat().st_size == 0
    assert tree(received) == before
    (records,) = (states_folder / "codecfake" / "prefect").glob("run-*/prefect.db")
    assert records.is_file()


SETTINGS = {
    ".env": "PREFECT_LOGGING_CONFIG_PATH=logging.yml\n",
    "prefect.toml": '[logging]\nconfig_path = "logging.yml"\n',
    "pyproject.toml": '[tool.prefect.logging]\nconfig_path = "logging.yml"\n',
}


@pytest.mark.slow
def test_settings_of_prefect_in_the_folder_one_stands_in_are_not_read(received, outside, tmp_path):
    (received / "logging.yml").write_text(LOGGING.format(trace=tmp_path / "trace"))
    (received / ".env").write_text(SETTINGS[".env"])
    assert "Nothing to retry." in retry_in(received, ".", outside.environment)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", SETTINGS)
def test_nor_are_they_by_commands_of_a_pool(name, tmp_path):
    (tmp_path / "logging.yml").write_text(LOGGING.format(trace=tmp_path / "trace"))
    (tmp_path / name).write_text(SETTINGS[name])
    with answering(200, version("prefect")) as url:
        variables = {
            "PREFECT_API_URL": url,
            "PREFECT_HOME": str(tmp_path / "home"),
            "PREFECT_CLIENT_MAX_RETRIES": "0",
        }
        ended = subprocess.run(
            [SCRIPT, "deploy"], cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True
        )
    assert "in register" in ended.stderr  # it got as far as the server, which is none
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("field", ["best", "checkpoint"])
def test_a_detector_takes_its_weights_from_its_own_folder_only(field, tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    folder = tmp_path / "detector"
    DetectorFolder(folder, {}).publish_state()
    linked = {"best": "best-001.safetensors", "checkpoint": "epoch-001-step-0000001.pt"}[field]
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / linked).symlink_to(secret)
    for path in (str(secret), "../../id_rsa", [linked], linked):
        content = {"configuration": {}, "history": [], "checkpoint": None, "best": None} | {field: path}
        (folder / "state.json").write_text(json.dumps(content))
        with pytest.raises(CodecfakeError, match=rf"state\.json is damaged: .*{field}") as caught:
            DetectorFolder(folder, {})
        assert f"remove {folder} to train again" in caught.value.next_step


def test_a_run_with_a_codec_that_is_not_installed_is_read_but_not_made(received, tmp_path):
    """Its package would be code of whoever sent the run."""

    def command(*arguments: object) -> subprocess.CompletedProcess:
        return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=120)

    for arguments in (
        ("status", received),
        ("verify", received),
        ("export", "tree", received, tmp_path / "out"),
    ):
        ended = command(*arguments)
        assert ended.returncode == 0, ended.stderr
    assert "X1" in command("status", received).stdout
    assert list((tmp_path / "out").rglob("C-X1.txt")) or list((tmp_path / "out").rglob("*X1*"))
    before = tree(received)
    for arguments in (("retry", received, "--no-prefect"), ("splits", received)):
        ended = command(*arguments)
        assert ended.returncode == 1
        assert "was built with the codec X1 of another package" in ended.stderr
        assert "codecfake status, verify, export and report do without" in ended.stderr
    assert tree(received) == before


def test_processes_take_no_module_from_the_folder_one_stands_in(tmp_path):
    script, hostile = tmp_path / "bin" / "script.py", tmp_path / "run"
    script.parent.mkdir()
    hostile.mkdir()
    script.write_text(
        "import multiprocessing\n"
        "from codecfake.flows import cli\n"
        "def start():\n"
        "    process = multiprocessing.get_context('spawn').Process(target=print, args=('started',))\n"
        "    process.start(), process.join()\n"
        "if __name__ == '__main__':\n"
        "    cli.app = start\n"
        "    cli.main()\n"
    )
    trace = tmp_path / "trace"
    (hostile / "multiprocessing.py").write_text(f"open({str(trace)!r}, 'w')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, str(script)]
    ended = subprocess.run(command, cwd=hostile, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "started\n", ended.stderr
    assert not trace.exists()


def test_figures_are_drawn_in_our_style_whatever_matplotlib_was_told(tmp_path):
    import matplotlib as mpl
    from matplotlib.figure import Figure

    def draw() -> Figure:
        figure = Figure()
        figure.subplots().set_title("EER of $C1$")
        return figure

    publish_figure(tmp_path, "ours", draw)
    with mpl.rc_context(
        {"text.usetex": True, "text.latex.preamble": r"\input{/etc/passwd}", "font.size": 40}
    ):
        publish_figure(tmp_path, "theirs", draw)
    assert (tmp_path / "ours.svg").read_bytes() == (tmp_path / "theirs.svg").read_bytes()
    assert (tmp_path / "ours.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()
