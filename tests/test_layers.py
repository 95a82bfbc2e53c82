"""The arrows point down only, and no library module imports Prefect."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "codec_adapters": {"codec_adapters"},
    "manifests": {"manifests"},
    "pipeline": {"pipeline", "manifests", "codec_adapters"},
    "detector": {"detector", "manifests", "codec_adapters"},
    "flows": {"flows", "pipeline", "detector", "manifests", "codec_adapters"},
}


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules.add(node.module)
    return modules


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_lies_below(layer):
    for path in (ROOT / layer).rglob("*.py"):
        ours = {name.split(".")[1] for name in imported_modules(path) if name.startswith("codecfake.")}
        assert ours <= MAY_IMPORT[layer], path
        if layer != "flows":
            assert not any(name.split(".")[0] == "prefect" for name in imported_modules(path)), path


def test_the_command_line_imports_nothing_heavy():
    heavy = ("torch", "transformers", "pyarrow", "prefect", "pydantic", "numpy", "soundfile")
    code = f"import sys; import codecfake.flows.cli; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_files_are_published_by_the_one_helper():
    """Code that writes a final file opens nothing for writing itself."""
    allowed = {"manifests/atomic.py"}
    for layer in MAY_IMPORT:
        for path in (ROOT / layer).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                is_replace = isinstance(node, ast.Attribute) and node.attr == "replace" and _is_os(node.value)
                assert not is_replace or str(path.relative_to(ROOT)) in allowed, path


def test_every_package_is_in_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        str(path.parent.relative_to(ROOT))
        for layer in MAY_IMPORT
        for path in (ROOT / layer).rglob("__init__.py")
    }
    assert set(settings["package-dir"].values()) == folders
    assert {name.replace("codecfake.", "").replace(".", "/") for name in settings["packages"]} == folders
    assert set(settings["packages"]) == set(settings["package-dir"])


def _is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"
