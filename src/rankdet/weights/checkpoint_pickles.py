"""What a checkpoint's pickle would build, told from its opcodes: nothing is built, nothing is run.

Weights-only loading runs no code of the file, but a small file can still ask for unbounded memory:
a `bytearray` of 100 GB, text that is encoded again and again, a tensor whose elements all lie in
one place. Here the opcodes that PyTorch writes are followed with placeholders in place of objects.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MOST_OPCODES = 2_000_000  # of a training state of a large detector: less than 200 000
_MARK = object()
_OPAQUE = object()  # a container: what is in it does not matter

_BYTES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage"), 1),
}
_NUMBERS = {kind + size for kind in "fiu" for size in "1248"} | {"b1"}


class Refused(Exception):
    """A pickle that is no checkpoint of plain tensors; the message says what is in it."""


@dataclass(frozen=True)
class Storage:
    """A piece of the file with numbers: its key there, bytes of one number, and their count."""

    key: str
    itemsize: int
    numel: int


@dataclass(frozen=True)
class View:
    """A tensor: a shape on a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """What it takes as a tensor of its own."""
        count = self.storage.itemsize
        for length in self.size:
            count *= length
        return count


@dataclass
class Plan:
    """What a pickle asks for: the storages it reads and the tensors it lays on them."""

    storages: dict[str, Storage] = field(default_factory=dict)
    views: set[View] = field(default_factory=set)


@dataclass(frozen=True)
class _Name:
    """A function or class that the pickle names."""

    full: str


def follow(stream: BinaryIO, plan: Plan) -> None:
    """Follow one pickle in ``stream`` to its end and add what it asks for to ``plan``.

    Raises:
        Refused: if it holds anything but tensors and plain values, or is damaged.
    """
    _Machine(plan).run(pickletools.genops(stream))


class _Machine:
    """The stack of the opcodes that PyTorch's own weights-only loading knows."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, opcodes: Iterator[tuple[Any, Any, Any]]) -> None:
        try:
            for count, (opcode, value, _) in enumerate(opcodes):
                if count > MOST_OPCODES:
                    raise Refused(f"a description of more than {MOST_OPCODES} steps")
                self.step(opcode.name, value)
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
            raise Refused(f"a damaged description ({type(error).__name__}: {error})") from None

    def step(self, name: str, value: Any) -> None:
        if name in _PLAIN:
            self.stack.append(value)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _POPPED:  # items go into the container below them
            self.taken(_POPPED[name])
        elif name in _TUPLES:
            self.stack.append(self.taken(_TUPLES[name]))
        elif name in _ACTIONS:
            _ACTIONS[name](self, value)
        elif name not in ("PROTO", "STOP"):
            raise Refused(f"the opcode {name}, which no checkpoint of tensors has")

    def taken(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise IndexError("too few values")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def to_mark(self) -> tuple[Any, ...]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return tuple(reversed(items))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def name(self, value: str) -> None:
        full = value.replace(" ", ".")
        if "Complex" in full or full.endswith(".complex"):
            raise Refused(f"complex numbers ({full})")
        if full not in _CALLS and full.removeprefix("torch.") not in _BYTES:
            raise Refused(f"{full}, which only code that it brings along or asks for can build")
        self.stack.append(_Name(full))

    def call(self, _: Any) -> None:
        called, arguments = self.taken(2)
        if not isinstance(called, _Name) or called.full not in _CALLS:
            raise Refused("a call of something that is no function of PyTorch")
        if not isinstance(arguments, tuple):
            raise Refused(f"a call of {called.full} without arguments")
        self.stack.append(_CALLS[called.full](self.plan, arguments))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        built = self.stack[-1]
        if not (built is _OPAQUE or built is _NUMBER_TYPE) or isinstance(state, _Name):
            raise Refused("an object with a state of its own")

    def storage(self, _: Any) -> None:
        kind, storage_type, key, _location, numel, *rest = self.stack.pop()
        if kind not in ("storage", b"storage") or any(part is not None for part in rest):
            raise Refused("a part of the file that is no plain storage")
        itemsize = _BYTES.get(storage_type.full.removeprefix("torch."))
        if itemsize is None or not isinstance(numel, int) or numel < 0:
            raise Refused(f"a storage of {storage_type.full} with {numel} numbers")
        found = Storage(str(key), itemsize, numel)
        if self.plan.storages.setdefault(found.key, found) != found:
            raise Refused(f"storage {found.key} in two ways")
        self.stack.append(found)


def _tensor(plan: Plan, arguments: tuple[Any, ...]) -> View:
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, Storage):
        raise Refused("a tensor without numbers in the file")
    numbers = (offset, *size, *stride)
    if any(not isinstance(number, int) or number < 0 for number in numbers):
        raise Refused(f"a tensor of shape {size}")
    if len(size) != len(stride):
        raise Refused(f"a tensor of shape {size} with strides {stride}")
    view = View(storage, offset, tuple(size), tuple(stride))
    _check_layout(view)
    plan.views.add(view)
    return view


def _check_layout(view: View) -> None:
    """Refuse a tensor that has more elements than numbers, or reaches out of its storage."""
    what = f"a tensor of shape {view.size}"
    if 0 in view.size:
        return
    extent = 1
    # From the innermost dimension outward, each step must pass what lies inside of it.
    for stride, length in sorted(zip(view.stride, view.size, strict=True)):
        if length == 1:
            continue
        if stride < extent:
            raise Refused(f"{what} whose elements overlap (strides {view.stride})")
        extent += (length - 1) * stride
    if view.offset + extent > view.storage.numel:
        raise Refused(f"{what} on a storage of {view.storage.numel} numbers")


def _parameter(plan: Plan, arguments: tuple[Any, ...]) -> View:
    if not arguments or not isinstance(arguments[0], View):
        raise Refused("a parameter without a tensor")
    return arguments[0]


def _encoded(plan: Plan, arguments: tuple[Any, ...]) -> bytes:
    """Bytes, as Python 3 writes them for Python 2; other encodings grow with each repetition."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
        raise Refused("text in an encoding other than latin1")
    return arguments[0].encode("latin1", "replace")


def _number_type(plan: Plan, arguments: tuple[Any, ...]) -> object:
    # The copy (the third argument) keeps NumPy's own type as it is when the state is set.
    if len(arguments) != 3 or arguments[0] not in _NUMBERS or arguments[2] not in (1, True):
        raise Refused("a NumPy type that is no number")
    return _NUMBER_TYPE


def _number(plan: Plan, arguments: tuple[Any, ...]) -> object:
    if len(arguments) != 2 or arguments[0] is not _NUMBER_TYPE:
        raise Refused("a NumPy value that is no number")
    return _OPAQUE


def _plain(plan: Plan, arguments: tuple[Any, ...]) -> object:
    return _OPAQUE


_NUMBER_TYPE = object()
_CALLS: dict[str, Callable[[Plan, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "numpy.dtype": _number_type,
    "numpy.core.multiarray.scalar": _number,
    "numpy._core.multiarray.scalar": _number,
    "_codecs.encode": _encoded,
    **dict.fromkeys(
        (
            *("collections.OrderedDict", "collections.Counter"),
            *("__builtin__.set", "builtins.set", "torch.Size", "torch.device"),
        ),
        _plain,
    ),
}
_PLAIN = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")
)
_CONSTANTS: dict[str, Any] = {
    **{"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK, "EMPTY_TUPLE": ()},
    **dict.fromkeys(("EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET"), _OPAQUE),
}
_POPPED = {"APPEND": 1, "SETITEM": 2}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": lambda machine, _: machine.stack.append(machine.to_mark()),
    "APPENDS": lambda machine, _: _discard(machine.to_mark()),
    "SETITEMS": lambda machine, _: _discard(machine.to_mark()),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
}


def _discard(items: Iterable[Any]) -> None:
    """Items that go into a container are not needed."""
