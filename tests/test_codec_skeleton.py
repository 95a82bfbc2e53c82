"""`codecs new`: the package it writes installs, keeps the contract as it is, and nothing is overwritten."""

import sys
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest
import typer
from outside_codec import lay_out
from typer.testing import CliRunner

from codecfake.codec_adapters import codec_ids, find_codec
from codecfake.codec_adapters.contract import check_adapter
from codecfake.flows.commands import codec_checks
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.codec_skeleton import write_skeleton
from codecfake.pipeline.weights import find_checkpoint, load_codec


@pytest.fixture
def skeleton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of a codec `my-codec`, installed."""
    folder = tmp_path / "my-codec"
    write_skeleton("my-codec", folder)
    monkeypatch.syspath_prepend(lay_out(folder, tmp_path / "site"))
    yield folder
    for module in ("my_codec", "test_my_codec"):
        sys.modules.pop(module, None)


def test_the_skeleton_keeps_the_contract_as_it_is(skeleton: Path):
    assert "my-codec" in codec_ids()
    checkpoint = find_checkpoint(find_codec("my-codec").card, str(skeleton / "weights"))
    results = check_adapter(load_codec("my-codec", checkpoint, "cpu"), trained=True)
    assert {result.name: result.found for result in results if not result.ok} == {}


def test_the_skeletons_own_test_passes(skeleton: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(skeleton)
    invalidate_caches()
    import_module("test_my_codec").test_the_contract_is_kept()


def test_the_command_writes_a_package_and_says_what_is_next(tmp_path: Path):
    app = typer.Typer()
    app.command()(codec_checks.new)
    result = CliRunner().invoke(app, ["C9-x", "--out", str(tmp_path / "package")])
    assert result.exit_code == 0, result.output
    assert f"Next: pip install -e {tmp_path}/package" in result.stdout
    names = {
        path.relative_to(tmp_path / "package").as_posix() for path in tmp_path.rglob("*.*") if path.is_file()
    }
    assert names == {"pyproject.toml", "c9_x.py", "test_c9_x.py", "weights/C9-x.safetensors"}
    compile((tmp_path / "package" / "c9_x.py").read_text(), "c9_x.py", "exec")


@pytest.mark.parametrize(
    ("codec_id", "word"),
    [
        ("my_codec", "letters, digits and hyphens"),
        ("../up", "letters, digits and hyphens"),
        ("real", "not 'real'"),
        ("f04", "taken"),
        ("encodec-24khz-6kbps", "taken"),
        ("json", "the module 'json'"),
        ("9lives", "the module '9lives'"),
        ("lambda", "the module 'lambda'"),
    ],
)
def test_bad_and_taken_ids_are_refused(codec_id: str, word: str, tmp_path: Path):
    with pytest.raises(CodecfakeError, match=word):
        write_skeleton(codec_id, tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(CodecfakeError, match="is there already"):
        write_skeleton("my-codec", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]
