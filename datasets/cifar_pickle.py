"""The pickles of CIFAR-10's python layout, read without `pickle`: nothing in a file is imported, called or executed.

The opcodes are told apart by `pickletools` (which only parses) and carried out here, those only that such files need:
dictionaries, lists, tuples, texts, bytes, whole numbers, and arrays of uint8. An array is the call of one of a few
functions of NumPy; their names are recognised, and what the call would make is put together here.
"""

import pickletools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from analogmgd.errors import DataError

from .checks import Array, short

MOST = 200_000  # opcodes; the official files have 30,000
TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}  # of Python 2: bytes
VALUES = {
    *TEXTS, "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
GLOBALS = {
    f"{module} {name}": name
    for module, name in (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),  # bytes as Python 3 writes them for Python 2
        *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
        *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    )
}
MARK = object()


class Refused(Exception):
    """What such a file does not need."""


@dataclass(frozen=True)
class Name:
    """A name that stands where pickle would import something."""

    text: str


@dataclass
class Block:
    """An array that is being put together."""

    shape: Any = None
    data: Any = None


def read_batch(place: str, data: bytes, width: int) -> tuple[Array, Array]:
    """Labels uint8 (n,) and pixels uint8 (n, width) of a batch. DataError: it is anything else, or damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pickletools decodes escapes in names
            content = Reader(data).run()
        if not isinstance(content, dict):
            raise Refused("it is no dictionary")
        table = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in content.items()}
        block, labels = table.get("data"), table.get("labels")
        if not isinstance(block, Block) or not isinstance(block.data, bytes | bytearray):
            raise Refused("data is no array of uint8")
        if not isinstance(labels, list) or not labels or any(type(v) is not int or not 0 <= v <= 255 for v in labels):
            raise Refused("labels is no list of small whole numbers")
        shape = len(labels), width
        if block.shape != shape or len(block.data) != len(labels) * width:
            raise Refused(f"data has not the shape {shape} that its labels ask for")
    except (Refused, ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f"{place} is damaged or no batch of CIFAR-10: {short(error, 200)}") from None
    return np.array(labels, np.uint8), np.frombuffer(block.data, np.uint8).reshape(shape)


class Reader:
    """A stack machine for the few opcodes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.encoded = 0

    def run(self) -> Any:
        """The value the file stands for, arrays as Blocks."""
        argument: Any
        for number, (opcode, argument, _) in enumerate(pickletools.genops(self.data)):
            if number == MOST:
                raise Refused(f"it has more than {MOST} opcodes")
            name = opcode.name
            if name in VALUES:
                value = argument.encode("latin-1") if name in TEXTS else argument
                self.stack.append(CONSTANTS.get(name, value))
            elif name.startswith("TUPLE") and len(name) == 6:
                self.stack.append(tuple(self.take(int(name[5]))))
            elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
                self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
            elif name in ("BINGET", "LONG_BINGET", "GET"):
                self.stack.append(self.memo[argument])
            elif name == "STOP":
                return self.stack.pop()
            elif name not in ("PROTO", "FRAME"):
                self.step(name, argument)
        raise Refused("it does not end")  # genops raises before

    def step(self, name: str, argument: Any) -> None:
        """Marks, containers, names and calls."""
        match name:
            case "MARK":
                self.stack.append(MARK)
            case "EMPTY_DICT":
                self.stack.append({})
            case "EMPTY_LIST":
                self.stack.append([])
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "TUPLE":
                self.stack.append(tuple(self.marked()))
            case "LIST":
                self.stack.append(self.marked())
            case "DICT":
                items = self.marked()
                self.stack.append({})
                self.fill(items)
            case "APPEND" | "APPENDS":
                items = [self.stack.pop()] if name == "APPEND" else self.marked()
                if type(self.stack[-1]) is not list:
                    raise Refused("it appends to what is no list")
                self.stack[-1].extend(items)
            case "SETITEM" | "SETITEMS":
                self.fill(self.take(2) if name == "SETITEM" else self.marked())
            case "GLOBAL" | "STACK_GLOBAL":
                if name == "STACK_GLOBAL":
                    argument = " ".join(text if type(text) is str else "?" for text in self.take(2))
                if argument not in GLOBALS:
                    raise Refused(f"it asks for {short(argument)}, which no such file needs; nothing was executed")
                self.stack.append(Name(GLOBALS[argument]))
            case "REDUCE":
                arguments, function = self.stack.pop(), self.stack.pop()
                self.stack.append(self.call(function, arguments))
            case "BUILD":
                self.build(self.stack.pop())
            case _:
                raise Refused(f"it has the opcode {name}, which no such file needs; nothing was executed")

    def take(self, count: int) -> list[Any]:
        """The topmost values, taken off."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def marked(self) -> list[Any]:
        """The values above the topmost mark, taken off with it."""
        items: list[Any] = []
        while (value := self.stack.pop()) is not MARK:
            items.append(value)
        return items[::-1]

    def fill(self, items: list[Any]) -> None:
        """Keys and values into the dictionary on top."""
        target = self.stack[-1]
        if type(target) is not dict or any(type(key) not in (str, bytes, int) for key in items[::2]):
            raise Refused("it has a dictionary of another kind")
        target.update(zip(items[::2], items[1::2], strict=True))

    def call(self, function: Any, arguments: Any) -> Any:
        """What one of the known functions would make."""
        if not isinstance(function, Name) or type(arguments) is not tuple:
            raise Refused("it calls what is no function")
        match function.text, arguments:
            case "_reconstruct", (Name("ndarray"), _, _):
                return Block()
            case "dtype", ("u1" | b"u1" | "|u1" | b"|u1", *_):
                return Name("uint8")
            case "_frombuffer", (bytes() | bytearray() as data, Name("uint8"), tuple() as shape, "C" | b"C"):
                return Block(shape, data)
            case "encode", (str() as text, "latin1" | "latin-1"):
                self.encoded += len(text)
                if self.encoded > len(self.data):
                    raise Refused("it unpacks to more than itself")
                return text.encode("latin-1")
        raise Refused(f"it calls {function.text} for something else than an array of uint8; nothing was executed")

    def build(self, state: Any) -> None:
        """The state of the array, or of its type, on top."""
        match self.stack[-1], state:
            case Block() as block, (_, tuple() as shape, Name("uint8"), 0, bytes() | bytearray() as data):
                block.shape, block.data = shape, data
            case Name("uint8"), (_, _, None, None, None, *_):
                pass
            case _:
                raise Refused("it has an array that is not of uint8 in rows")
