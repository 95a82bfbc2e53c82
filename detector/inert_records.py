"""What a pickled network is read as: names of classes and functions, modules and tensors, all without a life."""

from dataclasses import dataclass, field
from typing import Any

STORAGES = {
    "torch.FloatStorage": ("float32", 4),
    "torch.DoubleStorage": ("float64", 8),
    "torch.HalfStorage": ("float16", 2),
    "torch.BFloat16Storage": ("bfloat16", 2),
    "torch.LongStorage": ("int64", 8),
}
"""Storage classes that are known: the dtype of their elements, and the bytes of one."""

FUNCTIONS = {
    "collections.OrderedDict",
    "__builtin__.set",
    "builtins.set",
    "torch.device",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor_v2",
}
"""What a stream may call; each call is imitated."""

DATA_PARALLEL = "torch.nn.parallel.data_parallel.DataParallel"


class RefusedPickleError(ValueError):
    """A stream that is damaged or holds more than a network."""


@dataclass(frozen=True)
class Name:
    """A class or function that a stream names, as text."""

    qualified: str


@dataclass(eq=False)
class Module:
    """A network module: the name of its class, and its attributes."""

    class_name: str
    attributes: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """A run of numbers outside of the stream."""

    key: str
    dtype: str
    item_bytes: int
    elements: int

    @property
    def byte_count(self) -> int:
        """Length in bytes."""
        return self.elements * self.item_bytes


@dataclass(frozen=True)
class StridedTensor:
    """A view of a storage; whether it lies inside of it is not checked yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def is_module_class(qualified: str) -> bool:
    """Whether this is a class of the authors' ``model.py``, or a network module of PyTorch."""
    module = qualified.rpartition(".")[0]
    return module == "model" or module.startswith("torch.nn.modules.") or qualified == DATA_PARALLEL


def is_known_name(qualified: str) -> bool:
    """Whether a stream may name this class or function."""
    return qualified in FUNCTIONS or qualified in STORAGES or is_module_class(qualified)


def described(value: Any) -> str:
    """A few words about a value for an error message, whatever it is."""
    if isinstance(value, Name):
        return value.qualified
    if isinstance(value, str | int | float | bool | None):
        return repr(value)[:60]
    return f"a {type(value).__name__.strip('_').lower()}"
