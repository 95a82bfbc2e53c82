"""Nothing of a file or package of others is executed: by no code of ours, in no checkpoint format, by no listing."""

import io
import json
import pickle
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner
from unsafe_calls import unsafe

from codecfake.codec_adapters import CodecError, codec_ids, find_codec
from codecfake.codec_adapters.checkpoints import read_pickle, read_safetensors, read_tensors
from codecfake.codec_adapters.registry import external_codecs
from codecfake.detector.feature_shards import ShardReader
from codecfake.detector.front_ends.encoders import ENCODERS
from codecfake.detector.front_ends.tensors import load_weights
from codecfake.detector.published_checkpoints import read_published_checkpoint
from codecfake.detector.training.folder import DetectorFolder
from codecfake.flows.cli import app
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.https import hub_over_https, refuse_plain_http
from codecfake.pipeline.codec_training.folder import TrainingFolder

ROOT = Path(__file__).parents[1]
SOURCES = ("codec_adapters", "detector", "docker", "flows", "manifests", "pipeline", "benchmarks")


def test_no_code_of_ours_can_run_the_bytes_of_others():
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 200
    assert [found for path in files for found in unsafe(path)] == []


def test_bandit_finds_nothing():
    settings = ["--quiet", "--configfile", str(ROOT / "pyproject.toml"), "--recursive"]
    command = [sys.executable, "-m", "bandit", *settings, *(str(ROOT / name) for name in SOURCES[:-1])]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import pickle; pickle.load(f)",
        "import pickle as p; p.loads(b)",
        "from pickle import loads",
        "import joblib",
        "from shelve import open",
        "import marshal",
        "import torch; torch.load(f)",
        "import torch as t; t.load(f, weights_only=False)",
        "from torch import load; load(f)",
        "import torch; torch.load(f, weights_only=trusted)",
        "import torch; torch.jit.load(f)",
        "import numpy as np; np.load(f, allow_pickle=True)",
        "import yaml; yaml.load(f, Loader)",
        "import yaml; yaml.unsafe_load(f)",
        "eval(text)",
        "exec(text)",
        "import subprocess; subprocess.run(text, shell=True)",
        "import os; os.system(text)",
        "import tarfile; tarfile.open(f).extractall()",
        "from transformers import AutoModel; AutoModel.from_pretrained(x, trust_remote_code=True)",
        "from multiprocessing.connection import Client; Client(address)",
    ],
)
def test_the_search_above_finds(code: str, tmp_path: Path):
    (tmp_path / "module.py").write_text(code)
    assert unsafe(tmp_path / "module.py")


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def _zipped(payload: object, path: Path) -> None:
    torch.save({"model": payload}, path)


def _before_zip(payload: object, path: Path) -> None:
    torch.save({"model": payload}, path, _use_new_zipfile_serialization=False)


def _before_that(payload: object, path: Path) -> None:
    """The tar of pickles that PyTorch wrote before 0.1.10."""
    content = pickle.dumps(payload)
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _plain(payload: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(payload))


def _script(payload: object, path: Path) -> None:
    """TorchScript, which is a program."""
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))


def _array(payload: object, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([payload], dtype=object), allow_pickle=True)


def _front_end(path: Path) -> None:
    load_weights(torch.nn.Linear(1, 1), path, ENCODERS["xls-r-300m"])


def _detector_training(path: Path) -> None:
    folder = path.parent / "detector"
    folder.mkdir()
    training = DetectorFolder(folder, {})
    training.save({"network": {}, "epoch": 0, "step": 0})
    (checkpoint,) = folder.rglob("*.pt")
    checkpoint.write_bytes(path.read_bytes())
    DetectorFolder(folder, {}).load_checkpoint()


def _codec_training(path: Path) -> None:
    folder = path.parent / "codec"
    TrainingFolder(folder, {}).save(1, {"step": 1})
    (checkpoint,) = folder.glob("*.pt")
    checkpoint.write_bytes(path.read_bytes())
    TrainingFolder(folder, {}).load()


READERS = {
    "checkpoint of a codec": lambda path: read_pickle(path, "model"),
    "tensors of a codec": lambda path: read_tensors(path, "model"),
    "front end": _front_end,
    "detector import": read_published_checkpoint,
    "detector training": _detector_training,
    "codec training": _codec_training,
}


@pytest.mark.filterwarnings(
    "ignore:.*TorchScript", "ignore:.*torch.jit.script", "ignore:Detected pickle protocol"
)
@pytest.mark.parametrize("write", [_zipped, _before_zip, _before_that, _plain, _script, _array])
@pytest.mark.parametrize("reader", READERS)
def test_a_malicious_checkpoint_is_refused_and_runs_nothing(reader: str, write: Callable, tmp_path: Path):
    marker, path = tmp_path / "ran", tmp_path / "evil.pt"
    write(Touches(marker), path)
    with pytest.raises((CodecfakeError, CodecError)):
        READERS[reader](path)
    assert not marker.exists()


def test_the_payloads_would_have_run(tmp_path: Path):
    marker, path = tmp_path / "ran", tmp_path / "evil.pt"
    _zipped(Touches(marker), path)
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_an_array_of_objects_is_no_feature_cache(tmp_path: Path):
    _array(Touches(tmp_path / "ran"), tmp_path / "00000.npy")
    with pytest.raises(CodecfakeError, match="holds object, not features"):
        ShardReader(tmp_path / "00000.npy")
    assert not (tmp_path / "ran").exists()


def _header(length: int, **tensor: object) -> bytes:
    text = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | tensor}).encode()
    return struct.pack("<Q", length or len(text)) + text + bytes(4)


@pytest.mark.parametrize(
    "content",
    [
        _header(2**60),
        _header(2**63 + 1),
        _header(5),
        _header(0, data_offsets=[0, 2**50]),
        _header(0, data_offsets=[-4, 0]),
        _header(0, shape=[2**40]),
        _header(0, shape=[2**32, 2**32]),
        _header(0, dtype="object"),
        b"",
    ],
    ids=["huge", "negative", "cut", "beyond", "before", "larger", "overflow", "object", "empty"],
)
@pytest.mark.parametrize("reader", [read_safetensors, _front_end])
def test_a_safetensors_file_whose_header_lies_is_refused(reader: Callable, content: bytes, tmp_path: Path):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(content)
    with pytest.raises((CodecfakeError, CodecError)):
        reader(path)


PACKAGES = {
    "harmless": "from outside_codec import MuLaw",
    "malicious": "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nraise OSError('gone')",
    "leaving": "raise SystemExit(0)",
    "without_card": "from codecfake.codec_adapters import CodecAdapter\nclass MuLaw(CodecAdapter): pass",
}
POINTS = """[codecfake.codecs]
X1 = harmless:MuLaw
F04 = malicious:A
EVIL = malicious:A
EXIT = leaving:A
BARE = without_card:MuLaw
"""


@pytest.fixture
def site(outside, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One package with good and evil adapters, installed for this test beside that of X1."""
    info = outside.site / "evil-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(POINTS.replace("X1", "X2"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    for name, content in PACKAGES.items():
        (outside.site / f"{name}.py").write_text(content)
        monkeypatch.delitem(sys.modules, name, raising=False)
    return outside.site


def test_listing_codecs_imports_no_other_package(site: Path):
    assert {"X1", "X2", "EVIL", "EXIT", "BARE"} <= set(codec_ids())
    listed = CliRunner().invoke(app, ["codecs", "list", "--json"])
    assert listed.exit_code == 0 and "EVIL" in listed.output
    assert find_codec("X1").card.id == "X1"
    assert find_codec("F04").__module__ == "codecfake.codec_adapters.codecs.encodec"
    assert "F04" not in external_codecs()
    assert not (site / "ran").exists() and not PACKAGES.keys() & sys.modules.keys()


def test_a_broken_adapter_stops_only_who_names_it(site: Path):
    for name, told in (
        ("EVIL", "gone"),
        ("EXIT", "SystemExit"),
        ("BARE", "no CodecAdapter"),
        ("X2", "no Codec"),
    ):
        with pytest.raises(CodecError, match=told):
            find_codec(name)
    assert (site / "ran").exists()  # it was named
    assert find_codec("X1").card.id == "X1"


def test_two_packages_that_bring_one_codec_are_both_named(site: Path):
    info = site / "evil-1.0.dist-info"
    (info / "entry_points.txt").write_text(POINTS)
    with pytest.raises(
        CodecError, match=r"'X1' comes from .*(outside_codec:MuLaw.*harmless:MuLaw|harmless.*outside)"
    ):
        find_codec("X1")


def test_every_client_of_the_hub_refuses_plain_http():
    from huggingface_hub import close_session, get_session

    hub_over_https()
    for _ in range(2):
        assert refuse_plain_http in get_session().event_hooks["request"]
        close_session()  # as the hub does after an error of the connection
