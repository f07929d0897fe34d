"""Named variables of a MATLAB 5 file (save -v6, -v7), with a bound on what its compressed parts unfold to."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lossbench.readers.list_files import Location

_MOST_BYTES = 1 << 24  # of the file
_MOST_INFLATED = 1 << 28  # bytes of its variables
_STEP = 1 << 20  # bytes unfolded at once
_HEAD = 128  # bytes; the last two tell the byte order
_ORDERS = {b"IM": "<", b"MI": ">"}
_COMPRESSED = 15  # data type miCOMPRESSED


def load_mat(path: Location, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the variables, as ``scipy.io.loadmat`` gives them.

    Raises ValueError in one line for files that are no MATLAB 5 files, truncated, over 16 MiB, or that unfold
    to over 256 MiB, and for missing variables.
    """
    from scipy.io import loadmat

    path = Path(path)
    _check_size(path)
    try:
        values = loadmat(path, variable_names=list(names))
    except Exception as error:  # a crafted file raises anything from KeyError to MemoryError
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"{path}: cannot be read as a MATLAB file ({reason})") from None
    missing = [name for name in names if not isinstance(values.get(name), np.ndarray)]
    if missing:
        raise ValueError(f"{path}: the file has no array {', '.join(missing)}")
    return {name: values[name] for name in names}


def _check_size(path: Path) -> None:
    data = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else b""
    order = _ORDERS.get(data[_HEAD - 2 : _HEAD])
    if order is None:
        raise ValueError(
            f"{path}: {path.stat().st_size} bytes, expected a MATLAB 5 file of at most {_MOST_BYTES}"
        )
    at, inflated = _HEAD, 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError(f"{path}: byte {at}: the file ends inside a variable: truncated?")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if at + 8 + size > len(data):
            raise ValueError(f"{path}: byte {at}: a variable of {size} bytes ends after the file: truncated?")
        if kind == _COMPRESSED:
            inflated += _inflated(path, at, data[at + 8 : at + 8 + size], _MOST_INFLATED - inflated)
        at += 8 + size


def _inflated(path: Path, at: int, data: bytes, most: int) -> int:
    """Return how many bytes ``data`` unfolds to, without keeping them."""
    stream, size = zlib.decompressobj(), 0
    try:
        while data and not stream.eof:
            size += len(stream.decompress(data, _STEP))
            data = stream.unconsumed_tail
            if size > most:
                raise ValueError(f"{path}: byte {at}: the file unfolds to over {_MOST_INFLATED} bytes")
    except zlib.error as error:
        raise ValueError(f"{path}: byte {at}: {error}") from None
    return size
