"""Read a pickle as data: nothing that its bytes ask for is imported, called or created.

`pickle` itself is not used. `pickletools` of the standard library splits the stream into operations, and the
few that PyTorch writes for a network are carried out here on plain lists, dictionaries and inert records.
An operation or a name that is not listed is an error.
"""

import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any

from codecfake.detector.inert_records import (
    STORAGES,
    Module,
    Name,
    RefusedPickleError,
    Storage,
    StridedTensor,
    described,
    is_known_name,
    is_module_class,
)

MAXIMUM_BYTES = 1 << 20
"""Longest stream that is read; those of the released networks have 16 to 62 kB."""


class _Mark:
    """Where the arguments of a later operation start."""


_MARK = _Mark()


def read_inert(stream: BytesIO) -> tuple[Any, dict[str, Storage]]:
    """Read one pickle and leave ``stream`` behind it.

    Args:
        stream: Positioned at the start of a pickle.

    Returns:
        What it holds: plain values, `Module` and `StridedTensor` records; and the storages it names, by key.

    Raises:
        RefusedPickleError: If the stream is damaged, or holds anything else than the modules and tensors of
            a network; the message says what was found.
    """
    machine = _Machine()
    start = stream.tell()
    window = BytesIO(stream.read(MAXIMUM_BYTES))
    try:
        for operation, argument, _ in pickletools.genops(window):
            if operation.name == "STOP":
                stream.seek(start + window.tell())
                return machine.pop(), machine.storages
            machine.run(operation.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, RefusedPickleError):
            raise
        raise RefusedPickleError(f"a damaged pickle ({type(error).__name__}: {error})") from error
    raise RefusedPickleError("a pickle without an end")


class _Machine:
    """The stack and the memo of a stream."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self, operation: str, argument: Any) -> None:
        """Carry out one operation."""
        if operation in _CONSTANTS:
            self.push(_CONSTANTS[operation])
        elif operation in _NUMBERS_AND_TEXT:
            self.push(argument)
        elif operation in _ACTIONS:
            _ACTIONS[operation](self, argument)
        else:
            raise RefusedPickleError(f"the pickle operation {operation}")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, kind: type | tuple[type, ...] = object) -> Any:
        """Take the topmost value, which must be of ``kind``."""
        value = self.stack.pop()
        if not isinstance(value, kind) or value is _MARK:
            raise RefusedPickleError(f"{described(value)} where it does not belong")
        return value

    def pop_to_mark(self) -> list[Any]:
        """Take everything above the topmost mark, and the mark."""
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def top(self, kind: type) -> Any:
        """The topmost value, which stays and must be of ``kind``."""
        value = self.pop(kind)
        self.push(value)
        return value

    def remember(self, slot: int) -> None:
        self.memo[slot] = self.top(object)

    def recall(self, slot: int) -> None:
        self.push(self.memo[slot])

    def gather(self, count: int) -> None:
        """Make a tuple of the ``count`` topmost values."""
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    def extend(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise RefusedPickleError("a key without a value")
        target = self.top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int):
                raise RefusedPickleError(f"{described(key)} as a key")
            target[key] = value

    def name(self, argument: str) -> None:
        """Name a class or function; the module and the name of it come with a space between them."""
        qualified = argument.replace(" ", ".", 1)
        if not argument.partition(" ")[2].isidentifier() or not is_known_name(qualified):
            raise RefusedPickleError(f"the name {qualified[:120]}")
        self.push(Name(qualified))

    def call(self, _: Any) -> None:
        """Imitate the call of a known function."""
        arguments, function = self.pop(tuple), self.pop(Name).qualified
        match function, arguments:
            case "collections.OrderedDict", ():
                self.push({})
            case "__builtin__.set" | "builtins.set", (list(values),) if _all(str, values):
                self.push(set(values))
            case "torch.device", (str(), *rest) if len(rest) <= 1 and _all(int, rest):
                self.push(None)
            case "torch._utils._rebuild_parameter", (StridedTensor() as tensor, bool(), dict()):
                self.push(tensor)
            case "torch._utils._rebuild_tensor_v2", (storage, offset, shape, strides, bool(), dict()):
                self.push(_tensor(storage, offset, shape, strides))
            case _:
                raise RefusedPickleError(f"the call {function}({', '.join(map(described, arguments))})")

    def new(self, _: Any) -> None:
        """Create a module."""
        arguments, class_name = self.pop(tuple), self.pop(Name).qualified
        if arguments or not is_module_class(class_name):
            raise RefusedPickleError(f"an object of class {class_name} that is no module")
        self.push(Module(class_name))

    def build(self, _: Any) -> None:
        """Give a module its attributes."""
        attributes = self.pop(dict)
        self.top(Module).attributes.update(attributes)

    def resolve(self, _: Any) -> None:
        """Put a storage in place of its identifier, or a class, which the old format stores with its source."""
        match self.pop(tuple):
            case ("module", Name() as class_name, str() | None, str() | None):
                self.push(class_name)
            case ("storage", Name(qualified), str(key), str(), int(elements), *rest) if rest in ([], [None]):
                storage = Storage(key, *STORAGES[qualified], elements)
                is_number = key.isascii() and key.isdecimal()
                if not is_number or elements < 0 or self.storages.setdefault(key, storage) != storage:
                    raise RefusedPickleError(f"a storage {key[:60]!r} of {elements} elements")
                self.push(storage)
            case identifier:
                raise RefusedPickleError(f"a persistent identifier ({', '.join(map(described, identifier))})")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> StridedTensor:
    """Describe a tensor, once it is sure that its sizes are whole numbers."""
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise RefusedPickleError("a tensor without a storage")
    if not _all(int, (offset, *shape, *strides)):
        raise RefusedPickleError("a tensor whose sizes are not whole numbers")
    return StridedTensor(storage, offset, shape, strides)


def _all(kind: type, values: Any) -> bool:
    """Whether every value is exactly of this type; True is no whole number."""
    return all(type(value) is kind for value in values)


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
_NUMBERS_AND_TEXT = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None,
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.gather(1),
    "TUPLE2": lambda machine, _: machine.gather(2),
    "TUPLE3": lambda machine, _: machine.gather(3),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.new,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.resolve,
}
