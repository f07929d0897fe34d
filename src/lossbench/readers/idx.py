"""idx files of MNIST and its relatives, .gz or not: a big-endian header, then unsigned bytes.

Format: two zero bytes, the type 8, how many dimensions; each length in four bytes; the values, row by row.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lossbench.readers.list_files import Location

_GZIP = b"\x1f\x8b"
_MOST_LENGTHS = 3
_MOST_BYTES = 1 << 31  # the largest relative, EMNIST by class, has 0.64 GB
_UNSIGNED_BYTE = 8
_PIECE = 1 << 20  # bytes


def read_idx(path: Location) -> np.ndarray:
    """Return the array, uint8, in one to three dimensions.

    Raises ValueError in one line for other types, for a size that differs from what the header says, for more
    than 2 GiB, and for damaged .gz.
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        try:
            return _read(path, gzip.GzipFile(fileobj=file) if packed else file)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged .gz ({' '.join(str(error).split())})") from error


def _read(path: Path, file: Any) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or not 1 <= magic[3] <= _MOST_LENGTHS:
        raise ValueError(f"{path}: begins with {magic.hex()}: no idx file of 1 to {_MOST_LENGTHS} dimensions")
    if magic[2] != _UNSIGNED_BYTE:
        raise ValueError(f"{path}: values of type {magic[2]}, expected {_UNSIGNED_BYTE}, unsigned bytes")
    lengths = file.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise ValueError(f"{path}: ends within its header")
    shape = struct.unpack(f">{magic[3]}I", lengths)
    size = math.prod(shape)
    if not 0 < size <= _MOST_BYTES:
        raise ValueError(f"{path}: shape {shape}: expected 1 to {_MOST_BYTES} values")
    values = bytearray()
    # piece by piece: at once, gzip would take memory for all that a header makes up
    while piece := file.read(min(_PIECE, size + 1 - len(values))):
        values += piece
    if len(values) != size:
        relation = "more" if len(values) > size else f"only {len(values)}"
        raise ValueError(f"{path}: shape {shape} has {size} values, the file holds {relation}")
    return np.frombuffer(values, np.uint8).reshape(shape)
