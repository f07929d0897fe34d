"""Numbers, text and cells of a MATLAB 5 file (MathWorks, MAT-File Format; save -v6 and -v7).

``scipy.io.loadmat`` ends the process on some damaged files; here every length is checked before it is used.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lossbench.readers.list_files import Location

MatValue = np.ndarray | str | list["MatValue"]

_MOST_BYTES = 1 << 24  # of the file
_MOST_UNFOLDED = 1 << 28  # bytes of its compressed variables
_MOST_CELLS = 1 << 20  # of the file, each an object of some 130 bytes; BLUFR's has 13,273
_MOST_DIMENSIONS = 32
_DEEPEST = 3  # cells in cells
_HEAD = 128  # bytes; the last two tell the byte order
_ORDERS = {b"IM": "<", b"MI": ">"}

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_CELL, _CHAR, _NUMERIC, _COMPLEX = 1, 4, range(6, 16), 0x800


class _Element(NamedTuple):
    kind: int
    body: memoryview
    end: int


@dataclass
class _Room:
    """What the rest of the file may still unfold to: bytes, and cells."""

    unfolded: int
    cells: int


@dataclass(frozen=True)
class _Array:
    """Head of an array: class and flags, number of items, name, and what follows."""

    flags: int
    count: int
    name: str
    rest: memoryview


def load_mat(path: Location, names: Sequence[str]) -> dict[str, MatValue]:
    """Return variables by name: numbers as (k,) arrays, text as str, cells as lists, all column by column.

    Raises ValueError in one line, with the byte offset of the variable, for files that are no MATLAB 5 files,
    truncated or inconsistent, over 16 MiB, or that unfold to over 256 MiB; for missing variables; and for
    named variables that hold anything else (structures, sparse or complex arrays, text of several rows),
    or together over 2**20 cells.
    """
    path = Path(path)
    data = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else b""
    order = _ORDERS.get(data[_HEAD - 2 : _HEAD])
    if order is None:
        raise ValueError(
            f"{path}: {path.stat().st_size} bytes, expected a MATLAB 5 file of at most {_MOST_BYTES}"
        )
    values: dict[str, MatValue] = {}
    at, room = _HEAD, _Room(_MOST_UNFOLDED, _MOST_CELLS)
    while at < len(data):
        try:
            element = _element(memoryview(data), at, order, padded=False)
            end = element.end
            if element.kind == _COMPRESSED:
                unfolded = _unfolded(element.body, room.unfolded)
                room.unfolded -= len(unfolded)
                element = _element(memoryview(unfolded), 0, order)
            array = _head(element, order)
            if array.name in names:
                values[array.name] = _value(array, order, _DEEPEST, room)
        except (ValueError, zlib.error) as error:
            raise ValueError(f"{path}: byte {at}: {error}") from None
        at = end
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(f"{path}: the file has no {', '.join(missing)}")
    return values


def _element(data: memoryview, at: int, order: str, *, padded: bool = True) -> _Element:
    """Return the element at byte ``at``; inside a variable elements are padded to multiples of 8 bytes."""
    if at + 8 > len(data):
        raise ValueError("an element has no room for its head: truncated?")
    kind, size = struct.unpack_from(f"{order}II", data, at)
    begin, end = at + 8, at + 8 + size + (-size % 8 if padded else 0)
    if kind >> 16:  # up to four bytes, in the second half of the head
        kind, size, begin, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if size > 4:
            raise ValueError(f"a short element of {size} bytes, expected at most 4")
    if begin + size > len(data):
        raise ValueError(f"an element of {size} bytes, {len(data) - begin} are left: truncated?")
    return _Element(kind, data[begin : begin + size], end)


def _unfolded(body: memoryview, most: int) -> bytes:
    stream = zlib.decompressobj()
    data = stream.decompress(body, most + 1)
    if len(data) > most or not stream.eof:
        raise ValueError(f"the file unfolds to over {_MOST_UNFOLDED} bytes, or it is truncated")
    return data


def _head(element: _Element, order: str) -> _Array:
    if element.kind != _MATRIX:
        raise ValueError(f"an element of type {element.kind}, expected an array ({_MATRIX})")
    if not element.body:
        return _Array(_NUMERIC[0], 0, "", element.body)
    flags = _element(element.body, 0, order)
    lengths = _element(element.body, flags.end, order)
    name = _element(element.body, lengths.end, order)
    if (flags.kind, len(flags.body), lengths.kind, name.kind) != (_UINT32, 8, _INT32, _INT8):
        raise ValueError("an array without flags, lengths and name in front")
    dimensions, left = divmod(len(lengths.body), 4)
    if left or dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"lengths of {len(lengths.body)} bytes: expected {_MOST_DIMENSIONS} int32 at most")
    sizes = np.frombuffer(lengths.body, f"{order}i4").tolist()
    if min(sizes, default=0) < 0:
        raise ValueError("an array with a negative length")
    flag = struct.unpack(f"{order}II", flags.body)[0]
    return _Array(flag, math.prod(sizes), bytes(name.body).decode("latin-1"), element.body[name.end :])


def _value(array: _Array, order: str, depth: int, room: _Room) -> MatValue:
    kind = array.flags & 0xFF
    if kind == _CELL:
        return _cells(array, order, depth, room)
    if array.flags & _COMPLEX or (kind != _CHAR and kind not in _NUMERIC):
        raise ValueError(f"{array.name or 'a cell'} is of class {kind}, expected numbers, text or cells")
    if not array.rest and not array.count:
        return "" if kind == _CHAR else np.empty(0)
    content = _element(array.rest, 0, order)
    if kind == _CHAR:
        return _text(content, array.count, order)
    code = _NUMBERS.get(content.kind)
    if code is None or len(content.body) != array.count * np.dtype(code).itemsize:
        raise ValueError(f"{len(content.body)} bytes of type {content.kind} are not {array.count} numbers")
    return np.frombuffer(content.body, order + code)


def _text(content: _Element, count: int, order: str) -> str:
    encoding = _TEXTS.get(content.kind)
    if encoding is None:
        raise ValueError(f"text of type {content.kind}, expected one of {', '.join(map(str, _TEXTS))}")
    endless = encoding in ("latin-1", "utf-8")
    text = bytes(content.body).decode(encoding if endless else encoding + ("-le" if order == "<" else "-be"))
    if len(text) != count:
        raise ValueError(f"text of {len(text)} letters, its lengths say {count}")
    return text


def _cells(array: _Array, order: str, depth: int, room: _Room) -> MatValue:
    # Every cell has a head of eight bytes at least: a count made up out of nothing ends here.
    if depth == 0 or array.count > len(array.rest) // 8:
        raise ValueError(f"{array.count} cells in {len(array.rest)} bytes, {_DEEPEST} deep at most")
    room.cells -= array.count
    if room.cells < 0:
        raise ValueError(f"{array.count} cells: with those before over {_MOST_CELLS}")
    cells: list[MatValue] = []
    at = 0
    for _ in range(array.count):
        element = _element(array.rest, at, order)
        cells.append(_value(_head(element, order), order, depth - 1, room))
        at = element.end
    return cells
