"""Read a pickle of lists, dicts, numbers, bytes and numpy arrays without calling anything that it names.

``pickle`` calls what a file names, and even a restricted one hands numpy crafted types and sizes. Here the
instructions of the file are carried out one by one on plain data, and what numpy's pickles name is stood in
for by code that checks before it builds (``pickled_arrays``). The file's size bounds memory and time.
"""

from __future__ import annotations

import codecs
import io
import mmap
import pickletools
import re
import struct
from pathlib import Path
from typing import IO, Any, cast

from lossbench.readers.list_files import Location
from lossbench.readers.pickled_arrays import PickledArray, applied, fill, stand_in

_MOST_BYTES = 1 << 32  # of a file
_MOST_STEPS = 1 << 22  # about a million images; hostile files could have billions

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_NUMBERS = {"INT", "LONG", "LONG1", "BININT", "BININT1", "BININT2"}
_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
# What repr makes of a str in Python 2, so that undoing its escapes needs no judgement.
_REPR = re.compile(rb"""(['"])((?:[^\\\n]|\\(?:[\\'"nrt]|x[0-9a-f]{2}))*)\1\n""")


def load_inert(path: Location) -> Any:
    """Return what the pickle holds: lists, tuples, dicts, None, bool, int, str, bytes and ``PickledArray``.

    Strings of Python 2 come as bytes. Raises ValueError with the byte offset for anything else, for
    truncated files, and for files over 4 GiB or 2**22 instructions.
    """
    path = Path(path)
    size = path.stat().st_size
    if not 0 < size <= _MOST_BYTES:
        raise ValueError(f"{path}: {size} bytes: expected a pickle of 1 to {_MOST_BYTES}")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _carried_out(cast("IO[bytes]", data), size, path)


def parse_inert(data: bytes, name: Location) -> Any:
    """Return what a pickle in memory holds; ``name`` stands for its file in errors. See ``load_inert``."""
    return _carried_out(io.BytesIO(data), len(data), name)


def _carried_out(data: IO[bytes], size: int, path: Location) -> Any:
    machine = _Machine(2 * size)
    for _ in range(_MOST_STEPS):
        position = data.tell()
        try:
            name, argument = _instruction(data)
            if name == "STOP":
                return machine.result()
            machine.step(name, argument)
        except ValueError as error:
            raise ValueError(f"{path}: byte {position}: {' '.join(str(error).split())[:200]}") from None
        except (TypeError, IndexError, OverflowError, struct.error):
            raise ValueError(f"{path}: byte {position}: malformed pickle") from None
    raise ValueError(f"{path}: more than {_MOST_STEPS} instructions: no list of images")


def _instruction(data: IO[bytes]) -> tuple[str, Any]:
    """Return name and argument of the instruction that ``data`` stands at."""
    code = data.read(1)
    opcode = _OPCODES.get(code)
    if opcode is None:
        raise ValueError(f"no instruction has code {code.hex()}" if code else "the pickle ends: truncated?")
    if opcode.name == "STRING":
        quoted = _REPR.fullmatch(data.readline())
        if quoted is None:
            raise ValueError("malformed string of Python 2")
        return opcode.name, codecs.escape_decode(quoted[2])[0]
    # Names are not left to pickletools, which undoes escapes in them and warns of odd ones.
    if opcode.name == "GLOBAL":
        return opcode.name, (_line(data), _line(data))
    if opcode.arg is None or opcode.name in ("INST", "PERSID"):
        return opcode.name, None
    argument: Any = opcode.arg.reader(data)
    if opcode.name in ("BINSTRING", "SHORT_BINSTRING"):
        argument = argument.encode("latin-1")
    return opcode.name, argument


def _line(data: IO[bytes]) -> str:
    line = data.readline()
    if not line.endswith(b"\n"):
        raise ValueError("the pickle ends in a name: truncated?")
    return line[:-1].decode()


class _Machine:
    """Stack and memo that the instructions of a pickle work on."""

    def __init__(self, budget: int) -> None:
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []  # the stacks below open marks
        self._memo: dict[int, Any] = {}
        self._budget = budget  # bytes that may still be made

    def result(self) -> Any:
        """Return the one value that is left at the end."""
        if self._outer or len(self._stack) != 1:
            raise ValueError("the pickle stops with unfinished values")
        return self._stack[0]

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction; raises ValueError for those that lists of images do not need."""
        if name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _NUMBERS or name in _TEXTS or name in _BYTES:
            self._stack.append(argument)
        elif not (self._remember(name, argument) or self._collect(name) or self._call(name, argument)):
            raise ValueError(f"instruction {name}: not one that a list of images needs")

    def _remember(self, name: str, argument: Any) -> bool:
        """Carry out instructions on the memo; return whether it was one."""
        match name:
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                # A dict: an array, as pickle has it, would grow to any index that a file makes up.
                self._memo[argument] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                if argument not in self._memo:
                    raise ValueError(f"nothing was memoized under {argument}")
                self._stack.append(self._memo[argument])
            case _:
                return name in ("PROTO", "FRAME")
        return True

    def _collect(self, name: str) -> bool:
        """Carry out instructions on lists, tuples and dicts; return whether it was one."""
        match name:
            case "MARK":
                self._outer.append(self._stack)
                self._stack = []
            case "EMPTY_LIST":
                self._stack.append([])
            case "EMPTY_DICT":
                self._stack.append({})
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._stack.append(tuple(self._pop(int(name[-1]))))
            case "APPEND":
                (item,) = self._pop(1)
                self._extend([item])
            case "SETITEM":
                self._set(self._pop(2))
            case "TUPLE" | "LIST" | "DICT" | "APPENDS" | "SETITEMS":
                items, self._stack = self._stack, self._outer.pop()
                if name == "APPENDS":
                    self._extend(items)
                elif name in ("DICT", "SETITEMS"):
                    self._stack.extend([{}] if name == "DICT" else [])
                    self._set(items)
                else:
                    self._stack.append(tuple(items) if name == "TUPLE" else items)
            case _:
                return False
        return True

    def _call(self, name: str, argument: Any) -> bool:
        """Carry out instructions that name or call functions, on stand-ins; return whether it was one."""
        match name:
            case "GLOBAL":
                self._stack.append(stand_in(*argument))
            case "STACK_GLOBAL":
                self._stack.append(stand_in(*self._pop(2)))
            case "REDUCE":
                function, arguments = self._pop(2)
                self._stack.append(applied(function, arguments))
                self._charge(self._stack[-1])
            case "BUILD":
                (state,) = self._pop(1)
                fill(self._stack[-1], state)
                self._charge(self._stack[-1])
            case _:
                return False
        return True

    def _charge(self, made: Any) -> None:
        """Refuse files that make one long text into bytes or arrays over and over: they would fill memory."""
        if isinstance(made, PickledArray) and made.value is not None:
            self._budget -= made.value.nbytes
        self._budget -= len(made) if isinstance(made, bytes) else 0
        if self._budget < 0:
            raise ValueError("more bytes are made than the file holds")

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise ValueError("items are added to what is no list")
        self._stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        keys, values = items[::2], items[1::2]
        if not isinstance(self._stack[-1], dict) or len(keys) != len(values):
            raise ValueError("keys and values are set in what is no dict, or do not pair")
        # Hashes of numbers are known: a file could make all of its keys collide.
        if not all(isinstance(key, str | bytes) for key in keys):
            raise ValueError("a key that is no text")
        self._stack[-1].update(zip(keys, values, strict=True))
