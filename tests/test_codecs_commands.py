"""`codecs list`, `describe` and `fetch`, as typed."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from file_server import FileServer, serving
from run_helpers import run_command

from codecfake.codec_adapters.backends import PACKAGES
from codecfake.codec_adapters.presets import PRESETS
from codecfake.codec_adapters.registry import built_in_codecs

WEIGHTS = bytes(range(256)) * 512
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
METADATA = "Metadata-Version: 2.1\nName: fetched-codecs\nVersion: 1.0\n"
ENTRY_POINTS = (
    "[codecfake.codecs]\nX7 = fetched_codecs:Seven\nX8 = fetched_codecs:Eight\nX9 = fetched_codecs:Nine\n"
)
MODULE = """
import os
from dataclasses import replace
from codecfake.codec_adapters import OfficialCheckpoint, WeightsFile, find_codec

if "LIST_ONLY" in os.environ:
    raise RuntimeError("imported for a list")
URL = os.environ["PUBLISHER"] + "/model.pth"
FILE = WeightsFile(path="model.pth", megabytes=0.13, sha256=os.environ.get("PINNED"), urls=(URL,))

class Seven(find_codec("F04")):
    card = replace(
        find_codec("F04").card,
        id="X7",
        weights_licence="CC-BY-NC-4.0: not for sale",
        training_data="birdsong",
        leakage="no VCTK, no AISHELL-3",
        checkpoint=OfficialCheckpoint(name="wonder", files=(FILE,)),
    )

class Eight(Seven):
    card = replace(Seven.card, id="X8")

class Nine(Seven):
    card = replace(
        Seven.card, id="X9", checkpoint=OfficialCheckpoint(name="marvel", files=(replace(FILE, sha256=None),))
    )
"""


@pytest.fixture
def site() -> Iterator[FileServer]:
    """The server of a publisher."""
    with serving() as site:
        site.files["model.pth"] = WEIGHTS
        yield site


@pytest.fixture
def environment(site: FileServer, tmp_path: Path) -> dict[str, str]:
    """With a package of three codecs, two of which share their weights, and empty caches."""
    info = tmp_path / "site" / "fetched_codecs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (info / "METADATA").write_text(METADATA)
    (tmp_path / "site" / "fetched_codecs.py").write_text(MODULE)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]),
        "PUBLISHER": site.url,
        "NO_PROXY": "127.0.0.1",
        "CODECFAKE_WEIGHTS": str(tmp_path / "cache"),
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "COLUMNS": "100",
    }


def test_the_list_names_every_codec_with_its_figures_and_what_is_missing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    card = built_in_codecs()["F01"].card
    for file in card.checkpoint.files:
        path = tmp_path / "cache" / card.checkpoint.name / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    environment["LIST_ONLY"] = "1"
    output = run_command("codecs", "list", environment=environment).stdout
    lines = output.splitlines()
    assert max(map(len, lines)) <= 100
    rows = {line.split()[1]: line for line in lines if line.startswith("│ ")}
    assert set(built_in_codecs()) | {"X7", "X8"} <= set(rows)
    assert "482 MB to fetch" in rows["F02"] and "16,000" in rows["F02"]
    assert "here" in rows["F01"] and "to fetch" not in rows["F01"]
    assert "7.75" in rows["F07"]
    assert "from" in rows["X7"]
    assert f"--preset codecfake: {', '.join(PRESETS['codecfake'])}" in lines
    assert any(line.startswith(f"--weights mini: {', '.join(PRESETS['codecfake'])}") for line in lines)
    assert "F03" in rows["funcodec"] or "C3-1" in rows["funcodec"]
    assert "cannot be installed" in rows["funcodec"]
    assert "codecfake codecs fetch NAME" in lines[-1]

    facts = {codec["id"]: codec for codec in json.loads(
        run_command("codecs", "list", "--json", environment=environment).stdout
    )}  # fmt: skip
    assert facts["F01"]["official_weights"] == "here"
    assert facts["F02"]["official_weights"] == "482 MB to fetch"
    assert facts["F04"]["mini"] and facts["F04"]["presets"] == ["codecfake"]
    assert facts["X8"] == {"id": "X8", "from": "fetched_codecs:Eight"}


def test_the_list_loads_no_network_library_and_is_there_at_once(environment: dict[str, str]) -> None:
    if any(find_spec(package.module) for package in PACKAGES.values() if package.module):
        pytest.skip("a codec author's package is installed; the list imports it, and it imports torch")
    code = (
        "import sys; from codecfake.flows.commands.codecs import list_codecs; list_codecs(); "
        "print([name for name in ('torch', 'transformers', 'pyarrow', 'prefect') if name in sys.modules])"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"LIST_ONLY": "1"}, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.stdout.splitlines()[-1] == "[]"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


def test_a_card_is_shown_whole(environment: dict[str, str], site: FileServer) -> None:
    environment["COLUMNS"] = "200"
    output = run_command("codecs", "describe", "X7", environment=environment).stdout
    for said in ("CC-BY-NC-4.0: not for sale", "birdsong", "24,000 Hz, 320 samples per frame", "2210.13438",
                 "0 MB to fetch", "Official checkpoint wonder", f"{site.url}/model.pth"):  # fmt: skip
        assert said in output
    facts = json.loads(run_command("codecs", "describe", "X7", "--json", environment=environment).stdout)
    assert facts["checkpoint"]["files"][0]["path"] == "model.pth"
    assert facts["kilobits_per_second"] == 6.0


def test_shared_weights_are_fetched_once_with_their_licence_told_first(
    environment: dict[str, str], site: FileServer, tmp_path: Path
) -> None:
    result = run_command("codecs", "fetch", "X7", "X8", environment=environment)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    told = next(index for index, line in enumerate(lines) if "CC-BY-NC-4.0: not for sale" in line)
    path = tmp_path / "cache" / "wonder" / "model.pth"
    assert lines[told - 1].startswith(f"wonder for X7, X8: 0 MB from {site.url}/model.pth")
    assert "birdsong; of VCTK and AISHELL-3: no VCTK, no AISHELL-3" in lines[told + 1]
    assert lines[told + 2] == f"  fetched, verified: {path} (sha256 {SHA256})"
    assert path.read_bytes() == WEIGHTS
    again = run_command("codecs", "fetch", "X8", environment=environment)
    assert f"  was here, verified: {path} (sha256 {SHA256})" in again.stdout.splitlines()
    assert len(site.asked) == 1


def test_a_folder_can_be_filled_for_a_machine_offline(
    environment: dict[str, str], site: FileServer, tmp_path: Path
) -> None:
    folder = tmp_path / "carried"
    result = run_command("codecs", "fetch", "X7", "--out", folder, environment=environment)
    assert (folder / "wonder" / "model.pth").read_bytes() == WEIGHTS
    assert result.stdout.splitlines()[-1].endswith(f"--weights {folder}")
    site.files.clear()
    environment["CODECFAKE_WEIGHTS"] = str(tmp_path / "empty")
    result = run_command("codecs", "fetch", "X7", "--out", folder, environment=environment)
    assert "was here, verified" in result.stdout


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["F77"], "did you mean F07"),
        (["--preset", "codecfake15"], "did you mean codecfake-15"),
        ([], "no codec was named"),
    ],
)
def test_what_is_not_there_is_not_fetched(
    names: list[str], said: str, environment: dict[str, str], site: FileServer
) -> None:
    result = run_command("codecs", "fetch", *names, environment=environment)
    assert result.returncode == 1
    assert said in result.stderr and "Traceback" not in result.stderr
    assert site.asked == []


def test_wrong_bytes_are_not_installed_and_the_rest_is_fetched_all_the_same(
    environment: dict[str, str], site: FileServer, tmp_path: Path
) -> None:
    environment["PINNED"] = "0" * 64
    result = run_command("codecs", "fetch", "X7", "X9", environment=environment)
    assert result.returncode == 1
    assert f"has sha256 {SHA256}, expected {'0' * 64}" in result.stderr
    assert "1 of 2 checkpoints could not be fetched: wonder" in result.stderr
    assert not (tmp_path / "cache" / "wonder" / "model.pth").exists()
    assert (tmp_path / "cache" / "marvel" / "model.pth").read_bytes() == WEIGHTS
