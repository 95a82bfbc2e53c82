"""Reading published checkpoints into networks: as data only, and strictly.

Tensors are taken from files key by key: what a network does not know is an error, unless it is on the
adapter's list of what is dropped.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters.errors import CodecError

if TYPE_CHECKING:
    import torch
    from torch import nn

Tensors = dict[str, "torch.Tensor"]

SHOWN_KEYS = 5


def official_file(checkpoint: Path, name: str) -> Path:
    """Give the file ``name`` of an official checkpoint; ``checkpoint`` is its folder, or the file itself.

    Raises:
        CodecError: If it is not there.
    """
    path = checkpoint / name if checkpoint.is_dir() else checkpoint
    if not path.is_file():
        raise CodecError(f"{path} is not there; codecfake codecs fetch downloads official checkpoints")
    return path


def read_safetensors(path: Path) -> Tensors:
    """Read a safetensors file.

    Raises:
        CodecError: If it is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CodecError(f"{path} is no readable safetensors file ({error}); fetch it again") from error


def read_pickle(path: Path, *within: str) -> Any:
    """Read tensors and plain values of a file that ``torch.save`` wrote; no code in it is ever run.

    Args:
        path: The file.
        within: Keys that lead from the top to what is wanted, e.g. ``"model", "generator"``.

    Raises:
        CodecError: If it is no such file, holds anything but data, or lacks one of the keys.
    """
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CodecError(
            f"{path} holds more than tensors, and is not opened: {_first_line(error)}; "
            "fetch the official file again, or do not trust this one"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise CodecError(
            f"{path} is no readable checkpoint ({_first_line(error)}); it is damaged or cut short: fetch it again"
        ) from error
    for key in within:
        if not isinstance(content, Mapping) or key not in content:
            found = (
                ", ".join(map(str, list(content)[:SHOWN_KEYS])) if isinstance(content, Mapping) else "none"
            )
            raise CodecError(f"{path} has no {key!r}; its keys: {found}")
        content = content[key]
    return content


def read_tensors(path: Path, *within: str) -> Tensors:
    """Read a state dict with ``read_pickle``.

    Raises:
        CodecError: As ``read_pickle``, and if what is found is not names and tensors.
    """
    import torch

    content = read_pickle(path, *within)
    if not isinstance(content, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise CodecError(f"{path} holds no state dict of names and tensors")
    return dict(content)


def drop(tensors: Tensors, prefixes: Sequence[str]) -> Tensors:
    """Leave out the tensors whose names begin with one of ``prefixes``: those of training alone."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(tuple(prefixes))}


def rename(tensors: Tensors, rules: Iterable[tuple[str, str]]) -> Tensors:
    """Apply regular-expression substitutions, in order, to every name."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def fold_weight_norm(tensors: Tensors) -> Tensors:
    """Multiply ``weight_g`` and ``weight_v`` out into ``weight``, as the layer itself would."""
    import torch

    folded = {}
    for name, tensor in tensors.items():
        if name.endswith("weight_v"):
            stem = name.removesuffix("_v")
            if f"{stem}_g" not in tensors:
                raise CodecError(f"{name} comes without {stem}_g")
            folded[stem] = torch._weight_norm(tensor, tensors[f"{stem}_g"], 0)
        elif not (name.endswith("weight_g") and f"{name.removesuffix('_g')}_v" in tensors):
            folded[name] = tensor
    return folded


def load_strictly(network: "nn.Module", tensors: Mapping[str, "torch.Tensor"], where: str) -> None:
    """Load every tensor into ``network``; nothing may be missing, left over or of another shape.

    Half-precision tensors are widened to the network's own type.

    Args:
        network: The network.
        tensors: By the names that the network has for them.
        where: Codec and checkpoint, for the message.

    Raises:
        CodecError: Naming the keys that do not fit.
    """
    expected = network.state_dict()
    problems = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in expected
            if name in tensors and tensors[name].shape != expected[name].shape
        ],
    }
    told = [
        f"{len(names)} {problem}: {', '.join(names[:SHOWN_KEYS])}{' ...' if len(names) > SHOWN_KEYS else ''}"
        for problem, names in problems.items()
        if names
    ]
    if told:
        raise CodecError(f"{where} does not fit the network: {'; '.join(told)}")
    network.load_state_dict(tensors, strict=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
