"""Finding in source code what could run the bytes of others, or hand them to a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

FORBIDDEN_MODULES = {"cloudpickle", "dbm", "dill", "joblib", "jsonpickle", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "multiprocessing.connection.Client",
    "multiprocessing.connection.Listener",
    "pandas.read_pickle",
    "ssl._create_unverified_context",
    "tempfile.mktemp",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "yaml.full_load",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
}
FORBIDDEN_METHODS = {"extractall"}
"""Of archives: each member is looked at before it is taken out."""
FORBIDDEN_OPTIONS = {"allow_pickle": False, "shell": False, "trust_remote_code": False, "weights_only": True}
"""The one constant that an option may be given."""
PICKLE_NAMES = {"UnpicklingError"}
"""What may be used of `pickle`: the error that torch raises for what it refuses to load."""


def unsafe(path: Path) -> list[str]:
    """Every such place of a source file, as ``file:line what``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    full = dict(_imported(tree))
    return [f"{path}:{line} {what}" for line, what in _found(tree, full)]


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield names of the file with what they were imported as, such as ``np`` with ``numpy``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                yield name, alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _found(tree: ast.AST, full: dict[str, str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            )
            yield from ((node.lineno, name) for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
            if "pickle" in names and isinstance(node, ast.ImportFrom):
                yield node.lineno, "from pickle import"
        elif isinstance(node, ast.Attribute) and _name(node, full).partition(".")[0] in ("pickle", "_pickle"):
            if node.attr not in PICKLE_NAMES:
                yield node.lineno, _name(node, full)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _unsafe_call(node, full))


def _unsafe_call(call: ast.Call, full: dict[str, str]) -> Iterator[str]:
    name = _name(call.func, full)
    options = {option.arg: option.value for option in call.keywords}
    if name in FORBIDDEN_CALLS or name.rpartition(".")[2] in FORBIDDEN_METHODS:
        yield name
    if name == "torch.load" and "weights_only" not in options:
        yield "torch.load without weights_only"
    for option, allowed in FORBIDDEN_OPTIONS.items():
        given = options.get(option)
        if given is not None and not (isinstance(given, ast.Constant) and given.value is allowed):
            yield f"{name}({option}=...)"


def _name(node: ast.AST, full: dict[str, str]) -> str:
    """``torch.load`` of the attribute ``load`` of the name ``torch``; "" for what has no such name."""
    if isinstance(node, ast.Name):
        return full.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value, full)}.{node.attr}"
    return ""
