"""What the functions named in pickles of numpy arrays are for, done on checked data instead of called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

_CORES = ("numpy.core", "numpy._core")  # before and since numpy 2
_NAMES = {
    ("_codecs", "encode"): "encode",
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "ndarray",
    **{(f"{core}.multiarray", "_reconstruct"): "blank" for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): "scalar" for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): "array" for core in _CORES},
}
_LONGEST = 1 << 32  # length of an array that a file may hold
_DTYPES = {code: np.dtype(code) for code in ("u1", "b1", "i1", "i2", "i4", "i8")}


class StandIn(NamedTuple):
    """Stands for a function that a pickle names; it is never the function."""

    name: str


@dataclass
class PickledArray:
    """An array, None until the pickle has filled it."""

    value: np.ndarray | None = None


def stand_in(module: Any, attribute: Any) -> StandIn:
    """Return what stands for ``module.attribute``; raises ValueError unless it is one of numpy's few."""
    known = isinstance(module, str) and isinstance(attribute, str)
    name = _NAMES.get((module, attribute)) if known else None
    if name is None:
        named = f"{_shown(module)}.{_shown(attribute)}"
        raise ValueError(f"the pickle names {named}: only data is read, nothing is called")
    return StandIn(name)


def _shown(name: Any) -> str:
    """Return the beginning of a text, escaped, or the type of anything else.

    A small pickle can hold a tuple of a tuple of ... whose repr is endless.
    """
    return repr(name[:60])[1:-1] if isinstance(name, str) else type(name).__name__


def applied(function: Any, arguments: Any) -> Any:
    """Return bytes, a number, a type or an array, as the named function would for arguments numpy writes."""
    name = function.name if isinstance(function, StandIn) else "no function"
    match name, arguments:
        case "encode", (str() as text, "latin1" | "latin-1"):
            return text.encode("latin-1")
        case "dtype", (str() | bytes() as code, _, _):
            return _dtype(code)
        case "blank", (StandIn("ndarray"), _, _):
            return PickledArray()
        case "scalar", (np.dtype() as dtype, bytes() as data):
            return _array(data, dtype, (), "C").item()
        case "array", (
            bytes() | bytearray() as data,
            np.dtype() as dtype,
            tuple() as shape,
            "C" | "F" as order,
        ):
            return PickledArray(_array(data, dtype, shape, order))
    raise ValueError(f"{name}: called with what numpy's own pickles never hold")


def fill(target: Any, state: Any) -> None:
    """Complete a type or an array with the state that follows it in the pickle."""
    match target, state:
        case np.dtype(), (3, "|" | "<" | b"|" | b"<", None, None, None, -1, -1, 0):
            return  # little endian, no fields: what it is already
        case PickledArray(None), (1, tuple() as shape, np.dtype() as dtype, fortran, bytes() as data):
            target.value = _array(data, dtype, shape, "F" if fortran else "C")
            return
    raise ValueError("a type or an array in a form that pickles of bytes and truths never have")


def _dtype(code: str | bytes) -> np.dtype[Any]:
    name = code.decode("latin-1") if isinstance(code, bytes) else code
    if name not in _DTYPES:
        raise ValueError(f"array of type {name[:20]!r}: expected one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _array(data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[Any, ...], order: Any) -> np.ndarray:
    # What stands in ``shape`` is shown once it is known to be short.
    if len(shape) > 2 or not all(isinstance(length, int) and 0 <= length <= _LONGEST for length in shape):
        raise ValueError(f"array of a shape other than at most two lengths from 0 to {_LONGEST}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"array of shape {shape}, type {dtype}: {len(data)} bytes do not fill it")
    return np.frombuffer(data, dtype).reshape(shape, order=order)
