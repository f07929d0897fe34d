"""List files, line by line: capped lines, tables of integers, and errors that name file and line."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

# No line of the lists read here comes near it; a file without line ends must not be read whole.
_LONGEST = 1 << 16  # bytes
_BLOCK = 1 << 22  # bytes

Location = str | PathLike[str]


def sha256_of(path: Location) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_lines(path: Location) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end) of a UTF-8 file.

    Raises ValueError naming file and line for lines over 64 KiB, bytes that are not UTF-8, and NUL.
    """
    with Path(path).open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST + 1):
            number += 1
            if len(line) > _LONGEST:
                raise ValueError(f"{path}:{number}: line of over {_LONGEST} bytes: is this a list file?")
            try:
                text = line.decode()
            except UnicodeDecodeError:
                raise ValueError(f"{path}:{number}: line is not UTF-8 text") from None
            if "\0" in text:
                raise ValueError(f"{path}:{number}: line holds a NUL byte: is this a list file?")
            yield number, text.rstrip("\r\n")


def integer_table(path: Location, columns: int) -> np.ndarray:
    """Return (lines, columns) int64: every line of the file, its fields separated by blanks or tabs.

    Raises ValueError naming file and line where a line has other fields than ``columns`` integers.
    """
    path = Path(path)
    table = np.empty((sum(_lines(block) for block in _blocks(path)), columns), dtype=np.int64)
    filled = 0
    for block in _blocks(path):
        rows = slice(filled, filled + _lines(block))
        table[rows] = _integers(path, block, filled, columns)
        filled = rows.stop
    return table


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the file in pieces of some megabytes that end where a line ends."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if not block.endswith(b"\n"):
                rest = file.readline(_LONGEST)
                if len(rest) == _LONGEST and not rest.endswith(b"\n"):
                    raise ValueError(
                        f"{path}: byte {file.tell()}: line of over {_LONGEST} bytes: is this a list file?"
                    )
                block += rest
            yield block


def _lines(block: bytes) -> int:
    return block.count(b"\n") + (not block.endswith(b"\n"))


def _integers(path: Path, block: bytes, before: int, columns: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # Older numpy reads "3.0" as an integer and warns.
            warnings.simplefilter("error")
            table = np.loadtxt(io.BytesIO(block), dtype=np.int64, comments=None, ndmin=2)
        if table.shape == (_lines(block), columns):
            return table
    except (ValueError, Warning):
        pass
    raise ValueError(_first_fault(path, block, before, columns))


def _first_fault(path: Path, block: bytes, before: int, columns: int) -> str:
    """Say which line of a refused block is at fault, and why."""
    for number, line in enumerate(block.splitlines(), before + 1):
        fields = line.split()
        if len(fields) != columns:
            return f"{path}:{number}: {len(fields)} fields, expected {columns} integers"
        for field in fields:
            digits = field.removeprefix(b"-").removeprefix(b"+")
            if not digits.isdigit() or len(digits) > 18:
                return f"{path}:{number}: {field[:40].decode('ascii', 'replace')!r} is no integer of 64 bits"
    return f"{path}: lines {before + 1} to {before + _lines(block)} are no table of {columns} integers"
