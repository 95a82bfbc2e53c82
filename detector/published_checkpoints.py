"""Read the checkpoints that the Codecfake authors released, without running what is in them.

They are whole networks pickled by ``torch.save`` (some inside of ``DataParallel``). Unpickling one runs any
function that the file names, so it is read as data (`inert_pickle`) and only its tensors are taken.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from codecfake.detector.inert_records import DATA_PARALLEL, Module, RefusedPickleError, StridedTensor
from codecfake.detector.published_archives import ReadStorage, read_archive
from codecfake.manifests.errors import CodecfakeError

MAXIMUM_MODULES = 4096
MAXIMUM_DEPTH = 32
MAXIMUM_DIMENSIONS = 8
MESSAGE_LETTERS = 300


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A network as its authors saved it."""

    class_name: str
    """Such as ``model.W2VAASIST``, without ``DataParallel``."""
    tensors: dict[str, torch.Tensor]
    """Parameters and persistent buffers by their names in a state dict, contiguous, on the CPU."""


def read_published_checkpoint(path: Path) -> PublishedCheckpoint:
    """Read a whole-module pickle of ``torch.save``; no code in it is run.

    Args:
        path: The file, in either format of ``torch.save``.

    Returns:
        Its tensors, in the order of a state dict.

    Raises:
        CodecfakeError: If the file is absent or damaged, or if anything else is in it than the modules and
            tensors of a network.
    """
    path = Path(path)
    if not path.is_file():
        raise CodecfakeError(f"{path} is not a file", next_step="give the path of a checkpoint, FILE.pt")
    try:
        network, read_storage = read_archive(path)
        if isinstance(network, Module) and network.class_name == DATA_PARALLEL:
            network = _part(network, "_modules").get("module")
        if not isinstance(network, Module):
            raise RefusedPickleError("no network as the outermost object")
        found = dict(_walk(network))
        return PublishedCheckpoint(
            network.class_name, _read_tensors(found, read_storage, path.stat().st_size)
        )
    except RefusedPickleError as error:
        raise CodecfakeError(
            f"{path} is refused, nothing in it was run: it holds {str(error)[:MESSAGE_LETTERS]}",
            cause="the file is no checkpoint of the Codecfake authors, was cut off in the download, or is unsafe",
            next_step="download it again from the authors' repository and compare its size",
        ) from error


def _walk(network: Module) -> Iterator[tuple[str, StridedTensor]]:
    """Name the tensors of a network as a state dict does: own ones first, then those of its parts."""
    visited = 0
    pending = [("", network, 0)]
    while pending:
        prefix, module, depth = pending.pop()
        visited += 1
        if visited > MAXIMUM_MODULES or depth > MAXIMUM_DEPTH:
            raise RefusedPickleError("a network that contains itself")
        transient = module.attributes.get("_non_persistent_buffers_set", set())
        buffers = {
            name: buffer for name, buffer in _part(module, "_buffers").items() if name not in transient
        }
        for name, tensor in (_part(module, "_parameters") | buffers).items():
            if isinstance(tensor, StridedTensor):
                yield prefix + name, tensor
            elif tensor is not None:
                raise RefusedPickleError(f"something else than a tensor as {prefix}{name}")
        for name, part in reversed(_part(module, "_modules").items()):
            if isinstance(part, Module):
                pending.append((f"{prefix}{name}.", part, depth + 1))
            elif part is not None:
                raise RefusedPickleError(f"something else than a module as {prefix}{name}")


def _part(module: Module, attribute: str) -> dict:
    """Parameters, buffers or parts of a module, by name."""
    values = module.attributes.get(attribute)
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise RefusedPickleError(f"a module {module.class_name} without {attribute}")
    return values


def _read_tensors(
    found: dict[str, StridedTensor], read_storage: ReadStorage, file_bytes: int
) -> dict[str, torch.Tensor]:
    """Read the numbers of the tensors, once it is sure that they lie inside of what the file holds."""
    for name, tensor in found.items():
        _require_inside(name, tensor)
    needed = sum(math.prod(tensor.shape) * tensor.storage.item_bytes for tensor in found.values())
    if needed > file_bytes:
        raise RefusedPickleError(f"{needed} bytes of tensors in {file_bytes} bytes")
    needed_storages = {tensor.storage for tensor in found.values()}
    storages = {storage: _numbers(read_storage(storage), storage.dtype) for storage in needed_storages}
    return {
        name: storages[tensor.storage]
        .as_strided(tensor.shape, tensor.strides, tensor.offset)
        .clone(memory_format=torch.contiguous_format)
        for name, tensor in found.items()
    }


def _numbers(content: bytes, dtype: str) -> torch.Tensor:
    """The elements of a storage, shape (N,)."""
    kind = getattr(torch, dtype)
    return torch.frombuffer(bytearray(content), dtype=kind) if content else torch.empty(0, dtype=kind)


def _require_inside(name: str, tensor: StridedTensor) -> None:
    """Refuse a view that has negative or absurd sizes, repeats numbers or reaches beyond its storage."""
    shape, strides = tensor.shape, tensor.strides
    limit = max(tensor.storage.elements, 1)

    def is_inside() -> bool:
        if not len(shape) == len(strides) <= MAXIMUM_DIMENSIONS:
            return False
        numbers = (tensor.offset, *shape, *strides)
        last = tensor.offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
        return min(numbers) >= 0 and max(last + 1, math.prod(shape), *numbers) <= limit

    if not is_inside() or (math.prod(shape) and not tensor.storage.elements):
        raise RefusedPickleError(f"a tensor {name[:60]!r} that reaches beyond its storage")
